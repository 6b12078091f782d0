"""How connections end, and how a hub does, where the protocol class holds the transports."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest

from hub.broker.memory import MemoryBroker
from hub.protocol import codes
from hub.server.auth import Authenticator
from hub.server.hub import Hub
from hub.server.settings import Settings
from tests.server.conftest import MakeHub
from tests.support.brokers import eventually
from tests.support.client_frames import CLOSE, PING, TEXT, client_frame, close_payload
from tests.support.livehub import OWN, SECRET, Adapter, LiveHub, token
from tests.support.socket_client import welcomed

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@pytest.fixture(params=[OWN], ids=lambda adapter: adapter.name)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    """Elsewhere the transport is the ASGI server's."""
    found: Adapter = request.param
    return found


async def test_a_client_that_never_answers_a_close_is_aborted(
    make_hub: MakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has its time to read the close and to answer, whatever other deadline comes first, and
    no more than that; nothing follows the close but the end."""
    monkeypatch.setattr("hub.server.hub.CLOSING_SECONDS", 0.5)
    live = await make_hub(heartbeat_seconds=0.05)
    address = urlsplit(live.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        async with asyncio.timeout(20):
            writer.write(UPGRADE)
            await reader.readuntil(b'"welcome"')
            writer.write(client_frame(TEXT, b"no JSON") * 5)
            await reader.readuntil(codes.BAD_REQUEST.number.to_bytes(2, "big"))
            closed_at = live.hub.clock()
            await reader.readuntil(b"JSON is malformed")
            writer.write(client_frame(PING, b"still there?"))
            assert b"still there?" not in await reader.read()
            # The hub's clock ticks in slots.
            assert live.hub.clock() - closed_at > 0.3
    finally:
        writer.close()
    assert not live.hub.connections


async def test_a_client_that_leaves_is_not_aborted(live: LiveHub) -> None:
    """Its close is answered and counted, and the connection ends in order."""
    async with welcomed(live.url, token()) as client:
        client.write(client_frame(CLOSE, close_payload(1001)))
        assert await client.closed() == (1001, "")
    await eventually(lambda: not live.hub.connections, "it was let go")
    assert live.hub.metrics.closes == {codes.NORMAL: 1}


async def test_a_drain_with_nobody_left_ends_early() -> None:
    """It waits for connections, not for its time to pass."""
    settings = Settings(jwt_secret=SECRET, drain_seconds=3600.0)
    hub = Hub(settings, MemoryBroker(), Authenticator(settings, lambda: 0.0))
    async with hub, asyncio.timeout(20):
        await hub.drain()
    assert hub.draining


async def test_frames_that_come_with_the_request_are_refused(live: LiveHub) -> None:
    """A client must wait for the answer (RFC 6455 section 4.1); its frames were dropped once, and
    it waited for ever."""
    address = urlsplit(live.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    async with asyncio.timeout(20):
        writer.write(UPGRADE + client_frame(TEXT, b'{"id":1,"method":"ping"}'))
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()
