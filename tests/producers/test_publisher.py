"""producers/publisher.py: what becomes of each kind of publish, on a real server."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any
from unittest.mock import AsyncMock

import pytest
from redis import Redis

from hub.protocol import keys
from hub.protocol.publication import Receipt
from hub.protocol.streams import Kind, Stream
from producers.answers import Answer, Outcome
from producers.errors import InvalidPayload, PublishRefused, RedisAway
from producers.events import (
    AgentStatus,
    Alert,
    Event,
    Health,
    HealthState,
    OodaState,
    ProcessState,
    Severity,
    Totals,
    TradingPosition,
)
from producers.link import Timing
from producers.publisher import Publisher
from tests.producers.payloads import decision, portfolio, position
from tests.producers.redis_view import envelopes, eventually, history, meta
from tests.support.valkey import Valkey


def receipt(answer: Answer) -> Receipt:
    assert answer.receipt is not None
    return answer.receipt


async def test_values(valkey: Valkey) -> None:
    """A value travels when it changed; an equal one gets the position of the one it equals."""
    async with Publisher(valkey.url) as publisher:
        first = receipt(await publisher.portfolio(portfolio()))
        again = receipt(await publisher.portfolio(portfolio()))
        other = receipt(await publisher.portfolio(portfolio(balance=Decimal(1))))
    assert (first.unchanged, again.unchanged, other.unchanged) == (False, True, False)
    assert again.position == first.position
    assert other.position.seq == 2
    events = [(event, data["balance"]) for event, data in history(valkey, "portfolio")]
    assert events == [("portfolio_update", "100"), ("portfolio_update", "1")]


async def test_each_payload_has_its_event(valkey: Valkey) -> None:
    """Status, health and alerts travel under their own names, on their own channels."""
    status = AgentStatus(
        state=ProcessState.RUNNING,
        ooda_state=OodaState.IDLE,
        paused=False,
        uptime_seconds=1,
        totals=Totals(),
    )
    async with Publisher(valkey.url) as publisher:
        await publisher.status(status)
        await publisher.health(Health(state=HealthState.OK))
        await publisher.alert(Alert(severity=Severity.INFO, title="t"))
        await publisher.agent_event(Event.ERROR, {"detail": "x"})
    for channel, event in (
        ("status", "status"),
        ("health", "health"),
        ("alerts", "alert"),
        ("agent", "error"),
    ):
        assert [each.event for each in envelopes(valkey, channel)] == [event]


async def test_a_payload_of_another_type_is_refused(valkey: Valkey) -> None:
    """Nothing travels under a name that it is not; it was published, or failed by accident."""
    health: Any = Health(state=HealthState.OK)
    async with Publisher(valkey.url) as publisher:
        for publish in (
            publisher.portfolio(health),
            publisher.status(health),
            publisher.health(portfolio()),  # type: ignore[arg-type]
            publisher.state("portfolio", {"balance": "1"}),  # type: ignore[arg-type]
            publisher.decision(health),
            publisher.alert(health),
            publisher.positions([health]),
        ):
            with pytest.raises(InvalidPayload, match="expected a payload of type"):
                await publish
    with Redis.from_url(valkey.url) as link:
        assert link.keys("*") == []


async def test_positions_that_redis_had_when_it_could_not_be_asked(valkey: Valkey) -> None:
    """A producer that starts while Redis is away opens nothing that was open, as it once did."""
    async with Publisher(valkey.url) as before:
        await before.positions([position("a"), position("b")])
    async with Publisher(valkey.url) as publisher:
        # On the one link, so that the read of the rows fails alone.
        publisher._link.read_rows = AsyncMock(side_effect=OSError)  # type: ignore[method-assign]
        await publisher.positions([position("a"), position("c")])
        await publisher.positions([position("a")])
    told = [(event, data["id"]) for event, data in history(valkey, "agent")]
    opened, closed = Event.POSITION_OPENED, Event.POSITION_CLOSED
    assert told == [(opened, "a"), (opened, "b"), (opened, "c"), (closed, "c")]


async def test_any_other_event(valkey: Valkey) -> None:
    """`publish` takes any event and data, money included."""
    async with Publisher(valkey.url) as publisher:
        await publisher.publish("fills:desk-7", "fill", {"price": Decimal("87305.50")})
    assert history(valkey, "fills:desk-7") == [("fill", {"price": "87305.50"})]


async def test_tables(valkey: Valkey) -> None:
    """A table is published whole or in part; the answer names the rows that changed."""
    async with Publisher(valkey.url) as publisher:
        whole = await publisher.publish("positions", "e", {"rows": {"a": {"x": 1}, "b": {}}})
        part = await publisher.publish("positions", "e", {"upsert": {"a": 2}, "delete": ["b"]})
        with pytest.raises(PublishRefused, match="a table expects"):
            await publisher.publish("positions", "e", [1, 2])
    assert receipt(whole).inserted == ("a", "b")
    assert (receipt(part).updated, receipt(part).deleted) == (("a",), ("b",))


@pytest.mark.parametrize(
    ("channel", "event", "data", "why"),
    [
        ("Fills", "e", 1, "expected a channel name"),
        ("fills", "an event", 1, "expected an event name"),
        ("fills", "e", {"price": "NaN"}, "expected a finite number"),
        ("fills", "e", "x" * 300_000, "expected at most"),
        ("commands:desk", "agent.stop", {}, "commands are sent through a hub"),
    ],
)
async def test_refused_before_it_is_sent(
    valkey: Valkey, channel: str, event: str, data: Any, why: str
) -> None:
    """What breaks a rule of the protocol is refused, and the next publish goes on. One where
    commands travel ended the publisher for all who publish with it."""
    async with Publisher(valkey.url) as publisher:
        with pytest.raises(PublishRefused, match=why):
            await publisher.publish(channel, event, data)
        await publisher.publish("fills", "e", 1)
    assert len(envelopes(valkey, "fills")) == 1


@pytest.mark.parametrize("key", [None, 5, ["a"], "\ud800"])
async def test_a_key_that_is_no_text(valkey: Valkey, key: Any) -> None:
    """It is refused; it used to end the publisher for all who publish with it."""
    async with Publisher(valkey.url) as publisher:
        with pytest.raises(InvalidPayload, match="key: expected valid Unicode text"):
            await publisher.publish("fills", "e", 1, key=key)
        await publisher.publish("fills", "e", 1)
    assert len(envelopes(valkey, "fills")) == 1


async def test_lists_keep_their_order_from_the_start(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest list stands, also one that comes just as Redis has said what was published
    before; it used to be overtaken by one that waited for that."""
    async with Publisher(valkey.url) as publisher:
        answered: asyncio.Future[dict[str, bytes]] = asyncio.get_running_loop().create_future()
        asked = asyncio.Event()

        async def answer(_channel: str) -> dict[str, bytes]:
            asked.set()
            return await answered

        monkeypatch.setattr(publisher._link, "read_rows", answer)

        async def publish(*ids: str) -> Answer:
            return await publisher.positions([position(each) for each in ids])

        async with asyncio.TaskGroup() as group:
            group.create_task(publish("p-1"))
            group.create_task(publish("p-2"))
            await asked.wait()
            answered.set_result({})
            group.create_task(publish("p-3"))
    with Redis.from_url(valkey.url) as by_hand:
        assert by_hand.hkeys(keys.state("positions")) == [b"p-3"]


