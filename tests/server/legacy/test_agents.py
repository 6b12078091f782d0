"""What old dashboards tell the agent, and what they are told of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import redis

from hub.protocol.agent_commands import CommandState
from hub.server.legacy import agents
from hub.server.legacy.agents import DONE
from hub.server.legacy.routes import COMMANDS
from tests.server.conftest import MakeHub
from tests.server.legacy.listening import is_quiet, is_whole
from tests.server.legacy.samples import WS
from tests.support.brokers import eventually
from tests.support.command_desk import Desk
from tests.support.livehub import LiveHub, token
from tests.support.socket_client import Frame, SocketClient, opened
from tests.support.valkey import Valkey

BOT = "/api/v1/bot"
START = '{"action":"start","payload":{"autonomous":true,"share":0.5}}'
ANN = token(subject="ann", command=["*"])


@pytest.fixture
def desk(valkey: Valkey) -> Iterator[Desk]:
    """The agent of the account, and a look into Valkey."""
    with redis.Redis(unix_socket_path=str(valkey.socket)) as client:
        yield Desk(client)


@pytest.fixture
async def live(make_hub: MakeHub, valkey: Valkey) -> LiveHub:
    """A hub that serves the old server's paths for that account."""
    return await make_hub(
        redis_url=valkey.url, legacy_paths=True, legacy_query_token=True, legacy_account="desk-7"
    )


@pytest.fixture
async def dashboard(live: LiveHub) -> AsyncIterator[SocketClient]:
    """A socket that may command."""
    async with opened(live.url, ANN, path=f"{WS}/decisions", offer=()) as client:
        yield client


@pytest.fixture
async def http(live: LiveHub) -> AsyncIterator[httpx.AsyncClient]:
    """Requests that may command."""
    headers = {"Authorization": f"Bearer {ANN}"}
    async with httpx.AsyncClient(base_url=live.url, headers=headers, timeout=30) as client:
        yield client


async def started(dashboard: SocketClient, desk: Desk) -> None:
    """Say start, and return when the agent could have it."""
    before = len(desk.events())
    await dashboard.send(START)
    await eventually(lambda: len(desk.events()) > before, "it is sent")


async def told(dashboard: SocketClient) -> Frame:
    """The one frame that answers."""
    frame = await dashboard.recv()
    assert is_whole(frame)
    return frame


# Over the socket


async def test_a_start_is_acknowledged_when_it_was_done(
    dashboard: SocketClient, desk: Desk
) -> None:
    """With what the agent said; its payload reached it."""
    await started(dashboard, desk)
    taken = desk.begun()
    assert (taken.event, taken.sender) == ("agent.start", "ann")
    assert taken.data == b'{"autonomous":true,"share":0.5}'
    assert desk.audit()[0]["from"] == "socket 127.0.0.1"
    desk.end(taken, CommandState.DONE, b'{"state":"RUNNING"}')
    frame = await told(dashboard)
    assert (frame["event"], frame["status"], frame["command_id"]) == (
        "start_ack", "started", taken.id,
    )  # fmt: skip
    assert frame["result"] == {"state": "RUNNING"}
    assert await is_quiet(dashboard)


async def test_a_start_that_fails_is_an_error(dashboard: SocketClient, desk: Desk) -> None:
    """With the agent's reason."""
    await started(dashboard, desk)
    desk.end(desk.begun(), CommandState.FAILED, b'"the market is closed"')
    frame = await told(dashboard)
    assert (frame["event"], frame["action"], frame["message"]) == (
        "error", "start", "agent.start: the market is closed",
    )  # fmt: skip


