"""Who is let in at the old server's WebSockets, by either adapter, and when they end."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from hub.protocol import codes
from hub.server.keys import add_key, mint_key, revoke_key
from hub.server.legacy import heartbeats
from hub.server.legacy.frames import REFUSED
from tests.server.conftest import MakeHub
from tests.server.legacy.listening import is_quiet, listening, settled
from tests.server.legacy.samples import OLD_PORTFOLIO, POSITION, WS, Agent
from tests.support.brokers import eventually
from tests.support.held_broker import HeldBroker
from tests.support.livehub import ASGI, OWN, Adapter, LiveHub, token
from tests.support.socket_client import SocketClient, exchange, opened

DECISIONS = f"{WS}/decisions"
PATHS = (WS, f"{WS}/portfolio", f"{WS}/positions", DECISIONS)
UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@asynccontextmanager
async def coming(
    live: LiveHub, shown: str | None = None, path: str = DECISIONS, **options: Any
) -> AsyncIterator[SocketClient]:
    """A client that shows just this."""
    options.setdefault("offer", ())
    async with opened(live.url, shown, path=path, **options) as client:
        yield client


async def heard(client: SocketClient) -> None:
    """Return once the hub has said something, or closed."""
    with suppress(ConnectionClosed):
        await client.send('{"event":"ping"}')
        await client.recv()


# Ways to show a token


async def test_a_token_in_the_header(live: LiveHub) -> None:
    """As programs show it, at each path."""
    for path in PATHS:
        async with coming(live, token(), path) as client:
            assert client.connection.subprotocol is None
            while not await is_quiet(client):
                pass


async def test_a_token_in_the_url(make_hub: MakeHub) -> None:
    """As the old dashboard shows it; it counts where the operator said so."""
    live = await make_hub(legacy_paths=True, legacy_query_token=True)
    for path in PATHS:
        async with coming(live, path=f"{path}?x=1&token={token()}") as client:
            while not await is_quiet(client):
                pass
    async with coming(live, path=f"{DECISIONS}?token={token()}&token={token()}") as client:
        assert (await client.closed())[0] == REFUSED


async def test_a_token_in_the_url_counts_only_where_it_may(live: LiveHub) -> None:
    """URLs end in logs, so it is off by default, and the refusal says how to turn it on."""
    async with coming(live, path=f"{DECISIONS}?token={token()}") as client:
        code, reason = await client.closed()
        assert code == REFUSED
        assert "TAPECAST_LEGACY_QUERY_TOKEN" in reason


async def test_a_token_after_bearer(live: LiveHub) -> None:
    """As a browser can show it: two entries, of which the first is answered."""
    async with coming(live, offer=("bearer", token())) as client:
        assert client.connection.subprotocol == "bearer"
        assert await is_quiet(client)


async def test_a_token_in_one_entry_with_bearer(live: LiveHub, adapter: Adapter) -> None:
    """It is no sub-protocol by RFC 6455, so none is answered; uvicorn's own protocol refuses it
    before an application hears of it."""
    head = UPGRADE.format(path=DECISIONS)
    offer = f"Sec-WebSocket-Protocol: bearer {token()}\r\n\r\n"
    if adapter is ASGI:
        answer = await exchange(live.url, (head + offer).encode(), end=True)
        assert answer.startswith(b"HTTP/1.1 400 ")
        return
    answer = await exchange(live.url, (head + offer).encode(), end=True)
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"sec-websocket-protocol" not in answer.lower()
    assert live.hub.metrics.accepted == 1
    assert sum(live.hub.metrics.closes.values()) == 0


async def test_the_header_wins(make_hub: MakeHub) -> None:
    """Of several tokens the header's counts, also where it is wrong."""
    live = await make_hub(legacy_paths=True, legacy_query_token=True)
    path = f"{DECISIONS}?token={token()}"
    async with coming(live, "nonsense", path, offer=("bearer", token())) as client:
        assert (await client.closed())[0] == REFUSED
    path = f"{DECISIONS}?token=nonsense"
    async with coming(live, token(), path, offer=("bearer", "nonsense")) as client:
        assert await is_quiet(client)


async def test_other_sub_protocols_are_refused(live: LiveHub, adapter: Adapter) -> None:
    """A client that would not understand a frame is refused in the handshake."""
    with pytest.raises(InvalidStatus) as refused:
        async with coming(live, token(), offer=("graphql-ws",)):
            pass
    assert refused.value.response.status_code == (400 if adapter is OWN else 403)


