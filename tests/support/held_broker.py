"""A broker whose answers come when a test lets them, for what a fast one never shows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hub.broker.base import BrokerUnavailableError
from hub.broker.memory import MemoryBroker
from hub.protocol.publication import Publication, Receipt
from hub.protocol.reading import ChannelReading


class HeldBroker(MemoryBroker):
    """A MemoryBroker with a gate before each call that a hub waits for.

    subscribing, reading, storing: open at first; `clear()` one and its calls wait before they do
    anything, `set()` it and they go on. away: while True, each of them raises
    BrokerUnavailableError once its gate is open. reads: how many readings were asked for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.subscribing, self.reading, self.storing = (asyncio.Event() for _ in range(3))
        for gate in (self.subscribing, self.reading, self.storing):
            gate.set()
        self.away = False
        self.reads = 0

    async def subscribe(self, group: str) -> None:
        await self._pass(self.subscribing)
        await super().subscribe(group)

    async def read(
        self, channel: str, since: int | None, limit: int, *, state: bool = True
    ) -> ChannelReading:
        self.reads += 1
        await self._pass(self.reading)
        return await super().read(channel, since, limit, state=state)

    async def store(self, publications: Sequence[Publication]) -> list[Receipt | Exception]:
        await self._pass(self.storing)
        return await super().store(publications)

    async def _pass(self, gate: asyncio.Event) -> None:
        await gate.wait()
        if self.away:
            raise BrokerUnavailableError("away, as the test wants it")
