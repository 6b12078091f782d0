"""The link of alerts to Redis: scripts in pipelines, and waiting for logs to grow.

Whatever goes wrong with it is a SourceError: whoever asked begins again from what is stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from hashlib import sha1
from types import TracebackType
from typing import Any, Final, Self

from redis.exceptions import NoScriptError, RedisError, ResponseError

from hub.protocol import keys
from hub.protocol.scripts import READ, Argument, Call
from producers.errors import SourceError
from producers.redis_client import make_client
from producers.sources.alerts.scripts import COMMIT, GIVE_UP, HOLD, MARK

_SCRIPTS: Final = (HOLD, GIVE_UP, COMMIT, MARK, READ)


class RedisLost(SourceError):
    """Redis is away, or refuses."""


class Link:
    """An asynchronous context manager. name: the link's, for people who list Redis's clients."""

    def __init__(
        self, url: str, *, name: str, connect_seconds: float = 3.0, answer_seconds: float = 3.0
    ) -> None:
        self._seconds = connect_seconds + answer_seconds
        self._answer_seconds = answer_seconds
        self._redis = make_client(url, name=name, connect_seconds=connect_seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._redis.aclose()

    async def call(self, script: str, calls: Sequence[Call]) -> list[Any]:
        """The answers of a script, called in one go. Raises RedisLost."""
        sha = _HASHES[script]
        commands = [("EVALSHA", sha, len(call.keys), *call.keys, *call.args) for call in calls]
        replies = await self._ask(commands)
        if any(isinstance(reply, NoScriptError) for reply in replies):
            await self._ask([("SCRIPT LOAD", each) for each in _SCRIPTS])
            # Whichever were answered are answered the same again.
            replies = await self._ask(commands)
        return self._checked(replies)

    async def ask(self, *commands: Sequence[Argument]) -> list[Any]:
        """The replies to commands, sent in one go. Raises RedisLost."""
        return self._checked(await self._ask(commands))

    async def wait(self, seqs: Mapping[str, int], seconds: float) -> None:
        """Return when a channel's log has an entry after its seq, or after so many seconds.

        Raises RedisLost.
        """
        if not seqs:
            await asyncio.sleep(seconds)
            return
        names = [keys.log(channel) for channel in seqs]
        after = [f"{seq}-0" for seq in seqs.values()]
        read = ("XREAD", "COUNT", 1, "BLOCK", max(1, int(1000 * seconds)), "STREAMS")
        await self._ask([(*read, *names, *after)], seconds)

    async def _ask(
        self, commands: Sequence[Sequence[Argument]], more_seconds: float = 0.0
    ) -> list[Any]:
        try:
            async with asyncio.timeout(self._seconds + more_seconds):
                async with self._redis.pipeline(transaction=False) as pipeline:
                    for command in commands:
                        pipeline.execute_command(*command)
                    return await pipeline.execute(raise_on_error=False)
        except TimeoutError:
            raise RedisLost(f"Redis gave no answer within {self._answer_seconds:g} s") from None
        except (RedisError, OSError) as error:
            raise RedisLost(f"Redis is away: {error}") from None

    @staticmethod
    def _checked(replies: list[Any]) -> list[Any]:
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise RedisLost(f"Redis refuses: {reply}")
        return replies


_HASHES: Final = {
    script: sha1(script.encode(), usedforsecurity=False).hexdigest() for script in _SCRIPTS
}
