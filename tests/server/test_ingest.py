from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from hub.broker.base import BrokerUnavailableError, ChannelUnavailableError
from hub.protocol import codes
from hub.protocol.errors import ProtocolError
from hub.protocol.publication import Receipt
from hub.protocol.streams import KNOWN, Kind
from hub.server import ingest as ingest_module
from hub.server.ingest import BATCH, MAX_WAITING, Ingest, PublishRequest, producer_id
from hub.server.metrics import Metrics
from tests.support.brokers import eventually, store
from tests.support.held_broker import HeldBroker
from tests.support.publications import entry, value


@pytest.fixture
def broker() -> HeldBroker:
    return HeldBroker()


@pytest.fixture
async def ingest(broker: HeldBroker) -> AsyncIterator[Ingest]:
    ingest = Ingest(broker, KNOWN, Metrics())
    task = asyncio.create_task(ingest.run())
    yield ingest
    task.cancel()
    await asyncio.wait([task])


def request(
    n: int, channel: str = "decisions", data: bytes = b"1", key: str = ""
) -> PublishRequest:
    return PublishRequest(channel, "e", data, "somebody", n, key)


async def test_publishes_that_wait_go_out_together_in_order(
    ingest: Ingest, broker: HeldBroker
) -> None:
    """A hundred publishes take two round trips: the first, and all that came meanwhile."""
    calls: list[int] = []
    real = broker.store

    async def count(publications):  # type: ignore[no-untyped-def]
        calls.append(len(publications))
        return await real(publications)

    broker.store = count  # type: ignore[method-assign]
    broker.storing.clear()
    first = ingest.submit(request(0))
    await eventually(lambda: calls == [1], "the first is on its way")
    rest = [ingest.submit(request(n)) for n in range(1, 101)]
    broker.storing.set()
    receipts = await asyncio.gather(first, *rest)
    assert [receipt.position.seq for receipt in receipts] == list(range(1, 102))
    assert calls == [1, 100]
    assert BATCH >= 100


async def test_one_refusal_leaves_the_others(ingest: Ingest) -> None:
    """In a batch each has its own answer."""
    good, bad, good_too = (
        ingest.submit(request(n, data=data)) for n, data in enumerate((b"1", b'"NaN"', b"2"))
    )
    answers = await asyncio.gather(good, bad, good_too, return_exceptions=True)
    assert isinstance(answers[0], Receipt)
    assert isinstance(answers[1], ProtocolError)
    assert answers[1].code is codes.INVALID_DATA
    assert isinstance(answers[2], Receipt)
    assert answers[2].position.seq == 2


async def test_a_broker_that_is_away_is_asked_once_for_all(
    ingest: Ingest, broker: HeldBroker
) -> None:
    """Publishes to many unknown channels fail together; each used to wait for its own reading."""
    broker.away = True
    answers = [ingest.submit(request(n, channel=f"decisions:{n}")) for n in range(50)]
    errors = await asyncio.gather(*answers, return_exceptions=True)
    assert {type(error) for error in errors} == {BrokerUnavailableError}
    assert broker.reads == 1
    assert ingest._metrics.publishes_refused == 50
    broker.away = False
    assert (await ingest.submit(request(0))).position.seq == 1


async def test_a_damaged_channel_leaves_the_others(ingest: Ingest, broker: HeldBroker) -> None:
    """In a batch it alone is refused; whoever published beside it used to be so too."""
    broker.damaged.add("alerts")
    good, bad, good_too = (
        ingest.submit(request(n, channel=channel))
        for n, channel in enumerate(("decisions", "alerts", "decisions"))
    )
    answers = await asyncio.gather(good, bad, good_too, return_exceptions=True)
    assert isinstance(answers[0], Receipt)
    assert isinstance(answers[1], ChannelUnavailableError)
    assert isinstance(answers[2], Receipt)


