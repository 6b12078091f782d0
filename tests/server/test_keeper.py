"""How a feed is kept in step with a broker that loses, forgets and delays: seen by a subscriber,
who notices nothing but a reset."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from hub.core.audience import Audience
from hub.core.feed import MAX_HELD
from hub.core.frame import Frame
from hub.server.feeds import Feeds
from tests.server.conftest import MakeHub
from tests.support.brokers import eventually, store
from tests.support.held_broker import HeldBroker
from tests.support.livehub import OWN, Adapter, LiveHub, token
from tests.support.publications import entry, touch, value
from tests.support.socket_client import SocketClient, welcomed


@pytest.fixture(params=[OWN], ids=lambda adapter: adapter.name)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    """Feeds know nothing of adapters."""
    found: Adapter = request.param
    return found


@pytest.fixture
def broker() -> HeldBroker:
    return HeldBroker()


@pytest.fixture
async def live(make_hub: MakeHub, broker: HeldBroker) -> LiveHub:
    """A hub that compares heads only when a test lets it."""
    return await make_hub(broker, idle_check_seconds=3600.0)


@pytest.fixture
async def client(live: LiveHub, broker: HeldBroker) -> AsyncIterator[SocketClient]:
    """Follows a log that has one entry."""
    await store(broker, entry(1, b"1"))
    async with welcomed(live.url, token()) as client:
        await client.subscribe("decisions")
        yield client


@pytest.fixture
def feeds(live: LiveHub) -> Feeds:
    return live.hub.feeds


async def seqs(client: SocketClient, count: int) -> list[int]:
    """The seqs of the next frames, which are updates."""
    frames = [await client.recv() for _ in range(count)]
    assert {frame["type"] for frame in frames} == {"update"}
    return [frame["seq"] for frame in frames]


async def test_a_hole_is_mended_by_the_next_entry(
    client: SocketClient, broker: HeldBroker, live: LiveHub
) -> None:
    """An entry that does not follow makes the hub read what is missing; no frame says so."""
    broker.deaf = True
    await store(broker, entry(2, b"2"), entry(3, b"3"))
    broker.deaf = False
    await store(broker, entry(4, b"4"))
    assert await seqs(client, 3) == [2, 3, 4]
    assert await client.is_quiet()
    assert live.hub.metrics.resets == 0


async def test_a_renewed_lease_shows_a_hole(client: SocketClient, broker: HeldBroker) -> None:
    """A producer with nothing new tells where its channel stands, and the hub catches up."""
    broker.deaf = True
    await store(broker, entry(2, b"2"))
    broker.deaf = False
    reading = await broker.read("decisions", None, 1)
    assert reading.kind is not None
    await store(broker, touch("decisions", reading.kind, lease_ms=60_000))
    assert await seqs(client, 1) == [2]
    assert await client.is_quiet()


async def test_a_silent_loss_is_found(
    client: SocketClient, broker: HeldBroker, live: LiveHub, feeds: Feeds
) -> None:
    """A quiet channel's position is compared with the broker's, and a loss is counted."""
    broker.deaf = True
    await store(broker, entry(2, b"2"))
    await feeds.compare_heads(3600.0)
    assert live.hub.metrics.silent_losses == 0
    await feeds.compare_heads(0.0)
    assert await seqs(client, 1) == [2]
    assert live.hub.metrics.silent_losses == 1
    await feeds.compare_heads(0.0)
    assert live.hub.metrics.silent_losses == 1
    assert await client.is_quiet()


async def test_a_channel_that_moved_while_heads_were_compared(
    client: SocketClient,
    broker: HeldBroker,
    live: LiveHub,
    feeds: Feeds,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An entry that was heard since is no loss, though the broker's answer is older."""
    heads = await broker.heads(["decisions"])

    async def answer_late(channels: list[str]) -> list[object]:
        await store(broker, entry(2, b"2"))
        assert await seqs(client, 1) == [2]
        return list(heads)

    monkeypatch.setattr(broker, "heads", answer_late)
    await feeds.compare_heads(0.0)
    assert live.hub.metrics.silent_losses == 0
    assert broker.reads == 1


async def test_a_link_that_was_away_is_read_over(client: SocketClient, broker: HeldBroker) -> None:
    """After it came back everything that it lost is read, with no reset."""
    broker.deaf = True
    await store(broker, *(entry(n, b"1") for n in range(2, 50)))
    broker.deaf = False
    broker.restore("decisions")
    assert await seqs(client, 48) == list(range(2, 50))
    assert await client.is_quiet()