async def test_rows_that_were_poisoned_by_hand(valkey: Valkey) -> None:
    """A producer that starts on a table with garbage in it publishes its own; it used to fail."""
    async with Publisher(valkey.url) as publisher:
        await publisher.positions([position("p-1"), position("p-2")])
    with Redis.from_url(valkey.url) as by_hand:
        by_hand.hset(keys.state("positions"), "p-1", "garbage")
        by_hand.hset(keys.state("positions"), "p-2", '{"size":"NaN"}')
    async with Publisher(valkey.url) as publisher:
        answer = receipt(await publisher.positions([position("p-1")]))
    assert (answer.updated, answer.deleted) == (("p-1",), ("p-2",))


@pytest.mark.parametrize("bad", [float("nan"), Decimal("NaN"), float("inf")])
async def test_money_that_is_no_number(valkey: Valkey, bad: Any) -> None:
    """NaN and infinity are refused in untyped data too."""
    async with Publisher(valkey.url) as publisher:
        with pytest.raises(InvalidPayload, match=r"payload\.price: expected a finite number"):
            await publisher.publish("fills", "e", {"price": bad})


async def test_keys(valkey: Valkey) -> None:
    """A keyed entry is published once for each content; only log entries have keys."""
    async with Publisher(valkey.url) as publisher:
        for data in (1, 1, 2):
            await publisher.publish("fills", "e", data, key="k")
        with pytest.raises(PublishRefused, match="expected a log"):
            await publisher.publish("status", "e", 1, key="k")
    assert history(valkey, "fills") == [("e", 1), ("e", 2)]


