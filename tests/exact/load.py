"""What the producers write, and the truth about it: what they were acknowledged."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from hub.protocol.publication import Receipt
from producers.publisher import Publisher
from tests.exact.checker import Position, Truth

LOGS: Final = ("decisions", "agent", "alerts", "fills:desk-7")
VALUE: Final = "portfolio"
TABLE: Final = "positions"
CHANNELS: Final = {**dict.fromkeys(LOGS, "log"), VALUE: "value", TABLE: "table"}
PRODUCERS: Final = 4
STATE_SECONDS: Final = 0.1
ROWS: Final = 20


class Ledger:
    """Every acknowledged entry by channel and seq, and the states as the producers left them."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[int, tuple[str, Any]]] = {name: {} for name in LOGS}
        self.heads: dict[str, Position] = {}
        self.epochs: dict[str, set[str]] = {name: set() for name in CHANNELS}
        self.value: Any = None
        self.rows: dict[str, Any] = {}

    def acknowledge(self, channel: str, receipt: Receipt) -> None:
        """Take where a publish stands."""
        at = Position(receipt.position.epoch, receipt.position.seq, receipt.position.tag)
        self.epochs[channel].add(at.epoch)
        head = self.heads.get(channel)
        if head is None or head.seq < at.seq:
            self.heads[channel] = at

    def acknowledge_entry(self, channel: str, event: str, data: Any, receipt: Receipt) -> None:
        """Take where an entry stands, which must be a place of its own."""
        known = self.entries[channel].setdefault(receipt.position.seq, (event, data))
        assert known == (event, data), (
            f"{channel}: {known} and {data} were both acknowledged at {receipt.position}"
        )
        self.acknowledge(channel, receipt)

    def check(self) -> None:
        """The acknowledgements themselves must be whole: one history, each seq, each entry once."""
        for channel, epochs in self.epochs.items():
            assert len(epochs) == 1, f"{channel}: expected one history, got {epochs}"
        for channel, entries in self.entries.items():
            head = self.heads[channel].seq
            unknown = sorted(set(range(1, head + 1)) - set(entries))
            assert not unknown, f"{channel}: nobody was acknowledged {unknown} of {head} entries"
            ids = {(data["producer"], data["n"]) for _, data in entries.values()}
            assert len(ids) == len(entries), f"{channel}: an entry was stored twice"

    def truths(self) -> dict[str, Truth]:
        """What every client must have in the end."""
        states: dict[str, Any] = {VALUE: self.value, TABLE: self.rows}
        return {
            channel: Truth(
                kind, self.heads[channel], self.entries.get(channel, {}), states.get(channel)
            )
            for channel, kind in CHANNELS.items()
        }


class Load:
    """Four producers: `entries_a_second` in all over the logs, and a value and a table."""

    def __init__(self, publishers: Sequence[Publisher], entries_a_second: float) -> None:
        self.ledger = Ledger()
        self._publishers = publishers
        self._seconds = len(publishers) / entries_a_second
        self._random = random.Random(7)

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until `stop`, then until all is acknowledged."""
        async with asyncio.TaskGroup() as publishes, asyncio.TaskGroup() as writers:
            for number, publisher in enumerate(self._publishers):
                writers.create_task(self._write(number, publisher, stop, publishes))
            states = self._write_states(self._publishers[0], stop, publishes)
            writers.create_task(states)

    async def _write(
        self, number: int, publisher: Publisher, stop: asyncio.Event, publishes: asyncio.TaskGroup
    ) -> None:
        count = 0
        async for _ in _paced(self._seconds, stop):
            count += 1
            channel = LOGS[(count + number) % len(LOGS)]
            data = {
                "producer": number,
                "n": count,
                "price": f"{self._random.uniform(1, 100_000):.2f}",
                "reasoning": "so it seemed " * self._random.randrange(12),
            }
            publishes.create_task(self._publish_entry(publisher, channel, "entry", data))

    async def _publish_entry(
        self, publisher: Publisher, channel: str, event: str, data: dict[str, Any]
    ) -> None:
        answer = await publisher.publish(channel, event, data, wait=True)
        assert answer.receipt is not None, f"{channel}: an entry is {answer.outcome}"
        self.ledger.acknowledge_entry(channel, event, data, answer.receipt)

    async def _write_states(
        self, publisher: Publisher, stop: asyncio.Event, publishes: asyncio.TaskGroup
    ) -> None:
        ledger, draw = self.ledger, self._random
        n = 0
        async for _ in _paced(STATE_SECONDS, stop):
            n += 1
            ledger.value = {"balance": f"{draw.uniform(0, 1e6):.2f}", "n": n}
            publishes.create_task(self._publish_state(publisher, VALUE, ledger.value))
            upsert = {f"p{draw.randrange(ROWS)}": {"size": str(n)} for _ in range(3)}
            gone = {f"p{draw.randrange(ROWS)}" for _ in range(2)} - set(upsert)
            patch = {"upsert": upsert, "delete": sorted(gone)}
            publishes.create_task(self._publish_state(publisher, TABLE, patch))
            ledger.rows = {k: row for k, row in ledger.rows.items() if k not in gone} | upsert

    async def _publish_state(self, publisher: Publisher, channel: str, data: object) -> None:
        answer = await publisher.publish(channel, f"{channel}_update", data, wait=True)
        if answer.receipt is not None:
            self.ledger.acknowledge(channel, answer.receipt)


@asynccontextmanager
async def publishers(url: str) -> AsyncIterator[list[Publisher]]:
    """As many publishers as there are producers, each on links of its own."""
    async with AsyncExitStack() as stack:
        made = [Publisher(url, name=f"producer-{number}") for number in range(PRODUCERS)]
        yield [await stack.enter_async_context(publisher) for publisher in made]


async def _paced(seconds: float, stop: asyncio.Event) -> AsyncIterator[None]:
    """Yield once every so many seconds, making good what was late, until `stop`."""
    now = asyncio.get_running_loop().time
    due_at = now()
    while not stop.is_set():
        yield
        due_at += seconds
        await asyncio.sleep(max(0.0, due_at - now()))
