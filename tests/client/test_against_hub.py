"""The client against a real hub: uvicorn, our protocol class, memory or Valkey behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from hub.broker.memory import MemoryBroker
from hub.client import (
    Client,
    Forbidden,
    Frame,
    LogState,
    Recovered,
    Refused,
    Reset,
    Snapshot,
    Subscription,
    TableState,
    Unauthorized,
    Update,
    ValueState,
)
from hub.protocol import codes
from hub.protocol.position import Position
from hub.protocol.streams import Kind
from tests.support.livehub import LiveHub, token
from tests.support.valkey import Valkey

DEADLINE_SECONDS = 20.0


@pytest.fixture
async def live() -> AsyncIterator[LiveHub]:
    """A hub whose channels live in memory."""
    async with LiveHub(MemoryBroker()) as live:
        yield live


async def take(subscription: Subscription, count: int) -> list[Frame]:
    """The next frames of a subscription."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        return [await anext(subscription) for _ in range(count)]


async def take_until(subscription: Subscription, data: object) -> list[Frame]:
    """The frames of a subscription up to the update with this data."""
    frames = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        async for frame in subscription:
            frames.append(frame)
            if isinstance(frame, Update) and frame.data == data:
                break
    return frames


def seqs(frames: list[Frame]) -> list[int]:
    """The seqs of the updates among frames."""
    return [f.position.seq for f in frames if isinstance(f, Update) and f.position is not None]


async def test_every_kind_is_followed_from_its_snapshot(live: LiveHub) -> None:
    """A value, a table and a log are published and followed over one connection each way."""
    async with Client(live.url, token()) as agent, Client(live.url, token()) as desk:
        await agent.publish("portfolio", "portfolio_update", {"balance": "1.00"})
        await agent.publish("positions", "positions_update", {"rows": {"a": {"size": "1"}}})
        await agent.publish("decisions", "decision_made", {"id": "d1"})
        portfolio, positions = desk.subscribe("portfolio"), desk.subscribe("positions")
        decisions = desk.subscribe("decisions")
        value, table, log = ValueState(), TableState(), LogState()
        value.apply((await take(portfolio, 1))[0])
        table.apply((await take(positions, 1))[0])
        log.apply((await take(decisions, 1))[0])
        await agent.publish("portfolio", "portfolio_update", {"balance": "2.00"})
        change = {"upsert": {"b": {"size": "2"}}, "delete": ["a"]}
        await agent.publish("positions", "positions_update", change)
        await agent.publish("decisions", "decision_made", {"id": "d2"})
        value.apply((await take(portfolio, 1))[0])
        table.apply((await take(positions, 1))[0])
        log.apply((await take(decisions, 1))[0])
        assert value.value == {"balance": "2.00"}
        assert table.rows == {"b": {"size": "2"}}
        assert [(entry.seq, entry.data["id"]) for entry in log.entries] == [(1, "d1"), (2, "d2")]
        kinds = [portfolio.kind, positions.kind, decisions.kind]
        assert kinds == [Kind.VALUE, Kind.TABLE, Kind.LOG]


async def test_an_empty_channel_begins_with_an_empty_snapshot(live: LiveHub) -> None:
    """The first entry of a channel follows the snapshot of nothing, and nothing is announced."""
    async with Client(live.url, token()) as client:
        alerts = client.subscribe("alerts")
        [snapshot] = await take(alerts, 1)
        assert isinstance(snapshot, Snapshot)
        assert snapshot.position == Position("", 0, "")
        assert snapshot.data == {"entries": []}
        published = await client.publish("alerts", "alert", {"text": "hi"})
        [update] = await take(alerts, 1)
        assert isinstance(update, Update)
        assert update.position == published.position


async def test_a_position_returns_to_what_follows_it(live: LiveHub) -> None:
    """A subscription with `since` yields what was missed, entry by entry."""
    async with Client(live.url, token()) as client:
        first = await client.publish("decisions", "decision_made", 1)
        for n in (2, 3):
            await client.publish("decisions", "decision_made", n)
        recovered, *updates = await take(client.subscribe("decisions", since=first.position), 3)
        assert recovered == Recovered(channel="decisions", since=first.position)
        assert seqs(updates) == [2, 3]


