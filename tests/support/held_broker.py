"""A broker whose answers come when a test lets them, for what a fast one never shows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hub.broker.base import BrokerUnavailableError, ChannelUnavailableError, Link
from hub.broker.memory import MemoryBroker
from hub.protocol.publication import Publication, Receipt
from hub.protocol.reading import ChannelReading


class HeldBroker(MemoryBroker):
    """A MemoryBroker with a gate before each call that a hub waits for.

    subscribing, reading, storing: open at first; `clear()` one and its calls wait before they do
    anything, `set()` it and they go on. away: while True, each of them raises
    BrokerUnavailableError once its gate is open. deaf: while True, what is published is stored and
    heard by nobody. damaged: the channels that can't be read. reads: how many readings were asked
    for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.subscribing, self.reading, self.storing = (asyncio.Event() for _ in range(3))
        for gate in (self.subscribing, self.reading, self.storing):
            gate.set()
        self.away = False
        self.deaf = False
        self.damaged: set[str] = set()
        self.reads = 0

    async def subscribe(self, group: str) -> None:
        await self._pass(self.subscribing)
        await super().subscribe(group)

    async def read(
        self, channel: str, since: int | None, limit: int, *, state: bool = True
    ) -> ChannelReading:
        self.reads += 1
        await self._pass(self.reading)
        if channel in self.damaged:
            raise ChannelUnavailableError(f"{channel}: damaged")
        return await super().read(channel, since, limit, state=state)

    async def store(self, publications: Sequence[Publication]) -> list[Receipt | Exception]:
        await self._pass(self.storing)
        return await super().store(publications)

    def restore(self, channel: str) -> None:
        """Say on a channel that its link was away."""
        self._hand_over.put(self._routes[channel], Link.RESTORED)

    def forget(self, channel: str, entries: int) -> None:
        """Roll a log back to as many entries: a replica that was behind has taken over."""
        kept = self._channels[channel]
        while len(kept.entries) > entries:
            kept.entries.pop()
        kept.position = kept.entries[-1].position

    def _say(self, channel: str, message: bytes) -> None:
        if not self.deaf:
            super()._say(channel, message)

    async def _pass(self, gate: asyncio.Event) -> None:
        await gate.wait()
        if self.away:
            raise BrokerUnavailableError("away, as the test wants it")