async def test_what_comes_during_a_reading_is_held_back(
    client: SocketClient, broker: HeldBroker
) -> None:
    """It follows what the reading brings, in order and once."""
    broker.deaf = True
    await store(broker, entry(2, b"2"))
    broker.deaf = False
    broker.reading.clear()
    broker.restore("decisions")
    await eventually(lambda: broker.reads == 2, "it reads")
    await store(broker, entry(3, b"3"), entry(4, b"4"))
    assert await client.is_quiet()
    broker.reading.set()
    assert await seqs(client, 3) == [2, 3, 4]
    assert await client.is_quiet()


async def test_what_arrives_together_is_fanned_out_together(
    client: SocketClient, broker: HeldBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one step, of which a foreign publish makes two: it keeps its place in the order."""
    advance, steps = Audience.advance, []

    def watched(self: Audience, frames: Sequence[Frame], now: float) -> None:
        steps.append(len(frames))
        advance(self, frames, now)

    monkeypatch.setattr(Audience, "advance", watched)
    await store(broker, entry(2, b"2"), entry(3, b"3"))
    await broker.publish("decisions", b'"by hand"')
    await store(broker, entry(4, b"4"), entry(5, b"5"), entry(6, b"6"))
    heard = [await client.recv() for _ in range(6)]
    assert [frame["data"] for frame in heard] == [2, 3, "by hand", 4, 5, 6]
    assert steps == [2, 3]


async def test_more_than_can_be_held_back_is_read_again(
    client: SocketClient, broker: HeldBroker
) -> None:
    """However much comes during a reading, nothing is lost and nothing doubled."""
    broker.reading.clear()
    broker.restore("decisions")
    await eventually(lambda: broker.reads == 2, "it reads")
    last = MAX_HELD + 500
    await store(broker, *(entry(n, b"1") for n in range(2, last + 1)))
    assert await client.is_quiet()
    broker.reading.set()
    assert await seqs(client, last - 1) == list(range(2, last + 1))
    assert await client.is_quiet()


async def test_a_broker_that_is_away_is_asked_until_it_answers(
    client: SocketClient, broker: HeldBroker
) -> None:
    """A repair outlasts the broker's absence; the socket stays open."""
    broker.deaf = broker.away = True
    broker.restore("decisions")
    await eventually(lambda: broker.reads >= 3, "it tries again")
    broker.away = False
    await store(broker, entry(2, b"2"))
    broker.deaf = False
    broker.restore("decisions")
    assert await seqs(client, 1) == [2]
    assert await client.is_quiet()


async def test_a_fork_is_announced(client: SocketClient, broker: HeldBroker, live: LiveHub) -> None:
    """After a rollback the same seq carries other content: subscribers are told, and begin anew
    with what is true now."""
    await store(broker, entry(2, b'"lost"'))
    assert await seqs(client, 1) == [2]
    broker.forget("decisions", 1)
    await store(broker, entry(3, b'"true"'))
    reset, snapshot = await client.recv(), await client.recv()
    assert (reset["type"], reset["state"]) == ("channel", "reset")
    assert [e["data"] for e in snapshot["data"]["entries"]] == [1, "true"]
    await store(broker, entry(4, b"4"))
    assert await seqs(client, 1) == [3]
    assert live.hub.metrics.resets == 1


async def test_a_rollback_is_found_on_a_quiet_channel(
    client: SocketClient, broker: HeldBroker, feeds: Feeds
) -> None:
    """A head behind the hub's own is no earlier moment but another history."""
    await store(broker, entry(2, b"2"))
    assert await seqs(client, 1) == [2]
    broker.forget("decisions", 1)
    await feeds.compare_heads(0.0)
    assert (await client.recv())["state"] == "reset"
    assert [e["data"] for e in (await client.recv())["data"]["entries"]] == [1]


async def test_duplicates_are_counted_and_not_passed_on(
    client: SocketClient, broker: HeldBroker, live: LiveHub
) -> None:
    """An envelope that is delivered again changes nothing."""
    [known] = (await broker.read("decisions", 0, 10)).entries
    for _ in range(3):
        await broker.publish("decisions", known.payload)
    await store(broker, entry(2, b"2"))
    assert await seqs(client, 1) == [2]
    assert live.hub.metrics.duplicates == 3
    assert broker.reads == 2  # the first one, and the test's own


async def test_a_value_is_mended_by_its_newest(live: LiveHub, broker: HeldBroker) -> None:
    """What is missing of a value comes as the entries it is, each following the one before."""
    await store(broker, value(1, b"1"))
    async with welcomed(live.url, token()) as client:
        await client.subscribe("portfolio")
        broker.deaf = True
        await store(broker, *(value(n, b"%d" % n) for n in range(2, 6)))
        broker.deaf = False
        broker.restore("portfolio")
        assert await seqs(client, 4) == [2, 3, 4, 5]