async def test_leases(valkey: Valkey) -> None:
    """A lease, in seconds, comes with a publish or a touch; without one it stays as it is."""
    async with Publisher(valkey.url) as publisher:
        await publisher.portfolio(portfolio(), lease=1.5)
        assert meta(valkey, "portfolio")["lease"] == "1500"
        touched = receipt(await publisher.touch("portfolio", lease=2))
        assert meta(valkey, "portfolio")["lease"] == "2000"
        await publisher.touch("portfolio")
        assert meta(valkey, "portfolio")["lease"] == "2000"
        for wrong in (-1, float("nan"), float("inf")):
            with pytest.raises(ValueError, match="lease: expected seconds"):
                await publisher.touch("portfolio", lease=wrong)
    assert touched.unchanged
    assert len(envelopes(valkey, "portfolio")) == 1


async def test_a_decision_is_published_once(valkey: Valkey) -> None:
    """However often it is handed over, at once or later, and after the producer's restart."""
    for _ in range(3):
        async with Publisher(valkey.url) as publisher:
            answers = await asyncio.gather(
                *(publisher.decision(decision("d1", metadata={"b": 1, "a": 2})) for _ in range(5))
            )
            same = await publisher.decision(decision("d1", metadata={"a": 2, "b": 1}))
            assert receipt(same).unchanged
            assert {receipt(each).position.seq for each in answers} == {1}
    assert [each.event for each in envelopes(valkey, "decisions")] == ["decision_made"]


async def test_a_changed_decision_is_an_update(valkey: Valkey) -> None:
    """The same id with another content is published as decision_updated."""
    async with Publisher(valkey.url) as publisher:
        await publisher.decision(decision("d1"), channel="decisions:a")
    async with Publisher(valkey.url) as publisher:
        await publisher.decision(decision("d1", executed=True), channel="decisions:a")
        await publisher.decision(decision("d2"), channel="decisions:a")
    told = [(event, data["id"], data["executed"]) for event, data in history(valkey, "decisions:a")]
    assert told == [
        ("decision_made", "d1", False),
        ("decision_updated", "d1", True),
        ("decision_made", "d2", False),
    ]


def agent_log(valkey: Valkey, channel: str = "agent") -> list[tuple[str, str]]:
    return [(event, data["id"]) for event, data in history(valkey, channel)]


async def test_positions(valkey: Valkey) -> None:
    """Rows that changed travel; the agent's log hears what was opened, updated and closed."""
    moved = position("a", current_price=Decimal(101), unrealized_pnl=Decimal("0.5"))
    larger = position("a", size=Decimal(1))
    lists: list[list[TradingPosition]] = [
        [position("a"), position("b")],
        [position("a"), position("b")],
        [moved, position("b")],
        [larger, position("c")],
        [],
    ]
    async with Publisher(valkey.url) as publisher:
        answers = [receipt(await publisher.positions(each)) for each in lists]
    assert [(each.inserted, each.updated, each.deleted) for each in answers] == [
        (("a", "b"), (), ()),
        ((), (), ()),
        ((), ("a",), ()),
        (("c",), ("a",), ("b",)),
        ((), (), ("a", "c")),
    ]
    assert answers[1].unchanged
    assert agent_log(valkey) == [
        ("position_opened", "a"),
        ("position_opened", "b"),
        ("position_closed", "b"),
        ("position_updated", "a"),
        ("position_opened", "c"),
        ("position_closed", "a"),
        ("position_closed", "c"),
    ]
    last_of_a = [data for event, data in history(valkey, "agent") if event == "position_closed"][1]
    assert last_of_a["size"] == "1"


async def test_positions_after_a_restart(valkey: Valkey) -> None:
    """A producer that was started again opens nothing twice, and knows what closed."""
    async with Publisher(valkey.url) as publisher:
        await publisher.positions([position("a"), position("b", size=Decimal(7))])
    async with Publisher(valkey.url) as publisher:
        await publisher.positions([position("a", current_price=Decimal(90))])
    assert agent_log(valkey)[2:] == [("position_closed", "b")]
    assert history(valkey, "agent")[-1][1]["size"] == "7"