async def test_a_value_returns_conflated(live: LiveHub) -> None:
    """A value that moved on many times is brought forward by one update that says so."""
    async with Client(live.url, token()) as client:
        first = await client.publish("portfolio", "portfolio_update", 1)
        for n in (2, 3, 4):
            await client.publish("portfolio", "portfolio_update", n)
        _, update = await take(client.subscribe("portfolio", since=first.position), 2)
        assert isinstance(update, Update)
        assert (update.data, update.prev, update.skipped) == (4, 1, 2)


async def test_a_fork_is_announced(live: LiveHub) -> None:
    """A position whose tag is not the channel's is answered with a reset and a snapshot."""
    async with Client(live.url, token()) as client:
        at = (await client.publish("decisions", "decision_made", 1)).position
        forked = Position(at.epoch, at.seq, "00000000")
        reset, snapshot = await take(client.subscribe("decisions", since=forked), 2)
        assert isinstance(reset, Reset)
        assert reset.last == forked
        assert isinstance(snapshot, Snapshot)


async def test_broken_links_lose_nothing(live: LiveHub) -> None:
    """However often the links break, a log arrives whole, in order and once."""
    async with (
        Client(live.url, token()) as agent,
        Client(live.url, token(), max_delay_seconds=0.05) as desk,
    ):
        decisions = desk.subscribe("decisions")
        await take(decisions, 1)
        heard = asyncio.create_task(take_until(decisions, 49))
        for n in range(50):
            await agent.publish("decisions", "decision_made", n)
            if n % 10 == 9:
                live.break_links()
        assert seqs(await heard) == list(range(1, 51))


async def test_a_retried_publish_is_stored_once(live: LiveHub) -> None:
    """Publishes under way when the link breaks are stored once each, whatever was answered."""
    async with Client(live.url, token(), max_delay_seconds=0.05) as client:
        publishes = [
            asyncio.create_task(client.publish("decisions", "decision_made", n)) for n in range(100)
        ]
        await asyncio.wait(publishes, return_when=asyncio.FIRST_COMPLETED)
        live.break_links()
        positions = [(await publish).position for publish in publishes]
        assert sorted(position.seq for position in positions) == list(range(1, 101))
        [snapshot] = await take(client.subscribe("decisions"), 1)
        assert isinstance(snapshot, Snapshot)
        assert snapshot.position.seq == 100


async def test_a_slow_consumer_gets_every_entry_of_a_log(live: LiveHub) -> None:
    """A consumer that looks away for longer than its queue holds finds every entry later."""
    async with Client(live.url, token(), queue_frames=5) as client:
        decisions, portfolio = client.subscribe("decisions"), client.subscribe("portfolio")
        await take(decisions, 1)
        await take(portfolio, 1)
        for n in range(40):
            await client.publish("decisions", "decision_made", n)
            await client.publish("portfolio", "portfolio_update", n)
        entries = await take_until(decisions, 39)
        assert seqs(entries) == list(range(1, 41))
        assert any(isinstance(frame, Recovered) for frame in entries)
        values = await take_until(portfolio, 39)
        updates = [frame for frame in values if isinstance(frame, Update)]
        at = 0
        for update in updates:
            assert update.position is not None
            assert (update.prev, update.skipped) == (at, update.position.seq - at - 1)
            at = update.position.seq
        assert at == 40
        assert any(update.skipped for update in updates)


async def test_a_paced_subscription_is_conflated_by_the_hub(live: LiveHub) -> None:
    """With `interval_ms` the newest value comes, and what was skipped is counted."""
    async with Client(live.url, token()) as client:
        portfolio = client.subscribe("portfolio", interval_ms=50)
        await take(portfolio, 1)
        await asyncio.gather(
            *(client.publish("portfolio", "portfolio_update", n) for n in range(30))
        )
        await client.publish("portfolio", "portfolio_update", "last")
        updates = [f for f in await take_until(portfolio, "last") if isinstance(f, Update)]
        assert sum(1 + update.skipped for update in updates) == 31
        assert len(updates) < 31


