"""An agent's link to Redis for its commands: scripts called until they are answered, and waiting.

Every script may be called again after a link that broke: what was taken and not heard of is handed
out again when its lease is over, and what was accepted or ended is answered as it was.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Callable
from hashlib import sha1
from typing import Any, Final

import msgspec
from redis.exceptions import NoScriptError, ResponseError

from hub.protocol import keys
from hub.protocol.scripts import Argument, Call
from producers.errors import CommandsRefused
from producers.link import LINK_ERRORS
from producers.redis_client import make_client

logger = logging.getLogger(__name__)

# Redis's own words for "never" (redis.io, "ACL" and server sources); with any other it may do later
# what it can't do now.
_NEVER: Final = frozenset({"ARGS", "KIND", "NOPERM", "WRONGTYPE"})


class CommandTiming(msgspec.Struct, frozen=True, kw_only=True):
    """How long a worker is patient, and others are with it, in seconds."""

    connect_seconds: float = 3.0
    answer_seconds: float = 3.0
    first_pause_seconds: float = 0.05
    longest_pause_seconds: float = 1.0
    lease_seconds: float = 10.0
    """A worker that was not heard of for so long is dead to all others."""
    listens_seconds: float = 4.0
    """The agent's channel is stale when no worker has looked for a command for so long."""
    look_seconds: float = 1.0
    """How often a worker looks, where nothing wakes it."""


class CommandLink:
    """Calls the scripts of commands. name: the link's, for people who list Redis's clients."""

    def __init__(self, url: str, *, name: str, timing: CommandTiming) -> None:
        self._timing = timing
        self._failures = 0
        self._redis = make_client(url, name=name, connect_seconds=timing.connect_seconds)

    async def ask(self, script: str, make_call: Callable[[str], Call]) -> Any:
        """The answer of a script, however long Redis is away. Raises CommandsRefused.

        make_call: makes the call of an epoch to start where history was lost.
        """
        while True:
            try:
                answer = await self._ask_once(script, make_call(secrets.token_urlsafe(6)))
            except LINK_ERRORS as error:
                await self._pause(error)
            except ResponseError as error:
                if _word(error) in _NEVER:
                    raise CommandsRefused(f"Redis refuses commands: {error}") from error
                await self._pause(error)
            else:
                if self._failures:
                    logger.info("Redis answers again; commands are taken")
                self._failures = 0
                return answer

    async def _ask_once(self, script: str, call: Call) -> Any:
        evalsha = ("EVALSHA", _hash(script), len(call.keys), *call.keys, *call.args)
        async with asyncio.timeout(self._timing.connect_seconds + self._timing.answer_seconds):
            try:
                return await self._execute(*evalsha)
            except NoScriptError:
                await self._execute("SCRIPT LOAD", script)
                return await self._execute(*evalsha)

    async def wait(self, channel: str, seq: int, seconds: float) -> None:
        """Return when the channel's log has an entry after `seq`, or after so many seconds."""
        block_ms = max(1, int(1000 * seconds))
        stream = (keys.log(channel), f"{seq}-0")
        read = ("XREAD", "COUNT", 1, "BLOCK", block_ms, "STREAMS", *stream)
        try:
            async with asyncio.timeout(seconds + self._timing.answer_seconds):
                await self._execute(*read)
        except (*LINK_ERRORS, ResponseError):
            # Whoever waits asks again next, and there it is seen to.
            await asyncio.sleep(random.uniform(0, self._timing.first_pause_seconds))

    async def _execute(self, *command: Argument) -> Any:
        # Its annotations lack the arguments.
        return await self._redis.execute_command(*command)  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        """Close every connection."""
        await self._redis.aclose()

    async def _pause(self, error: Exception) -> None:
        if not self._failures:
            logger.warning("Redis is away, no commands are taken: %s", error)
        timing = self._timing
        longest = timing.first_pause_seconds * 2 ** min(self._failures, 16)
        self._failures += 1
        await asyncio.sleep(random.uniform(0, min(longest, timing.longest_pause_seconds)))


def _hash(script: str) -> str:
    found = _hashes.get(script)
    if found is None:
        found = _hashes[script] = sha1(script.encode(), usedforsecurity=False).hexdigest()
    return found


_hashes: dict[str, str] = {}


def _word(error: ResponseError) -> str:
    # redis-py takes the first word off the errors that it knows.
    known: str | None = getattr(error, "status_code", None)
    return known or str(error).partition(" ")[0]
