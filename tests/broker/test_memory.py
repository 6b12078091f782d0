from __future__ import annotations

from hub.broker.base import Link
from hub.broker.memory import MemoryBroker
from tests.support.brokers import hear, store
from tests.support.publications import entry


async def test_a_full_hand_over_says_restored() -> None:
    """Where nobody reads, a channel loses what finds no room, and says so once there is some."""
    broker = MemoryBroker(hand_over_bytes=10_000)
    await broker.connect()
    for channel in ("decisions", "alerts", "agent"):
        await broker.subscribe(channel)
    await store(broker, *(entry(n, b"1" * 1000) for n in range(1, 101)))
    await store(broker, entry(1, b"1", channel="alerts"), entry(1, b"1", channel="agent"))
    await broker.unsubscribe("agent")
    heard = []
    while ("alerts", Link.RESTORED) not in heard:
        heard.append(await hear(broker))
    kept = [message for channel, message in heard if channel == "decisions"]
    assert kept.count(Link.RESTORED) == 1
    assert len(kept) < 15
    assert ("agent", Link.RESTORED) not in heard
    await store(broker, entry(101, b"2"))
    assert isinstance((await hear(broker))[1], bytes)
