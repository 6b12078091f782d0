from __future__ import annotations

import gc
import sys
from contextlib import AsyncExitStack

import pytest

from hub.core.outbox import Outbox
from hub.core.session import Session
from hub.server.asgi import AsgiConnection
from hub.server.websocket import WebSocketProtocol
from hub.server.wsframes import FrameReader, InflatingReader
from tests.server.conftest import MakeHub
from tests.support.livehub import OWN, Adapter, LiveHub, token
from tests.support.socket_client import welcomed


@pytest.fixture(params=[OWN], ids=lambda adapter: adapter.name)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    """The one that counts every byte."""
    found: Adapter = request.param
    return found


@pytest.mark.parametrize(
    "held", [WebSocketProtocol, AsgiConnection, Session, Outbox, FrameReader, InflatingReader]
)
def test_what_is_held_for_a_connection_has_no_dict(held: type) -> None:
    """Slots are in force through every base: one without would cost each connection a dict."""
    assert held.__dictoffset__ == 0
    assert not any("__dict__" in vars(base) for base in held.__mro__)


async def test_an_idle_connection_is_one_small_object(live: LiveHub) -> None:
    """No task, no queue and no HTTP protocol is kept for it, and its own objects are small."""
    async with AsyncExitStack() as stack:
        for _ in range(10):
            await stack.enter_async_context(welcomed(live.url, token()))
        tasks = len(live.hub.tasks._tasks)
        gc.collect()
        kept = [type(held).__name__ for held in gc.get_objects()]
        assert kept.count("WebSocketProtocol") == 10
        assert kept.count("ConfiguredHttpProtocol") == 0
        assert kept.count("Gate") == 0
        assert tasks == 7
        session, connection = next(iter(live.hub.connections.items()))
        assert isinstance(connection, WebSocketProtocol)
        own = (connection, session, session.outbox, session.outbox.subscriptions)
        assert sum(map(sys.getsizeof, own)) < 600


async def test_grants_are_shared(live: LiveHub) -> None:
    """Connections with one token hold one grant."""
    shown = token()
    async with welcomed(live.url, shown), welcomed(live.url, shown):
        one, two = live.hub.connections
        assert one.grant is two.grant


async def test_the_wheel_does_not_grow(make_hub: MakeHub) -> None:
    """However often a connection is looked at, it waits once for its next deadline."""
    live = await make_hub(heartbeat_seconds=0.05)
    async with welcomed(live.url, token()) as client:
        for _ in range(10):
            assert (await client.recv())["type"] == "heartbeat"
        assert len(live.hub._wheel) <= 2
