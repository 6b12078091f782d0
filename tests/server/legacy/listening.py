"""Clients of the old server's paths."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from hub.server.settings import LEGACY_SUBSCRIPTIONS
from tests.server.legacy.samples import WS
from tests.support.brokers import eventually
from tests.support.livehub import LiveHub, token
from tests.support.socket_client import Frame, SocketClient, opened


@asynccontextmanager
async def listening(live: LiveHub, path: str = WS, **options: Any) -> AsyncIterator[SocketClient]:
    """A client of one path, with a token for everything in its header."""
    async with opened(live.url, token(), path=path, offer=(), **options) as client:
        yield client


async def settled(live: LiveHub, client: SocketClient) -> list[Frame]:
    """What the client that came last is told at first: it follows all that there is by now."""
    session = list(live.hub.connections)[-1]
    await eventually(
        lambda: len(session.outbox.subscriptions) == LEGACY_SUBSCRIPTIONS, "all channels are up"
    )
    await client.send('{"event":"ping"}')
    return (await client.until(lambda frame: frame["event"] == "pong"))[:-1]


async def is_quiet(client: SocketClient) -> bool:
    """Whether the hub has nothing more to say, but to answer a ping."""
    await client.send('{"event":"ping"}')
    frame = await client.recv()
    return bool(frame["event"] == "pong")


def is_whole(frame: Frame) -> bool:
    """Whether the fields of `data` stand at the top too."""
    data = frame["data"]
    return {**data, "event": frame["event"], "data": data} == frame
