from __future__ import annotations

from hub.broker.memory import MemoryBroker
from hub.core.registry import Registry
from hub.protocol.streams import KNOWN, Kind
from hub.server.listing import Listing
from tests.support.brokers import store
from tests.support.publications import touch


async def test_a_channel_that_nobody_looks_after_becomes_stale() -> None:
    """What was listed before its deadline is known to be stale after it, without asking anew."""
    broker = MemoryBroker()
    await store(broker, touch("portfolio", Kind.VALUE, lease_ms=5_000))
    times = [100.0]
    listing = Listing(broker, Registry(), KNOWN, lambda: times[-1], lambda: 1_800_000_000.0)
    assert [row.stale for row in await listing.rows()] == [False]
    times.append(200.0)
    assert [row.stale for row in listing.known()] == [True]
