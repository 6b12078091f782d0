"""What waits between a link and the one task that reads `next_published`."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from hub.broker.base import Link

Message: TypeAlias = bytes | Link


class Route:
    """Where the messages of one pub/sub name go, until it is `held` no longer.

    channel: the name that whoever takes them knows it by; take: called with this route and each
    message, in their order.
    """

    __slots__ = ("channel", "held", "take")

    def __init__(self, channel: str, take: Callable[[Route, Message], None]) -> None:
        self.channel = channel
        self.take = take
        self.held = True


class HandOver:
    """A queue for one reader, which knows how much waits in it: `waiting_bytes`.

    It refuses nothing. Its bound and the policy are its owner's, who looks at `full` where it can
    act on it.
    """

    def __init__(self, bound_bytes: int) -> None:
        self.waiting_bytes = 0
        self.bound_bytes = bound_bytes
        self._waiting: deque[tuple[Route, Message]] = deque()
        self._reader: asyncio.Future[None] | None = None

    @property
    def full(self) -> bool:
        """Whether its bound is reached."""
        return self.waiting_bytes >= self.bound_bytes

    @property
    def roomy(self) -> bool:
        """Whether half of its bound is free again."""
        return self.waiting_bytes <= self.bound_bytes // 2

    def put(self, route: Route, message: Message) -> None:
        """Append what arrived on a route; the `take` of those routes that are read from here."""
        self._waiting.append((route, message))
        self.waiting_bytes += _cost(message)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def take(self) -> tuple[str, Message]:
        """The channel and message that waited longest; what a dropped route left is skipped."""
        assert self._reader is None, "a hand-over has one reader"
        while True:
            while self._waiting:
                route, message = self._waiting.popleft()
                self.waiting_bytes -= _cost(message)
                if route.held:
                    return route.channel, message
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None


_OVERHEAD_BYTES = 200
"""About what a message of no length takes here."""


def _cost(message: Message) -> int:
    return _OVERHEAD_BYTES + (len(message) if type(message) is bytes else 0)
