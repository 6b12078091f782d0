"""The old server's WebSockets, over either adapter: what is told, and what is answered."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
import redis

from hub.protocol import codes, keys
from hub.protocol.envelope import encode_envelope
from hub.protocol.publication import AppendEntry, Publication, SetValue
from hub.protocol.streams import Kind
from hub.server.legacy import frames
from hub.server.settings import LEGACY_SUBSCRIPTIONS
from producers.events import (
    Action,
    Alert,
    Failure,
    Health,
    HealthState,
    OodaState,
    ProcessState,
    Severity,
    Side,
    StateTransition,
)
from tests.server.conftest import MakeHub, every_adapter
from tests.server.legacy.listening import is_quiet, is_whole, listening, settled
from tests.server.legacy.samples import (
    DECISION,
    OLD_DECISION,
    OLD_PORTFOLIO,
    OLD_POSITION,
    PORTFOLIO,
    POSITION,
    STATUS,
    WS,
    Agent,
    changed,
)
from tests.support.brokers import eventually, store
from tests.support.livehub import LiveHub
from tests.support.valkey import Valkey

adapter = every_adapter


# States


async def test_a_portfolio_at_once_and_as_it_changes(live: LiveHub, agent: Agent) -> None:
    """Numbers are numbers, and the fields of the data are repeated where old hooks look."""
    await agent.portfolio()
    async with listening(live, f"{WS}/portfolio") as client:
        frame = await client.recv()
        assert frame == {**OLD_PORTFOLIO, "event": "portfolio_update", "data": OLD_PORTFOLIO}
        await agent.portfolio(changed(PORTFOLIO, equity=Decimal("10200.01")))
        frame = await client.recv()
        assert frame["portfolio_value"] == frame["data"]["portfolio_value"] == 10200.01
        assert is_whole(frame)


async def test_digits_are_those_that_were_published(live: LiveHub, agent: Agent) -> None:
    """A number is the text that was published without its quotes: no float was in between."""
    await agent.portfolio(changed(PORTFOLIO, equity=Decimal("9007199254740993.10")))
    async with listening(live, f"{WS}/portfolio") as client:
        text = await client.connection.recv(decode=False)
        assert b'"portfolio_value":9007199254740993.10' in text
        assert b'"total":10000.00' in text


async def test_positions_come_in_full(live: LiveHub, agent: Agent) -> None:
    """Each time all that are open, whatever of them changed."""
    await agent.positions(POSITION)
    async with listening(live, f"{WS}/positions") as client:
        frame = await client.recv()
        assert frame["event"] == "positions_update"
        assert frame["data"] == {"positions": [OLD_POSITION]}
        assert is_whole(frame)
        other = changed(POSITION, id="p-2", side=Side.SHORT, size=Decimal("3"))
        await agent.position(other)
        both = [OLD_POSITION, {**OLD_POSITION, "id": "p-2", "side": "SHORT", "size": 3}]
        assert (await client.recv())["positions"] == both
        await agent.positions(other)
        assert (await client.recv())["positions"] == both[1:]
        await agent.positions()
        assert (await client.recv())["data"] == {"positions": []}


async def test_many_changes_are_one_frame(live: LiveHub, agent: Agent) -> None:
    """States are told ten times a second at most, and the last is what there is."""
    await agent.portfolio()
    async with listening(live, f"{WS}/portfolio") as client:
        await client.recv()
        for cents in range(1, 301):
            await agent.portfolio(changed(PORTFOLIO, equity=Decimal(cents) / 100))
        told = await client.until(lambda frame: frame["portfolio_value"] == 3.0)
        values = [frame["portfolio_value"] for frame in told]
        assert values == sorted(values)
        assert len(values) < 150


async def test_nothing_is_shown_where_nothing_was_published(live: LiveHub) -> None:
    """No account is none, and not one of $0; an agent that never reported is offline."""
    async with listening(live) as client:
        told = await settled(live, client)
        assert {frame["event"] for frame in told} == {"status", "positions_update"}
        for frame in told:
            if frame["event"] == "status":
                assert frame["unified_status"] == "offline"
                assert frame["portfolio_value"] is None
            else:
                assert frame["data"] == {"positions": []}


@pytest.mark.every_loop
async def test_everything_at_once(live: LiveHub, agent: Agent) -> None:
    """On the first path the agent, its account and its positions are told as they are, and no
    event that is over."""
    await agent.decision()
    await agent.portfolio()
    await agent.positions(POSITION)
    await agent.status()
    await agent.health(Health(state=HealthState.OK))
    async with listening(live) as client:
        told = {frame["event"]: frame["data"] for frame in await settled(live, client)}
        assert told.keys() == {"status", "portfolio_update", "positions_update", "health"}
        assert told["portfolio_update"] == OLD_PORTFOLIO
        assert told["positions_update"] == {"positions": [OLD_POSITION]}
        assert told["health"]["status"] == "healthy"
        assert told["status"] == {
            "state": "running",
            "agent_ooda_state": "REASONING",
            "unified_status": "active",
            "status_description": "The agent is at work.",
            "is_operational": True,
            "uptime_seconds": 90,
            "total_trades": 3,
            "active_positions": 1,
            "portfolio_value": 10174.69,
            "daily_pnl": None,
            "current_asset_pair": "ETHUSD",
            "last_decision_time": "2026-01-02T03:04:05Z",
            "error_message": None,
            "config": {"asset_pairs": [], "autonomous": True, "paused": False},
        }


async def test_the_status_is_whole_however_late_the_others_are(live: LiveHub, agent: Agent) -> None:
    """The first dashboard of a hub is told of the account though its channel came up later."""
    await agent.status(changed(STATUS, state=ProcessState.STOPPED))
    await agent.portfolio()
    await agent.decision()
    async with listening(live) as client:
        await client.until(
            lambda frame: (
                frame["event"] == "status"
                and frame["portfolio_value"] == 10174.69
                and frame["current_asset_pair"] == "ETHUSD"
            )
        )


# Events


async def test_the_newest_decision_and_then_each(live: LiveHub, agent: Agent) -> None:
    """The stream of decisions begins with the newest, and goes on with every one; the old server
    sent one and then none."""
    await agent.decisions(range(1, 4))
    async with listening(live, f"{WS}/decisions") as client:
        frame = await client.recv()
        assert frame["event"] == "decision_made"
        assert frame["data"] == {**OLD_DECISION, "decision_id": "d-3", "id": "d-3"}
        assert is_whole(frame)
        await agent.decisions(range(4, 304))
        told = [(await client.recv())["decision_id"] for _ in range(300)]
        assert told == [f"d-{n}" for n in range(4, 304)]
        assert await is_quiet(client)


@pytest.mark.every_loop
async def test_every_event_arrives(live: LiveHub, agent: Agent) -> None:
    """Each under its name and once, in order, those of other names too; the old server drained up
    to a hundred and sent the last."""
    async with listening(live) as client:
        await settled(live, client)
        for n in range(50):
            reason = f"step {n}"
            step = StateTransition(
                from_state=OodaState.IDLE, to_state=OodaState.PERCEPTION, reason=reason
            )
            await agent.did("state_transition", step)
            await agent.did("signal_sent", {"n": n, "price": Decimal("1.50")})
        told = [await client.recv() for _ in range(100)]
        assert all(is_whole(frame) for frame in told)
        steps = [frame for frame in told if frame["event"] == "state_transition"]
        assert [step["reason"] for step in steps] == [f"step {n}" for n in range(50)]
        assert {(step["from"], step["to"]) for step in steps} == {("IDLE", "PERCEPTION")}
        signals = [frame for frame in told if frame["event"] == "signal_sent"]
        assert [(signal["n"], signal["price"]) for signal in signals] == [
            (n, 1.5) for n in range(50)
        ]


async def test_a_decision_is_told_once(live: LiveHub, agent: Agent) -> None:
    """The agent's own log repeats each decision; dashboards would show it twice."""
    async with listening(live) as client:
        await settled(live, client)
        await agent.decision()
        await agent.decision(changed(DECISION, executed=True), "decision_updated")
        await agent.did("position_opened", POSITION)
        await agent.did("position_closed", POSITION)
        told = await client.until(lambda frame: frame["event"] == "position_closed")
        told = [frame for frame in told if frame["event"] != "status"]
        assert [frame["event"] for frame in told] == [
            "decision_made",
            "decision_updated",
            "position_opened",
            "position_closed",
        ]
        assert told[0]["data"] == OLD_DECISION
        assert told[1]["data"] == {**OLD_DECISION, "executed": True}
        assert told[2]["data"].items() >= OLD_POSITION.items()
        assert told[3]["pnl_pct"] == 0.04


