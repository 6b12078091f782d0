"""Commands to agents through a hub, over either adapter and over HTTP, on a real Valkey."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import redis

from hub.broker.base import BrokerUnavailableError
from hub.core.grant import Grant
from hub.protocol import codes, keys
from hub.protocol.agent_commands import CommandReceipt, CommandRequest, CommandState, Denial
from hub.protocol.errors import ProtocolError
from hub.protocol.position import Position
from hub.server import commanding as commanding_module
from hub.server import rest_commands
from hub.server.commanding import Commanding, command_id, origin_of
from hub.server.endings import ending_of
from hub.server.metrics import Metrics
from tests.server.conftest import MakeHub
from tests.support.brokers import DEADLINE_SECONDS, eventually
from tests.support.command_desk import CHANNEL, Desk
from tests.support.held_broker import HeldBroker
from tests.support.livehub import LiveHub, token
from tests.support.socket_client import Frame, SocketClient, welcomed
from tests.support.valkey import Valkey

URL = f"/api/v1/channels/{CHANNEL}"
ANN = token(subject="ann", read=(), publish=("*",), command=("commands:*",))


@pytest.fixture
def desk(valkey: Valkey) -> Iterator[Desk]:
    """An agent's worker, and a look into Valkey."""
    with redis.Redis(unix_socket_path=str(valkey.socket)) as client:
        yield Desk(client)


@pytest.fixture
async def hub(make_hub: MakeHub, valkey: Valkey) -> LiveHub:
    """A hub on that Valkey."""
    return await make_hub(redis_url=valkey.url)


@pytest.fixture
async def ann(hub: LiveHub) -> AsyncIterator[SocketClient]:
    """Somebody who may command every agent with a name."""
    async with welcomed(hub.url, ANN) as client:
        yield client


@pytest.fixture
async def http(hub: LiveHub) -> AsyncIterator[httpx.AsyncClient]:
    """The same over HTTP."""
    headers = {"Authorization": f"Bearer {ANN}"}
    async with httpx.AsyncClient(base_url=hub.url, headers=headers, timeout=20) as client:
        yield client


async def send(client: SocketClient, event: str = "agent.pause", **params: Any) -> Frame:
    """Send a command; returns the reply."""
    return await client.ask("publish", **{"channel": CHANNEL, "event": event, "data": {}, **params})


async def follow(client: SocketClient, result: Frame) -> None:
    """Hear what becomes of a command, from its place on."""
    since = {name: result[name] for name in ("epoch", "seq", "tag")}
    reply = await client.ask("subscribe", channel=CHANNEL, since=since)
    assert reply["result"]["recovered"]


def is_end(frame: Frame) -> bool:
    """Whether a frame is an update that ends a command."""
    return frame.get("event") in ("command.done", "command.failed", "command.expired")


def denied(desk: Desk) -> list[dict[str, str]]:
    """What was noted of those who may not."""
    found: Any = desk.client.xrange(keys.DENIED)
    return [{k.decode(): v.decode() for k, v in fields.items()} for _, fields in found]


# Over the socket


async def test_a_command_and_what_becomes_of_it(ann: SocketClient, desk: Desk) -> None:
    """The reply says where the command stands; its steps follow that place, to the sender too."""
    result = (await send(ann, "position.close", data={"id": "p-1"}))["result"]
    assert (result["channel"], result["seq"], result["unchanged"]) == (CHANNEL, 1, False)
    assert result["command"]["state"] == "sent"
    await follow(ann, result)
    taken = desk.begun()
    assert (taken.id, taken.sender) == (result["command"]["id"], "ann")
    assert taken.expires_at == result["command"]["expires_at"]
    desk.end(taken, CommandState.DONE, b'{"price":"42010.50"}')
    *_, accepted, done = await ann.until(is_end)
    assert accepted["event"] == "command.accepted"
    assert (done["data"]["id"], done["data"]["result"]) == (taken.id, {"price": "42010.50"})