async def test_rights_are_told_by_type(live: LiveHub) -> None:
    """What a token does not allow raises Forbidden, and costs nothing else."""
    async with Client(live.url, token(read=["portfolio"], publish=["fills"])) as client:
        with pytest.raises(Forbidden):
            await take(client.subscribe("decisions"), 1)
        with pytest.raises(Forbidden):
            await client.publish("decisions", "decision_made", 1)
        await client.publish("fills", "fill", None)
        await take(client.subscribe("portfolio"), 1)


async def test_wrong_data_is_refused_by_its_code(live: LiveHub) -> None:
    """NaN money and a table's wrong shape are refused with the code for data."""
    async with Client(live.url, token()) as client:
        for channel, data in (("portfolio", "NaN"), ("positions", [1])):
            with pytest.raises(Refused) as refusal:
                await client.publish(channel, "set", data)
            assert refusal.value.code == codes.INVALID_DATA.number


async def test_a_bad_token_ends_the_client(live: LiveHub) -> None:
    """A token that is no token is refused for good."""
    async with Client(live.url, "nonsense") as client:
        with pytest.raises(Unauthorized):
            await take(client.subscribe("portfolio"), 1)


async def test_a_token_that_ends_is_followed_by_another(live: LiveHub) -> None:
    """With a token source, a subscription outlives the tokens."""
    given = 0

    async def source() -> str:
        nonlocal given
        given += 1
        return token(ttl_seconds=1)

    async with (
        Client(live.url, token()) as agent,
        Client(live.url, source, max_delay_seconds=0.05) as desk,
    ):
        decisions = desk.subscribe("decisions")
        await take(decisions, 1)
        await agent.publish("decisions", "decision_made", 1)
        heard = await take(decisions, 2)
        assert seqs(heard) == [1]
        assert isinstance(heard[1], Recovered)
        await agent.publish("decisions", "decision_made", 2)
        assert seqs(await take_until(decisions, 2)) == [2]
    assert given >= 2


async def test_a_hub_that_ends_is_followed_by_a_replica(valkey: Valkey) -> None:
    """Clients of a hub that drains go on at another, exact, while publishes go on."""
    async with LiveHub(redis_url=valkey.url) as first, LiveHub(redis_url=valkey.url) as second:
        urls = [first.url, second.url]
        async with (
            Client(urls, token(), max_delay_seconds=0.05) as agent,
            Client(urls, token(), max_delay_seconds=0.05) as desk,
        ):
            decisions = desk.subscribe("decisions")
            await take(decisions, 1)
            heard = asyncio.create_task(take_until(decisions, 39))
            for n in range(40):
                await agent.publish("decisions", "decision_made", n)
                if n == 20:
                    await first.stop()
            assert seqs(await heard) == list(range(1, 41))


async def test_lost_history_is_announced(valkey: Valkey) -> None:
    """When Redis comes back empty, a Reset precedes the snapshot of the new history."""
    async with (
        LiveHub(redis_url=valkey.url, idle_check_seconds=0.2) as live,
        Client(live.url, token(), max_delay_seconds=0.05) as client,
    ):
        decisions = client.subscribe("decisions")
        await take(decisions, 1)
        old = (await client.publish("decisions", "decision_made", 1)).position
        await take(decisions, 1)
        valkey.kill()
        await asyncio.to_thread(valkey.start)
        new = (await client.publish("decisions", "decision_made", 2)).position
        assert new.epoch != old.epoch
        frames = await take(decisions, 2)
        assert isinstance(frames[0], Reset)
        assert frames[0].last == old
        assert isinstance(frames[1], Snapshot)
        while decisions.position != new:
            await take(decisions, 1)