async def test_positions_of_several_accounts(valkey: Valkey) -> None:
    """Each account has its table and its agent's log."""
    async with Publisher(valkey.url) as publisher:
        await asyncio.gather(
            publisher.positions([position("a")], channel="positions:x"),
            publisher.positions([position("b")], channel="positions:y:z"),
        )
    assert agent_log(valkey, "agent:x") == [("position_opened", "a")]
    assert agent_log(valkey, "agent:y:z") == [("position_opened", "b")]


async def test_the_first_lists_keep_their_order(valkey: Valkey) -> None:
    """Lists handed over before Redis said what was there travel in the order of the calls."""
    async with Publisher(valkey.url) as publisher:
        lists = [[position("a", size=Decimal(n))] for n in range(1, 20)]
        answers = await asyncio.gather(*(publisher.positions(each) for each in lists))
    assert answers[-1].outcome is Outcome.STORED
    assert history(valkey, "positions")[-1][1]["upsert"]["a"]["size"] == "19"


async def test_positions_in_an_outage(valkey: Valkey) -> None:
    """Lists that were superseded opened and closed nothing; the one that travelled did."""
    timing = Timing(connect_seconds=0.2, answer_seconds=0.2, longest_pause_seconds=0.1)
    async with Publisher(valkey.url, timing=timing) as publisher:

        def start(*positions: TradingPosition) -> asyncio.Task[Answer]:
            return asyncio.create_task(publisher.positions(positions, wait=True))

        await start(position("a"))
        valkey.freeze()
        waiting = start(position("a"), position("b"))
        await eventually(lambda: publisher.is_away, "a round that timed out")
        superseded = start(position("x"))
        last = start(position("c"))
        await asyncio.sleep(0)
        valkey.thaw()
        assert await superseded == Answer(Outcome.SUPERSEDED)
        await asyncio.gather(waiting, last)
    assert agent_log(valkey) == [
        ("position_opened", "a"),
        ("position_opened", "b"),
        ("position_closed", "a"),
        ("position_closed", "b"),
        ("position_opened", "c"),
    ]


async def test_lost_history(valkey: Valkey) -> None:
    """When Redis comes back empty, the log of positions goes on where it was: nothing that stayed
    open is opened again."""
    timing = Timing(longest_pause_seconds=0.1)
    async with Publisher(valkey.url, timing=timing) as publisher:
        await publisher.positions([position("a"), position("b")])
        await asyncio.to_thread(valkey.kill)
        await asyncio.to_thread(valkey.start)
        await publisher.positions([position("a"), position("c")])
    assert agent_log(valkey) == [
        ("position_opened", "a"),
        ("position_opened", "b"),
        ("position_closed", "b"),
        ("position_opened", "c"),
    ]


async def test_positions_that_contradict(valkey: Valkey) -> None:
    """A list that has an id twice is refused, rather than half of it be believed."""
    async with Publisher(valkey.url) as publisher:
        with pytest.raises(InvalidPayload, match="each id once, got 'a'"):
            await publisher.positions([position("a"), position("a", size=Decimal(9))])


async def test_streams_of_another_kind(valkey: Valkey) -> None:
    """A stream's kind is configured; typed calls need the kind that they are about."""
    streams = {"prices": Stream(Kind.VALUE), "positions": Stream(Kind.LOG)}
    async with Publisher(valkey.url, streams=streams) as publisher:
        assert receipt(await publisher.publish("prices", "e", 1)).position.seq == 1
        assert receipt(await publisher.publish("prices", "e", 1)).unchanged
        with pytest.raises(PublishRefused, match="expected a table"):
            await publisher.positions([])
        with pytest.raises(PublishRefused, match="expected a log"):
            await publisher.decision(decision("d"), channel="prices")


async def test_ping(valkey: Valkey) -> None:
    """Whether Redis answers, asked outright."""
    async with Publisher(valkey.url) as publisher:
        await publisher.ping()
        await asyncio.to_thread(valkey.kill)
        with pytest.raises(RedisAway, match="does not answer"):
            await publisher.ping()


def test_names() -> None:
    """A producer's name is part of a Redis key."""
    with pytest.raises(ValueError, match="got 'a b'"):
        Publisher("redis://localhost", name="a b")