async def test_a_start_that_nobody_accepts(
    dashboard: SocketClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is not begun later either, and the dashboard is told so."""
    monkeypatch.setattr(agents, "EXPIRES_MS", 100)
    await dashboard.send(START)
    assert "no agent accepted it in time, and none will" in (await told(dashboard))["message"]


async def test_an_agent_that_takes_its_time(
    dashboard: SocketClient, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dashboard is told that it is not known yet."""
    monkeypatch.setattr(agents, "WAIT_MS", 1)
    await dashboard.send(START)
    assert "is not known yet" in (await told(dashboard))["message"]
    assert desk.events() == ["agent.start"]


async def test_one_start_at_a_time(dashboard: SocketClient, desk: Desk) -> None:
    """A second one is refused while the first is under way, and sent after it."""
    await started(dashboard, desk)
    await dashboard.send(START)
    assert "another one is under way" in (await told(dashboard))["message"]
    desk.end(desk.begun())
    assert (await told(dashboard))["event"] == "start_ack"
    await started(dashboard, desk)
    desk.end(desk.begun())
    assert (await told(dashboard))["event"] == "start_ack"


async def test_a_dashboard_that_leaves_meanwhile(live: LiveHub, desk: Desk) -> None:
    """Nobody is there to be told, and nothing fails."""
    async with opened(live.url, ANN, path=f"{WS}/decisions", offer=()) as client:
        await started(client, desk)
    await eventually(lambda: not live.hub.connections, "it has left")
    desk.end(desk.begun())
    await eventually(lambda: not live.hub.legacy._starting, "its start is over")  # type: ignore[union-attr]


# Over HTTP


@pytest.mark.parametrize("path", COMMANDS)
async def test_each_command(http: httpx.AsyncClient, desk: Desk, path: str) -> None:
    """Reaches the agent by its name, and is answered with what came of it."""
    name = COMMANDS[path]
    asked = asyncio.create_task(http.post(f"{BOT}/{path.format(position_id='p-1')}"))
    await eventually(lambda: desk.events() == [name], "it is sent")
    taken = desk.begun()
    assert json.loads(taken.data) == ({"id": "p-1"} if "position" in path else {})
    desk.end(taken, CommandState.DONE, b'{"x":"1.50"}')
    answer = await asked
    assert answer.status_code == 200
    assert answer.json() == {
        "command_id": taken.id, "status": DONE[name], "result": {"x": "1.50"},
        "message": f"{name}: done",
    }  # fmt: skip


async def test_what_the_agent_refuses(http: httpx.AsyncClient, desk: Desk) -> None:
    """Is 409, with its reason where old dashboards look for it."""
    asked = asyncio.create_task(http.post(f"{BOT}/positions/p-1/close", json={"why": "x"}))
    await eventually(lambda: len(desk.events()) == 1, "it is sent")
    taken = desk.begun()
    assert json.loads(taken.data) == {"id": "p-1", "why": "x"}
    desk.end(taken, CommandState.FAILED, b'"p-1 is not open"')
    answer = await asked
    assert (answer.status_code, answer.json()["status"]) == (409, "failed")
    assert answer.json()["detail"] == "position.close: p-1 is not open"


@pytest.mark.parametrize("spelled", ["BTC/USDT:USDT:long", "BTC%2FUSDT%3AUSDT%3Along"])
async def test_a_position_may_be_named_by_its_symbol(
    http: httpx.AsyncClient, desk: Desk, spelled: str
) -> None:
    """With the slash in it that symbols have; it was no path."""
    asked = asyncio.create_task(http.post(f"{BOT}/positions/{spelled}/close"))
    await eventually(lambda: len(desk.events()) == 1, "it is sent")
    taken = desk.begun()
    assert json.loads(taken.data) == {"id": "BTC/USDT:USDT:long"}
    desk.end(taken, CommandState.DONE, b"null")
    assert (await asked).json()["status"] == "closed"


async def test_what_nobody_accepts(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is 503, and what is not known in time 504; the same key asks what came of it."""
    monkeypatch.setattr(agents, "WAIT_MS", 1)
    first = await http.post(f"{BOT}/stop", headers={"Idempotency-Key": "k"})
    assert (first.status_code, first.json()["status"]) == (504, "unknown")
    monkeypatch.setattr(agents, "WAIT_MS", 20_000)
    monkeypatch.setattr(agents, "EXPIRES_MS", 100)
    answer = await http.post(f"{BOT}/pause")
    assert (answer.status_code, answer.json()["status"]) == (503, "expired")


async def test_who_may_not_command(live: LiveHub, desk: Desk) -> None:
    """Is refused, whatever else the token allows; without a token too."""
    async with httpx.AsyncClient(base_url=live.url) as client:
        assert (await client.post(f"{BOT}/stop")).status_code == 401
        client.headers["Authorization"] = f"Bearer {token()}"
        answer = await client.post(f"{BOT}/stop")
    assert answer.status_code == 403
    assert "does not allow commanding commands:desk-7" in answer.json()["detail"]
    assert desk.events() == []


async def test_a_token_in_the_url_of_a_position(live: LiveHub, desk: Desk) -> None:
    """Counts, and is taken out of the URL, though the path has an id in it."""
    async with httpx.AsyncClient(base_url=live.url, timeout=30) as client:
        path = f"{BOT}/positions/p-1/close"
        asked = asyncio.create_task(client.post(path, params={"token": ANN}))
        await eventually(lambda: len(desk.events()) == 1, "it is sent")
        desk.end(desk.begun())
        assert (await asked).status_code == 200


@pytest.mark.parametrize("body", ["[1]", "7", "{"])
async def test_a_wrong_body(http: httpx.AsyncClient, desk: Desk, body: str) -> None:
    """Nothing is sent."""
    answer = await http.post(f"{BOT}/start", content=body)
    assert answer.status_code == 422
    assert desk.events() == []


async def test_an_empty_idempotency_key(http: httpx.AsyncClient, desk: Desk) -> None:
    """Is refused, as elsewhere: it used to make all requests that had it one command."""
    answer = await http.post(f"{BOT}/start", headers={"Idempotency-Key": ""})
    assert answer.status_code == 400
    assert "Idempotency-Key: expected 1 to 255 characters" in answer.json()["detail"]
    assert desk.events() == []


async def test_other_methods(http: httpx.AsyncClient, desk: Desk) -> None:
    """A link tells no agent anything."""
    assert (await http.get(f"{BOT}/start")).status_code == 404
    assert desk.events() == []


def test_every_command_has_its_words() -> None:
    """Those that there is a path for, and no others."""
    assert set(COMMANDS.values()) == set(DONE)