async def test_nobody_ends_a_command_by_hand(ann: SocketClient, desk: Desk) -> None:
    """A bare PUBLISH that looks like a step is not passed on."""
    result = (await send(ann))["result"]
    await follow(ann, result)
    data = {"id": result["command"]["id"], "result": None}
    fake = json.dumps({"event": "command.done", "data": data})
    assert desk.client.publish(keys.pubsub(CHANNEL), fake) == 1
    desk.end(desk.begun(), CommandState.FAILED, b'"no"')
    *_, accepted, end = await ann.until(is_end)
    assert (accepted["event"], end["event"]) == ("command.accepted", "command.failed")


async def test_the_sender_is_who_showed_the_token(ann: SocketClient, desk: Desk) -> None:
    """Whatever the command says of itself; and the audit has where it came from."""
    await send(ann, data={"sender": "root"}, sender="root", id="x")
    taken = desk.taken()
    assert taken.sender == "ann"
    [sent, _handed] = desk.audit()
    assert (sent["sender"], sent["from"]) == ('"ann"', "socket 127.0.0.1")


async def test_a_command_that_is_sent_again_is_sent_once(
    hub: LiveHub, ann: SocketClient, desk: Desk
) -> None:
    """On another connection too, with the same id of the same subject; it is answered with where
    it is now."""
    first = (await send(ann, producer="page", n=1))["result"]
    desk.end(desk.begun())
    async with welcomed(hub.url, ANN) as other:
        again = (await send(other, producer="page", n=1))["result"]
    assert again["command"].pop("state") == "done"
    assert first["command"].pop("state") == "sent"
    assert again == first
    assert desk.events().count("agent.pause") == 1


async def test_nobody_is_answered_for_anothers_command(hub: LiveHub, ann: SocketClient) -> None:
    """The same publish id of another subject is another command; other content under one's own is
    refused."""
    mine = (await send(ann, producer="page", n=1))["result"]
    bob = token(subject="bob", command=("*",))
    async with welcomed(hub.url, bob) as client:
        his = (await send(client, producer="page", n=1))["result"]
    assert his["command"]["id"] != mine["command"]["id"]
    refused = (await send(ann, "agent.start", producer="page", n=1))["error"]
    assert "was another command's" in refused["message"]
    assert refused["code"] == codes.INVALID_DATA.number


async def test_the_right_to_publish_is_none_to_command(hub: LiveHub, desk: Desk) -> None:
    """Not even `*`, nor the channel by its name; whoever tries is noted, and nothing is sent."""
    shown = token(subject="eve", read=("*",), publish=("*", "commands:*", CHANNEL))
    async with welcomed(hub.url, shown) as client:
        error = (await send(client))["error"]
        assert (error["code"], error["retry"]) == (codes.FORBIDDEN.number, False)
        assert await client.is_quiet()
    await eventually(lambda: len(denied(desk)) == 1, "the attempt is noted")
    [noted] = denied(desk)
    assert noted.pop("by").startswith("hub@")
    assert noted == {
        "step": "denied", "channel": CHANNEL, "event": "agent.pause", "sender": "eve",
        "from": "socket 127.0.0.1",
    }  # fmt: skip
    assert desk.events() == []


async def test_who_may_command_may_hear(hub: LiveHub, ann: SocketClient) -> None:
    """Without a pattern for reading; other channels stay closed."""
    await ann.subscribe(CHANNEL)
    reply = await ann.ask("subscribe", channel="commands")
    assert reply["error"]["code"] == codes.FORBIDDEN.number


async def test_wrong_commands_are_refused(ann: SocketClient, desk: Desk) -> None:
    """With what was expected, and before an agent is asked."""
    error = (await send(ann, "position.close"))["error"]
    assert error["code"] == codes.INVALID_DATA.number
    assert "the id of the position to close" in error["message"]
    assert desk.audit() == []


async def test_a_command_without_an_agent_expires(ann: SocketClient, desk: Desk) -> None:
    """The hub ends it, and its sender hears of it."""
    result = (await send(ann, expires_in_ms=100))["result"]
    await follow(ann, result)
    *_, end = await ann.until(is_end)
    assert (end["event"], end["data"]["worker"]) == ("command.expired", None)
    assert desk.audit()[-1]["by"].startswith("hub@")


async def test_what_a_dead_worker_left_fails(ann: SocketClient, desk: Desk) -> None:
    """Though no other worker comes: the hub looks after it."""
    result = (await send(ann))["result"]
    await follow(ann, result)
    taken = desk.begun()
    desk.let_the_lease_pass(taken.id)
    *_, end = await ann.until(is_end)
    assert (end["event"], end["data"]["attempt"]) == ("command.failed", 1)