async def test_the_queue_is_bounded(ingest: Ingest, broker: HeldBroker) -> None:
    """What would wait beyond the bound is refused at once, to be sent again."""
    broker.storing.clear()
    first = ingest.submit(request(0))
    await eventually(lambda: ingest._queue.empty(), "the first is on its way")
    waiting = [ingest.submit(request(n)) for n in range(1, MAX_WAITING + 1)]
    with pytest.raises(ProtocolError) as refused:
        await ingest.submit(request(MAX_WAITING + 1))
    assert refused.value.code is codes.UNAVAILABLE
    broker.storing.set()
    assert (await first).position.seq == 1
    assert (await waiting[-1]).position.seq == MAX_WAITING + 1


async def test_a_kind_is_asked_for_once(ingest: Ingest, broker: HeldBroker) -> None:
    """The recorded kind is remembered; that of a channel that nobody knows is not."""
    assert await ingest.kind_of("unconfigured") is Kind.LOG
    await store(broker, value(1, b"1", channel="unconfigured"))
    for _ in range(5):
        assert await ingest.kind_of("unconfigured") is Kind.VALUE
    assert broker.reads == 2


async def test_kinds_are_forgotten_in_turn(
    ingest: Ingest, broker: HeldBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is remembered of channels is bounded."""
    monkeypatch.setattr(ingest_module, "KINDS_KEPT", 2)
    for n in range(3):
        await store(broker, entry(n, b"1", channel=f"decisions:{n}"))
        await ingest.kind_of(f"decisions:{n}")
    assert list(ingest._kinds) == ["decisions:1", "decisions:2"]


async def test_a_channel_that_comes_back_as_another_kind(
    ingest: Ingest, broker: HeldBroker
) -> None:
    """One publish is refused with the old kind; the next knows the new one."""
    await ingest.submit(request(1, channel="status"))
    await ingest.submit(request(2, channel="status"))
    broker._channels.clear()
    await store(broker, entry(1, b"1", channel="status"))
    with pytest.raises(ProtocolError) as refused:
        await ingest.submit(request(3, channel="status"))
    assert refused.value.code is codes.KIND_MISMATCH
    assert (await ingest.submit(request(4, channel="status"))).position.seq == 2


async def test_a_keyed_entry_is_published_once(ingest: Ingest) -> None:
    """The key of a log's entry reaches the broker."""
    first = await ingest.submit(request(1, key="d-1"))
    again = await ingest.submit(request(2, key="d-1"))
    assert (again.position, again.unchanged) == (first.position, True)


async def test_an_ingest_that_ended_answers(broker: HeldBroker) -> None:
    """Nobody waits for ever for a publish that nobody carries any more."""
    ingest = Ingest(broker, KNOWN, Metrics())
    task = asyncio.create_task(ingest.run())
    broker.storing.clear()
    on_its_way = ingest.submit(request(1))
    await eventually(lambda: ingest._queue.empty(), "it is on its way")
    waiting = ingest.submit(request(2))
    task.cancel()
    await asyncio.wait([task])
    for answer in (on_its_way, waiting, ingest.submit(request(3))):
        with pytest.raises(BrokerUnavailableError):
            await answer


async def test_who_gave_up_waiting_is_left_alone(ingest: Ingest, broker: HeldBroker) -> None:
    """A cancelled answer disturbs neither its batch nor the counts."""
    broker.storing.clear()
    gone, stays = ingest.submit(request(1)), ingest.submit(request(2))
    gone.cancel()
    broker.storing.set()
    assert (await stays).position.seq == 2
    assert ingest._metrics.published == 1


def test_publish_ids_are_a_subjects_own() -> None:
    """Two subjects never share one, however they spell their names."""
    names = [("a", "b"), ("b", "a"), ("ab", ""), ("", "ab"), ("a", "bb"), ("a\0b", "c")]
    ids = {producer_id(subject, producer) for subject, producer in names}
    assert len(ids) == len(names)


def test_publishes_without_an_id_are_one_producers() -> None:
    """Counted, so that the broker remembers one producer for all of them, and another hub's are
    never taken for them."""
    ingest, other = (Ingest(HeldBroker(), KNOWN, Metrics()) for _ in range(2))
    producers, numbers = zip(*(ingest.next_id() for _ in range(3)), strict=True)
    assert len(set(producers)) == 1
    assert numbers == (1, 2, 3)
    assert other.next_id()[0] != producers[0]