async def test_errors_and_alerts(live: LiveHub, agent: Agent) -> None:
    """An agent's error says its message where old hooks look for one."""
    async with listening(live) as client:
        await settled(live, client)
        await agent.did("error", Failure(component="execution", detail="no margin"))
        frame = await client.recv()
        assert (frame["event"], frame["message"]) == ("error", "execution: no margin")
        assert frame["data"]["detail"] == "no margin"
        await agent.alert(Alert(severity=Severity.CRITICAL, title="look"))
        frame = await client.recv()
        assert (frame["event"], frame["data"]["title"]) == ("alert", "look")


async def test_a_name_that_a_frame_has_itself_wins(live: LiveHub, agent: Agent) -> None:
    """A field that is called `event` or `data` stays below, and hides neither."""
    async with listening(live) as client:
        await settled(live, client)
        await agent.did("odd", {"event": "fake", "data": 1, "n": 2})
        frame = await client.recv()
        assert (frame["event"], frame["n"]) == ("odd", 2)
        assert frame["data"].items() >= {"event": "fake", "data": 1, "n": 2}.items()
        await agent.did("odd", "text alone")
        assert await client.recv() == {"event": "odd", "data": "text alone"}


async def test_what_must_not_be_shown_is_not_told(make_hub: MakeHub, valkey: Valkey) -> None:
    """Poison in a log has lost its data, and is no decision about nothing."""
    live = await make_hub(redis_url=valkey.url, legacy_paths=True)
    agent = Agent(live.hub.broker)
    await agent.decision()
    async with listening(live, f"{WS}/decisions") as client:
        assert (await client.recv())["id"] == "d-1"
        before = (await live.hub.broker.read("decisions", None, 1)).position
        assert before is not None
        poison = encode_envelope("decisions", "decision_made", before, 1, b'{"id":"NaN"}')
        with redis.Redis(unix_socket_path=str(valkey.socket)) as admin:
            admin.publish(keys.pubsub("decisions"), poison.payload)
        audience = live.hub.registry.get("decisions")
        assert audience is not None
        feed = audience.feed
        await eventually(lambda: feed.position == poison.position, "the poison was applied")
        assert await is_quiet(client)