async def test_an_agent_that_does_not_listen_is_stale(ann: SocketClient, desk: Desk) -> None:
    """A command is no sign of its agent's life; the agent's looking for one is."""
    desk.worker = desk.worker.__class__(CHANNEL, "w", 1_000, lease_ms=60_000, listens_ms=200)
    desk.take()
    result, _ = await ann.subscribe(CHANNEL)
    if not result["stale"]:
        [state] = await ann.until(lambda frame: frame["type"] == "channel")
        assert state["state"] == "stale"
    else:
        await ann.recv()
    id = await ann.command("publish", channel=CHANNEL, event="agent.pause", data={})
    frames = await ann.until(lambda frame: frame.get("event") == "agent.pause")
    if not any(frame.get("id") == id for frame in frames):
        await ann.recv()
    assert not any(frame.get("type") == "channel" for frame in frames)
    desk.take()
    frames = await ann.until(lambda frame: frame.get("type") == "channel")
    assert frames[-1]["state"] == "live"


async def test_a_hub_without_redis_has_no_agents(live: LiveHub) -> None:
    """It says so."""
    async with welcomed(live.url, ANN) as client:
        error = (await send(client))["error"]
    assert error["code"] == codes.NOT_FOUND.number


# Over HTTP


async def test_a_command_over_http(http: httpx.AsyncClient, desk: Desk) -> None:
    """It is accepted, and the answer says which it is; sent again with its key, it is the same."""
    headers = {"Idempotency-Key": "close-17"}
    body = {"event": "position.close", "data": {"id": "p-1"}, "expires_in_ms": 5_000}
    first = await http.post(URL, json=body, headers=headers)
    assert first.status_code == 202
    answer = first.json()
    assert (answer["channel"], answer["seq"], answer["command"]["state"]) == (CHANNEL, 1, "sent")
    again = await http.post(URL, json=body, headers=headers)
    assert again.json() == answer
    taken = desk.taken()
    assert (taken.id, taken.data) == (answer["command"]["id"], b'{"id":"p-1"}')
    assert taken.expires_at - taken.sent_at == 5_000_000
    assert desk.audit()[0]["from"] == "http 127.0.0.1"


async def test_the_end_can_be_waited_for(http: httpx.AsyncClient, desk: Desk) -> None:
    """Whatever it is; and asked for again, after it was there."""
    headers = {"Idempotency-Key": "k"}
    asking = asyncio.create_task(
        http.post(URL, json={"event": "x"}, headers=headers, params={"wait_ms": 20_000})
    )
    await eventually(lambda: desk.events() == ["x"], "it is sent")
    desk.end(desk.begun(), CommandState.FAILED, b'"no such thing"')
    answer = await asking
    assert answer.status_code == 200
    assert answer.json()["command"]["state"] == "failed"
    end = answer.json()["end"]
    assert (end["event"], end["data"]["reason"]) == ("command.failed", "no such thing")
    again = await http.post(URL, json={"event": "x"}, headers=headers, params={"wait_ms": 20_000})
    assert again.json() == answer.json()
    short = await http.post(URL, json={"event": "x"}, headers=headers)
    assert (short.status_code, short.json()["command"]["state"]) == (200, "failed")


