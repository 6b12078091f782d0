"""The old server's stream of server-sent events."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, Self

import httpx
import pytest

from hub.protocol import codes
from hub.server.keys import add_key, mint_key, revoke_key
from hub.server.legacy import heartbeats
from tests.server.conftest import MakeHub
from tests.server.legacy.samples import OLD_PORTFOLIO, PORTFOLIO, Agent, changed
from tests.support.brokers import DEADLINE_SECONDS, eventually
from tests.support.livehub import OWN, Adapter, LiveHub, token
from tests.support.socket_client import exchange

STREAM = "/api/v1/bot/stream"


@pytest.fixture(params=[OWN], ids=lambda adapter: adapter.name)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    """HTTP is the same under either."""
    found: Adapter = request.param
    return found


class Listener:
    """Reads events as they come; StopAsyncIteration where there are no more."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        async with asyncio.timeout(DEADLINE_SECONDS):
            line, end = await anext(self._lines), await anext(self._lines)
        assert line.startswith("data: ")
        assert end == ""
        return json.loads(line.removeprefix("data: "))

    async def until(self, event: str) -> Any:
        """The next frame of this event."""
        async for frame in self:
            if frame["event"] == event:
                return frame
        raise AssertionError(f"the stream ended before {event}")

    async def end(self) -> None:
        """Return once the stream has ended."""
        async for _ in self:
            pass


@asynccontextmanager
async def listening(live: LiveHub, **options: Any) -> AsyncIterator[Listener]:
    """A listener with a token for everything in its header, unless `options` say otherwise."""
    options.setdefault("headers", {"Authorization": f"Bearer {token()}"})
    async with (
        httpx.AsyncClient(base_url=live.url, timeout=DEADLINE_SECONDS) as http,
        http.stream("GET", STREAM, **options) as answer,
    ):
        yield Listener(answer)


async def test_it_tells_what_the_socket_tells(live: LiveHub, agent: Agent) -> None:
    """States at once, then each event, one after the other."""
    await agent.portfolio()
    async with listening(live) as listener:
        assert listener.answer.headers["Content-Type"].startswith("text/event-stream")
        assert listener.answer.headers["Cache-Control"] == "no-store"
        frame = await listener.until("portfolio_update")
        assert frame == {**OLD_PORTFOLIO, "event": "portfolio_update", "data": OLD_PORTFOLIO}
        session = next(iter(live.hub.connections))
        await eventually(lambda: "decisions" in session.outbox.subscriptions, "it is followed")
        await agent.decisions(range(1, 301))
        told = [(await listener.until("decision_made"))["id"] for _ in range(300)]
        assert told == [f"d-{n}" for n in range(1, 301)]
    await eventually(lambda: not live.hub.connections, "who has gone was let go")


async def test_heartbeats(make_hub: MakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quiet stream shows that it lives."""
    monkeypatch.setattr(heartbeats, "HEARTBEAT_SECONDS", 0.3)
    live = await make_hub(legacy_paths=True)
    async with listening(live) as listener:
        for _ in range(2):
            assert (await listener.until("heartbeat"))["data"].keys() == {"timestamp"}


async def test_a_token_in_the_url(make_hub: MakeHub) -> None:
    """An EventSource sets no header, so that is how a browser shows one, where it may."""
    live = await make_hub(legacy_paths=True, legacy_query_token=True)
    async with listening(live, headers={}, params={"token": token()}) as listener:
        assert (await listener.until("status"))["unified_status"] == "offline"


async def test_who_may_not_listen_is_told_by_the_status(make_hub: MakeHub) -> None:
    """A browser's EventSource gives up at a status, and would come back after a stream that
    ended."""
    live = await make_hub(legacy_paths=True, max_connections=1)
    for headers, status in (
        ({}, 401),
        ({"Authorization": "Bearer nonsense"}, 401),
        ({"Authorization": f"Bearer {token(read=['alerts'])}"}, 403),
        ({"Authorization": f"Bearer {token()}", "Origin": "https://evil.example"}, 403),
    ):
        async with listening(live, headers=headers) as listener:
            assert listener.answer.status_code == status
            body = json.loads(await listener.answer.aread())
            assert body["detail"] == body["error"]["message"]
    assert not live.hub.connections
    async with listening(live) as first, listening(live) as second:
        assert (first.answer.status_code, second.answer.status_code) == (200, 503)
    live.hub.draining = True
    await eventually(lambda: not live.hub.connections, "the first has gone")
    async with listening(live) as listener:
        assert listener.answer.status_code == 503


async def test_it_ends_with_its_token_and_with_the_hub(make_hub: MakeHub, tmp_path: Path) -> None:
    """A stream whose token or key is at its end is over, and so is that of a hub that drains."""
    path = tmp_path / "keys.json"
    key, kept = mint_key("desk", ("*",), (), now=time.time())
    add_key(path, kept)
    live = await make_hub(legacy_paths=True, keys_file=str(path), heartbeat_seconds=0.1)
    brief = {"Authorization": f"Bearer {token(ttl_seconds=3)}"}
    async with (
        listening(live) as lasting,
        listening(live, headers=brief) as expiring,
        listening(live, headers={"Authorization": f"Bearer {key}"}) as revoked,
    ):
        assert await revoked.until("status")
        revoke_key(path, kept.id)
        for listener in (revoked, expiring):
            await listener.end()
        assert live.hub.metrics.closes[codes.UNAUTHORIZED] == 2
        await lasting.until("status")
        live.begin_stop()
        await lasting.end()
    await live.stop()


async def test_a_head_without_a_body(live: LiveHub) -> None:
    """Who asks for the headers alone is no connection."""
    async with httpx.AsyncClient(base_url=live.url) as http:
        answer = await http.head(STREAM)
        assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert not live.hub.connections


async def test_a_listener_that_stopped_reading(make_hub: MakeHub) -> None:
    """It is freed within its deadline, and the others hear each event."""
    live = await make_hub(legacy_paths=True, stall_seconds=0.5, outbox_bytes=8 * 1024 * 1024)
    agent = Agent(live.hub.broker)
    host, port = live.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=4096)
    head = f"GET {STREAM} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token()}\r\n\r\n"
    writer.write(head.encode())
    await eventually(lambda: len(live.hub.connections) == 1, "it is let in")
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    async with listening(live) as other:
        await other.until("status")
        sessions = list(live.hub.connections)
        await eventually(
            lambda: all("agent" in each.outbox.subscriptions for each in sessions), "they follow"
        )
        random = Random(1)
        for _ in range(60):
            await agent.did("filler", {"fill": b64encode(random.randbytes(40_000)).decode()})
        for _ in range(60):
            await other.until("filler")
        await eventually(lambda: len(live.hub.connections) == 1, "the stalled one was let go")
        assert live.hub.metrics.closes[codes.ABNORMAL] == 1
        await agent.portfolio(changed(PORTFOLIO, platform="other"))
        assert (await other.until("portfolio_update"))["platform"] == "other"
    writer.close()
    del reader


async def test_a_request_in_pieces(live: LiveHub) -> None:
    """What is written is a whole HTTP response that ends where the hub ends it."""
    head = (
        f"GET {STREAM} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n"
        f"Authorization: Bearer {token(ttl_seconds=2)}\r\n\r\n"
    )
    answer = await exchange(live.url, head.encode())
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'data: {"event":"status"' in answer
    assert answer.endswith(b"0\r\n\r\n")