async def test_what_was_published_by_hand(live: LiveHub, agent: Agent) -> None:
    """An event comes under its name; what is no event of a table changes nothing of it."""
    await agent.positions(POSITION)
    async with listening(live) as client:
        await settled(live, client)
        broker = live.hub.broker
        await broker.publish("agent", b'{"event":"hello","data":{"price":"1.50"}}')
        frame = await client.recv()
        assert (frame["event"], frame["price"]) == ("hello", 1.5)
        await broker.publish("positions", b'{"event":"hello","data":{"upsert":{"x":1}}}')
        frame = await client.recv()
        assert (frame["event"], frame["positions"]) == ("positions_update", [OLD_POSITION])


async def test_a_channel_of_another_kind(live: LiveHub, agent: Agent) -> None:
    """What was recorded as a log is told as events, whatever its name promises."""
    async with listening(live, f"{WS}/portfolio") as client:
        change = AppendEntry(b'{"equity":"1.50"}')
        odd = Publication("portfolio", Kind.LOG, "noted", change, "other", 1)
        await store(live.hub.broker, odd)
        told = await client.until(lambda frame: frame["event"] == "noted")
        assert told[-1]["equity"] == 1.5
    other = Publication("decisions", Kind.VALUE, "set", SetValue(b"1"), "other", 2)
    await store(live.hub.broker, other)
    await agent.status()
    async with listening(live) as client:
        statuses = [f for f in await settled(live, client) if f["event"] == "status"]
        assert [each["current_asset_pair"] for each in statuses] == [None] * len(statuses)
        await agent.status(changed(STATUS, uptime_seconds=91))
        told = await client.until(lambda frame: frame.get("uptime_seconds") == 91)