async def test_an_end_that_does_not_come_in_time(
    http: httpx.AsyncClient, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer says where the command is; so does one for which there is no room to wait."""
    answer = await http.post(URL, json={"event": "x"}, params={"wait_ms": 1})
    assert (answer.status_code, answer.json()["command"]["state"]) == (202, "sent")
    monkeypatch.setattr(rest_commands, "MAX_WAITING_REQUESTS", 0)
    answer = await http.post(URL, json={"event": "x"}, params={"wait_ms": 20_000})
    assert answer.status_code == 202


async def test_a_drained_hub_holds_nobody(
    hub: LiveHub, http: httpx.AsyncClient, desk: Desk
) -> None:
    """The answer says where the command is; it used to be 500, seconds later."""
    asked = asyncio.create_task(http.post(URL, json={"event": "x"}, params={"wait_ms": 30_000}))
    await eventually(lambda: len(desk.events()) == 1, "it is sent")
    await hub.hub.drain()
    answer = await asked
    assert (answer.status_code, answer.json()["command"]["state"]) == (202, "sent")
    assert "end" not in answer.json()


async def test_an_end_is_found_in_a_snapshot(desk: Desk, hub: LiveHub) -> None:
    """Where what came after the command is no longer known step by step."""
    desk.send("c1")
    desk.send("c2")
    desk.end(desk.begun(), CommandState.DONE, b"1")
    desk.end(desk.begun(), CommandState.DONE, b"2")
    receipt = CommandReceipt("c2", Position("another", 1, "00"), 1)
    async with asyncio.timeout(DEADLINE_SECONDS):
        ending = await ending_of(hub.hub, CHANNEL, receipt)
    assert (ending.event, ending.data["result"]) == ("command.done", 2)


async def test_a_channel_that_can_not_be_heard(
    hub: LiveHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for an end there is told so."""
    monkeypatch.setattr("hub.server.feeds.MAX_FEEDS", 0)
    receipt = CommandReceipt("c1", Position("e1", 1, "00"), 1)
    with pytest.raises(ProtocolError, match="the end of the command can't be heard"):
        await ending_of(hub.hub, CHANNEL, receipt)


@pytest.mark.parametrize(
    ("body", "params", "status"),
    [
        ([{"event": "x"}], {}, 400),
        ({"batch": [{"event": "x"}]}, {}, 400),
        ({"data": {}}, {}, 400),
        ({"event": "x", "data": 1}, {}, 422),
        ({"event": "x", "expires_in_ms": 5}, {}, 400),
        ({"event": "x"}, {"wait_ms": "soon"}, 400),
        ({"event": "x"}, {"wait_ms": "30001"}, 400),
        ({"event": "x"}, {"wait_ms": "0000000099999999"}, 400),
    ],
)
async def test_wrong_requests(
    http: httpx.AsyncClient, desk: Desk, body: Any, params: dict[str, str], status: int
) -> None:
    """Nothing is sent, and the error says what was expected."""
    answer = await http.post(URL, json=body, params=params)
    assert answer.status_code == status
    assert "expected" in answer.json()["error"]["message"]
    assert desk.events() == []


async def test_an_empty_key_is_refused(http: httpx.AsyncClient) -> None:
    """It could not tell one command from another."""
    answer = await http.post(URL, json={"event": "x"}, headers={"Idempotency-Key": ""})
    assert answer.status_code == 400


async def test_over_http_too_a_right_is_needed(hub: LiveHub, desk: Desk) -> None:
    """And who tries without is noted."""
    headers = {"Authorization": f"Bearer {token(subject='eve')}"}
    async with httpx.AsyncClient(base_url=hub.url, headers=headers) as client:
        answer = await client.post(URL, json={"event": "agent.pause"})
    assert answer.status_code == 403
    await eventually(lambda: len(denied(desk)) == 1, "the attempt is noted")
    assert denied(desk)[0]["from"] == "http 127.0.0.1"


# On its way


class AgentBroker(HeldBroker):
    """Takes commands, and may be away; sweeps are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []
        self.noted: list[Denial] = []
        self.sweeps = 0

    async def send_commands(self, requests: Any) -> list[CommandReceipt | Exception]:
        await self._pass(self.storing)
        self.sent += [request.id for request in requests]
        return [CommandReceipt(request.id, Position("e", 1, "t"), 1) for request in requests]

    async def note_denied(self, denials: Any) -> None:
        if self.away:
            raise BrokerUnavailableError("away")
        self.noted += denials

    async def sweep_commands(self) -> None:
        self.sweeps += 1
        if self.away:
            raise BrokerUnavailableError("away")


def command(n: int) -> CommandRequest:
    """One of many commands."""
    return CommandRequest("commands", f"c{n}", "x", b"{}", "ann", "socket")


@pytest.fixture
def broker() -> AgentBroker:
    return AgentBroker()


@pytest.fixture
async def commanding(broker: AgentBroker) -> AsyncIterator[Commanding]:
    commanding = Commanding(broker, Metrics())
    tasks = [asyncio.create_task(each) for each in (commanding.run(), commanding.note())]
    yield commanding
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_commands_keep_their_order(commanding: Commanding, broker: AgentBroker) -> None:
    """To pause and to resume must not change places, however many go out together."""
    broker.storing.clear()
    answers = [commanding.submit(command(n)) for n in range(100)]
    broker.storing.set()
    await asyncio.gather(*answers)
    assert broker.sent == [f"c{n}" for n in range(100)]


async def test_the_queue_of_commands_is_bounded(
    commanding: Commanding, broker: AgentBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would wait beyond it is refused at once, to be sent again."""
    broker.storing.clear()
    waiting = [commanding.submit(command(n)) for n in range(commanding_module.MAX_WAITING)]
    with pytest.raises(ProtocolError) as refused:
        await commanding.submit(command(-1))
    assert refused.value.code is codes.UNAVAILABLE
    broker.storing.set()
    await asyncio.gather(*waiting)


async def test_a_broker_that_is_away_is_told_to_all(
    commanding: Commanding, broker: AgentBroker
) -> None:
    """A command may have been sent then, so it is sent again with its id."""
    broker.away = True
    answers = [commanding.submit(command(n)) for n in range(3)]
    errors = await asyncio.gather(*answers, return_exceptions=True)
    assert {type(error) for error in errors} == {BrokerUnavailableError}
    assert commanding._metrics.commands_refused == 3


async def test_commanding_that_ended_answers(broker: AgentBroker) -> None:
    """Nobody waits for ever for a command that nobody carries any more."""
    commanding = Commanding(broker, Metrics())
    task = asyncio.create_task(commanding.run())
    broker.storing.clear()
    on_its_way = commanding.submit(command(1))
    await eventually(lambda: commanding._queue.empty(), "it is on its way")
    waiting, gone = commanding.submit(command(2)), commanding.submit(command(3))
    gone.cancel()
    task.cancel()
    await asyncio.wait([task])
    for answer in (on_its_way, waiting, commanding.submit(command(4))):
        with pytest.raises(BrokerUnavailableError):
            await answer


async def test_denials_are_bounded(
    commanding: Commanding, broker: AgentBroker, caplog: pytest.LogCaptureFixture
) -> None:
    """A flood of them is counted, and holds up nothing; nor does a broker that is away."""
    denial = Denial("commands", "x", "eve", "socket")
    for _ in range(commanding_module.MAX_DENIED + 1):
        commanding.deny(denial)
    assert "one more is not" in caplog.text
    await eventually(lambda: len(broker.noted) == commanding_module.MAX_DENIED, "all are noted")
    broker.away = True
    commanding.deny(denial)
    await eventually(lambda: "could not be noted" in caplog.text, "one is lost")
    assert commanding._metrics.commands_refused == commanding_module.MAX_DENIED + 2


async def test_sweeps_go_on(broker: AgentBroker, caplog: pytest.LogCaptureFixture) -> None:
    """Also while the broker refuses them, which is said once."""
    caplog.set_level("INFO", logger="hub.server.commanding")
    broker.away = True
    task = asyncio.create_task(Commanding(broker, Metrics()).sweep(seconds=0.001))
    await eventually(lambda: broker.sweeps >= 3, "it sweeps again")
    broker.away = False
    async with asyncio.timeout(DEADLINE_SECONDS):
        before = broker.sweeps
        await eventually(lambda: broker.sweeps >= before + 3, "it sweeps again")
    task.cancel()
    await asyncio.wait([task])
    assert caplog.text.count("can't be brought to their end") == 1


def test_ids_of_commands() -> None:
    """The same for the same publish id of a subject, and never another's; without one, new."""
    one = command_id("ann", "page", 1)
    assert one == command_id("ann", "page", 1)
    others = [("bob", "page", 1), ("ann", "page", 2), ("ann", "pag", 1), ("ann", None, 1)]
    ids = {command_id(*other) for other in others}
    assert len(ids | {one, command_id("ann", None, 1), command_id("ann", "page", None)}) == 7
    assert all(len(id) == 20 for id in ids)


def test_origins() -> None:
    """The way, the address where it is known, and the API key where one was shown."""
    assert origin_of("socket", "", Grant("ann")) == "socket"
    assert origin_of("http", "10.0.0.1", Grant("w", key_id="1f0c9a3e")) == (
        "http 10.0.0.1 key 1f0c9a3e"
    )
