"""The sender's link to Redis: commands out and replies in, each with a deadline.

The link is one connection for as long as it lasts, and a new one says so: behind it may be another
server. redis-py's pool would connect anew without a word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import hiredis
import msgspec
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from hub.protocol import keys
from producers.redis_client import make_client

Command: TypeAlias = tuple[str | bytes | int, ...]

LINK_ERRORS: Final = (RedisConnectionError, RedisTimeoutError, OSError)
"""A link that broke, or whose deadline passed; it is closed then."""

# Redis's own words for "not now" (redis.io, "Client-side error codes" and server sources).
_NOT_NOW: Final = frozenset(
    {
        "BUSY",
        "CLUSTERDOWN",
        "LOADING",
        "MASTERDOWN",
        "MISCONF",
        "NOREPLICAS",
        "NOSCRIPT",
        "OOM",
        "READONLY",
        "TRYAGAIN",
    }
)


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """How long a publisher is patient, in seconds."""

    connect_seconds: float = 3.0
    answer_seconds: float = 3.0
    patience_seconds: float = 0.25
    """How long a call that doesn't wait for Redis stays for the position all the same."""
    check_idle_seconds: float = 5.0
    """How often an idle link is looked at: is it the same, and does Redis answer."""
    first_pause_seconds: float = 0.05
    longest_pause_seconds: float = 2.0
    drain_seconds: float = 5.0
    """How long closing waits for what was published and not answered."""


class Link:
    """Its owner uses it from one task; `ping` and `read_rows` have a connection of their own."""

    def __init__(self, url: str, *, name: str, timing: Timing) -> None:
        self._timing = timing
        self._connection: AbstractConnection | None = None
        # Retries are the sender's, since only it knows which ids a round had.
        self._redis = make_client(url, name=name, connect_seconds=timing.connect_seconds)

    @property
    def was_open(self) -> bool:
        """Whether there ever was an attempt to open it."""
        return self._connection is not None

    async def open(self) -> bool:
        """Connect where the link is down; whether it is a new one. Raises LINK_ERRORS."""
        if self._connection is None:
            self._connection = self._redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        connection = self._connection
        async with asyncio.timeout(self._timing.connect_seconds):
            if connection.is_connected:
                # Says so of the end of the stream too. Nothing else can be there unasked.
                if not await connection.can_read():
                    return False
                await connection.disconnect(nowait=True)
            try:
                await connection.connect()
            except ResponseError as error:
                # Who may not even name the link waits for the right, as for anything else.
                raise RedisConnectionError(str(error)) from error
        return True

    async def send(self, commands: Sequence[Command]) -> None:
        """Write the commands, on a link that is open. Raises LINK_ERRORS."""
        assert self._connection is not None
        # redis-py's own pipeline packs in Python, which took half of a publish's time.
        packed = b"".join([_pack(command) for command in commands])
        async with asyncio.timeout(self._timing.answer_seconds):
            await self._connection.send_packed_command(packed)

    async def replies(self, count: int, *, more_seconds: float = 0.0) -> list[Any]:
        """The next replies; a refusal is a ResponseError among them. Raises LINK_ERRORS."""
        assert self._connection is not None
        async with asyncio.timeout(self._timing.answer_seconds + more_seconds):
            return [await _reply(self._connection) for _ in range(count)]

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """The replies to the commands. Raises LINK_ERRORS."""
        await self.send(commands)
        return await self.replies(len(commands))

    async def ping(self) -> None:
        """Return when Redis answers; raises RedisError or OSError where it does not."""
        async with asyncio.timeout(self._timing.answer_seconds):
            await self._redis.ping()

    async def read_rows(self, channel: str) -> dict[str, bytes]:
        """The rows of a table as they stand in Redis; raises RedisError or OSError."""
        async with asyncio.timeout(self._timing.answer_seconds):
            reply: Any = await self._redis.hgetall(keys.state(channel))
        return {key.decode(errors="replace"): row for key, row in reply.items()}

    async def close(self) -> None:
        """Close every connection."""
        if self._connection is not None:
            await self._connection.disconnect(nowait=True)
        await self._redis.aclose()


def is_not_now(error: ResponseError) -> bool:
    """Whether Redis may take later what it does not take now."""
    # redis-py takes the first word off the errors that it knows.
    known: str | None = getattr(error, "status_code", None)
    return (known or str(error).partition(" ")[0]) in _NOT_NOW


def _pack(command: Command) -> bytes:
    # hiredis' own annotation says a tuple of one. A `cast` would be one more call for each publish.
    return hiredis.pack_command(command)  # type: ignore[arg-type,no-any-return]


async def _reply(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error