async def test_two_of_a_header_that_counts_once(live: LiveHub, adapter: Adapter) -> None:
    """Whose token it was would depend on who reads."""
    twice = f"Authorization: Bearer {token()}\r\n" * 2
    answer = await exchange(live.url, f"{UPGRADE.format(path=DECISIONS)}{twice}\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 400 " if adapter is OWN else b"HTTP/1.1 403 ")


async def test_no_token_is_logged(
    make_hub: MakeHub, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it is shown and whoever logs, a server with a line for each request among them, no
    line has it."""
    live = await make_hub(legacy_paths=True, legacy_query_token=True)
    monkeypatch.setattr(logging.getLogger("uvicorn.access"), "propagate", True)
    caplog.set_level(logging.DEBUG, "hub")
    caplog.set_level(logging.INFO, "uvicorn")
    shown, refused = token(), token() + "x"
    async with httpx.AsyncClient(base_url=live.url) as http:
        for each in (shown, refused):
            for path in PATHS:
                async with coming(live, path=f"{path}?token={each}&x=1") as client:
                    await heard(client)
            async with coming(live, offer=("bearer", each)) as client:
                await heard(client)
            for path in ("bot/status", "bot/positions", "decisions", "status"):
                for query in (f"token={each}", f"limit=x&token={each}", f"%74oken={each}"):
                    await http.get(f"/api/v1/{path}?{query}")
            await http.get(f"/health?token={each}")
    await eventually(lambda: not live.hub.connections, "all have gone")
    assert "/api/v1/bot/positions" in caplog.text
    assert shown[-20:-1] not in caplog.text


# Refusals


async def test_who_may_not_come_in_is_told_after_accept(live: LiveHub) -> None:
    """A browser sees the code of a refusal only then; the old dashboard knows 4001."""
    for shown in (None, "nonsense", "", token(ttl_seconds=-60)):
        async with coming(live, shown) as client:
            code, reason = await client.closed()
            assert code == REFUSED
            assert reason
    assert live.hub.metrics.closes[codes.UNAUTHORIZED] == 4


async def test_a_page_of_another_origin_is_refused(make_hub: MakeHub) -> None:
    """The list of origins holds here too."""
    live = await make_hub(legacy_paths=True, allowed_origins=("https://desk.example",))
    async with coming(live, token(), origin="https://evil.example") as client:
        code, reason = await client.closed()
        assert code == REFUSED
        assert "https://evil.example" in reason
    async with coming(live, token(), origin="https://desk.example") as client:
        assert await is_quiet(client)


async def test_a_full_hub_says_so(make_hub: MakeHub) -> None:
    """Beyond the cap a dashboard is told to try later, as the old server did."""
    live = await make_hub(legacy_paths=True, max_connections=1)
    async with coming(live, token()), coming(live, token()) as second:
        assert (await second.closed())[0] == codes.TRY_LATER.number


async def test_a_hub_that_ends_is_no_refusal(make_hub: MakeHub) -> None:
    """A dashboard comes back after any code but that of a refusal."""
    live = await make_hub(legacy_paths=True)
    async with coming(live, token()) as client:
        live.begin_stop()
        assert (await client.closed())[0] == codes.RESTART.number
    await live.stop()


async def test_the_paths_are_off_by_default(make_hub: MakeHub, adapter: Adapter) -> None:
    """A hub that was not told to serve them answers as to any path that is none."""
    live = await make_hub()
    for path in PATHS:
        with pytest.raises(InvalidStatus) as refused:
            async with coming(live, token(), path):
                pass
        assert refused.value.response.status_code == (404 if adapter is OWN else 403)


async def test_our_own_path_is_as_it_was(live: LiveHub) -> None:
    """Beside the old paths `/ws` speaks the protocol, and takes no token from its URL."""
    async with opened(live.url, token()) as client:
        assert (await client.recv())["type"] == "welcome"
        assert (await client.ask("ping"))["result"] == {}
    async with opened(live.url, path=f"/ws?token={token()}") as client:
        assert (await client.recv())["type"] == "welcome"
        assert (await client.ask("ping"))["error"]["code"] == codes.UNAUTHORIZED.number


# Rights


async def test_a_path_that_may_not_be_read(live: LiveHub) -> None:
    """A dashboard that may not read what its path shows is refused, and told why."""
    async with coming(live, token(read=["portfolio"]), f"{WS}/positions") as client:
        code, reason = await client.closed()
        assert (code, reason) == (REFUSED, "the token does not allow reading positions")
    assert live.hub.registry.get("positions") is None
    async with coming(live, token(read=["alerts"]), WS) as client:
        assert (await client.closed())[0] == REFUSED


async def test_what_may_not_be_read_is_not_shown(live: LiveHub, agent: Agent) -> None:
    """Of everything it gets what it may read, and is told of each that it may not; what others may
    read is not in what it is told."""
    await agent.portfolio()
    await agent.positions(POSITION)
    await agent.status()
    await agent.decision()
    async with (
        listening(live) as other,
        coming(live, token(read=["status", "agent"]), WS) as client,
    ):
        session = list(live.hub.connections)[-1]
        await eventually(lambda: len(session.outbox.subscriptions) == 2, "it follows two")
        await client.send('{"event":"ping"}')
        told = await client.until(lambda frame: frame["event"] == "pong")
        refused = [frame["message"] for frame in told if frame["event"] == "error"]
        assert refused == [
            f"the token does not allow reading {each}"
            for each in ("portfolio", "positions", "decisions")
        ]
        statuses = [frame for frame in told if frame["event"] == "status"]
        assert statuses
        for status in statuses:
            assert status["state"] == "running"
            assert status["portfolio_value"] is None
            assert status["current_asset_pair"] is None
        assert {frame["event"] for frame in told} == {"status", "error", "pong"}
        await agent.positions()
        assert (await other.until(lambda f: f["event"] == "positions_update"))[-1]
        assert await is_quiet(client)


async def test_an_account_of_its_own(make_hub: MakeHub) -> None:
    """The setting names the account whose channels are shown; its name is part of the rights."""
    live = await make_hub(legacy_paths=True, legacy_account="acct-7")
    agent, other = Agent(live.hub.broker, "acct-7"), Agent(live.hub.broker)
    await other.positions(POSITION)
    await agent.portfolio()
    async with coming(live, token(read=["portfolio:acct-7"]), f"{WS}/portfolio") as client:
        assert (await client.recv())["data"] == OLD_PORTFOLIO
    async with coming(live, token(read=["portfolio"]), f"{WS}/portfolio") as client:
        assert (await client.closed())[1] == "the token does not allow reading portfolio:acct-7"
    async with listening(live) as client:
        told = {frame["event"]: frame["data"] for frame in await settled(live, client)}
        assert told["positions_update"] == {"positions": []}
        assert told["status"]["portfolio_value"] == 10174.69


async def test_a_socket_ends_with_its_token(live: LiveHub) -> None:
    """An open socket is closed when its token expires, with the code that asks for another."""
    async with coming(live, token(ttl_seconds=3)) as client:
        assert await client.closed() == (REFUSED, "the token is at its end")


async def test_a_socket_ends_with_its_key(make_hub: MakeHub, tmp_path: Path) -> None:
    """API keys are taken, and a revoked one ends its connections as it does others."""
    path = tmp_path / "keys.json"
    key, kept = mint_key("desk", ("*",), (), now=time.time())
    add_key(path, kept)
    live = await make_hub(
        legacy_paths=True, legacy_query_token=True, keys_file=str(path), heartbeat_seconds=0.1
    )
    async with coming(live, path=f"{DECISIONS}?token={key}") as client:
        assert await is_quiet(client)
        revoke_key(path, kept.id)
        assert await client.closed() == (REFUSED, "the API key was revoked")


# Heartbeats


async def test_heartbeats(make_hub: MakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """They come in their own time, whatever that of the hub's own is."""
    monkeypatch.setattr(heartbeats, "HEARTBEAT_SECONDS", 0.3)
    live = await make_hub(legacy_paths=True, heartbeat_seconds=0.1)
    async with coming(live, token()) as client:
        first, second = await client.recv(), await client.recv()
        for frame in (first, second):
            assert frame["event"] == "heartbeat"
            assert frame["timestamp"] == frame["data"]["timestamp"]
        assert first["timestamp"] < second["timestamp"]


async def test_nobody_waits_for_channels_that_do_not_come(
    make_hub: MakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old dashboard can't ask again for what could not be followed: it is told, and closed, so
    that it comes back."""
    monkeypatch.setattr("hub.server.feeds.OPEN_SECONDS", 0.3)
    monkeypatch.setattr(heartbeats, "HEARTBEAT_SECONDS", 1.5)
    broker = HeldBroker()
    broker.away = True
    live = await make_hub(broker, legacy_paths=True)
    async with coming(live, token()) as client:
        frame = await client.recv()
        assert frame["event"] == "error"
        assert "did not confirm decisions" in frame["message"]
        assert (await client.closed())[0] == codes.UNAVAILABLE.number
    broker.away = False
    async with coming(live, token()) as client:
        assert await is_quiet(client)
