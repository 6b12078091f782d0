"""The delivery probe: a healthy link can deliver nothing, so this asks for the whole way."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable

from hub.broker.base import BrokerUnavailableError
from hub.broker.handover import Message, Route
from hub.broker.pubsub import PubSubReader
from hub.broker.timing import Timing
from hub.protocol.keys import PREFIX


class Probe:
    """Publishes to a name of its own, again and again, and expects it back on the reader's link.

    delivering: whether the last one came back within its deadline; False before the first.
    """

    def __init__(
        self,
        reader: PubSubReader,
        publish: Callable[[bytes, bytes], Awaitable[None]],
        timing: Timing,
    ) -> None:
        self.delivering = False
        self._reader = reader
        self._publish = publish
        self._timing = timing
        self._name = f"{PREFIX}probe:{secrets.token_hex(8)}".encode()
        self._subscribed = False
        self._expected = b""
        self._arrived = asyncio.Event()
        self._back = False

    async def run(self) -> None:
        """Probe until cancelled."""
        while True:
            self.delivering = await self._comes_back(secrets.token_hex(8).encode())
            await asyncio.sleep(self._timing.probe_seconds)

    async def _comes_back(self, expected: bytes) -> bool:
        self._expected, self._back = expected, False
        try:
            async with asyncio.timeout(self._timing.probe_deadline_seconds):
                if not self._subscribed:
                    await self._reader.subscribe(self._name, Route("", self._take))
                    self._subscribed = True
                while not self._back:
                    self._arrived.clear()
                    await self._publish(self._name, expected)
                    await self._arrived.wait()
        except (TimeoutError, BrokerUnavailableError):
            return False
        return True

    def _take(self, route: Route, message: Message) -> None:
        """Take what arrives: the probe itself, or RESTORED, after which it is published again."""
        self._back = self._back or message == self._expected
        self._arrived.set()