# What dashboards say


async def test_pings_are_answered(live: LiveHub) -> None:
    """In the two ways that old dashboards have."""
    async with listening(live, f"{WS}/decisions") as client:
        for ping in (
            '{"event":"ping","data":{}}',
            '{"action":"ping"}',
            '{"action":"ping","payload":{}}',
        ):
            await client.send(ping)
            assert await client.recv() == {"event": "pong", "data": {}}


async def test_start_is_answered(live: LiveHub) -> None:
    """Whoever may not command is told so, and so is who says no object; see test_agents.py."""
    async with listening(live, f"{WS}/decisions") as client:
        await client.send('{"action":"start","payload":{"autonomous":true,"asset_pairs":[]}}')
        frame = await client.recv()
        assert (frame["event"], frame["action"]) == ("error", "start")
        assert "does not allow commanding commands" in frame["message"]
        assert is_whole(frame)
        await client.send('{"action":"start","payload":[]}')
        assert "expected an object" in (await client.recv())["message"]
        assert await is_quiet(client)


async def test_anything_else_is_answered_by_what_was_expected(live: LiveHub) -> None:
    """An unknown action, and a command of the other protocol, lead to an error and nothing more."""
    async with listening(live, f"{WS}/decisions") as client:
        for said in (
            '{"action":"dance"}',
            '{"action":7}',
            "{}",
            '{"id":1,"method":"subscribe","params":{"channel":"portfolio"}}',
            '{"id":1,"method":"publish","params":{"channel":"x","event":"e","data":1}}',
        ):
            await client.send(said)
            frame = await client.recv()
            assert frame["event"] == "error"
            assert "expected an action (one of ping, start)" in frame["message"]
        assert await is_quiet(client)
        assert live.hub.registry.get("portfolio") is None


async def test_texts_that_are_no_objects_close(live: LiveHub) -> None:
    """Each is answered, and at the fifth the connection ends, as for every client."""
    async with listening(live, f"{WS}/decisions") as client:
        said = ("x", "[]", '{"id":1,"method":"ping","payload":1e999}', "7", "null")
        for text in said:
            await client.send(text)
        told, code, _ = await client.rest()
        assert [frame["event"] for frame in told] == ["error"] * 4
        assert code == codes.BAD_REQUEST.number


async def test_the_frames_are_made_once(
    live: LiveHub, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many hear an event, it is translated once."""
    made: list[str] = []
    encode = frames.encode_event

    def counted(event: str, data: Any) -> bytes:
        made.append(event)
        return encode(event, data)

    monkeypatch.setattr(frames, "encode_event", counted)
    async with listening(live) as one, listening(live) as two, listening(live) as three:
        sessions = list(live.hub.connections)
        await eventually(
            lambda: {len(each.outbox.subscriptions) for each in sessions} == {LEGACY_SUBSCRIPTIONS},
            "all follow all channels",
        )
        made.clear()
        await agent.did("signal", {"n": 1})
        await agent.portfolio()
        for client in (one, two, three):
            await client.until(lambda frame: frame["event"] == "portfolio_update")
        assert made == ["signal", "portfolio_update"]


async def test_actions_are_those_of_a_decision(live: LiveHub, agent: Agent) -> None:
    """A decision without confidence or reasons is shown without them, and breaks no dashboard."""
    async with listening(live, f"{WS}/decisions") as client:
        bare = changed(DECISION, action=Action.HOLD, confidence=None, reasoning=None)
        await agent.decision(bare)
        frame = await client.recv()
        assert (frame["action"], frame["confidence"], frame["reasoning"]) == ("HOLD", 0, "")
