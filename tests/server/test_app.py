"""create_app, where the server or the application around it does not run its lifespan."""

from __future__ import annotations

import asyncio

import httpx
from starlette.types import Message

from hub.broker.memory import MemoryBroker
from hub.protocol import codes
from hub.server.app import create_app
from hub.server.settings import Settings
from tests.support.livehub import SECRET, token


async def test_a_socket_is_told_that_the_hub_does_not_run() -> None:
    """A viewer used to get a snapshot, and then nothing, not even a heartbeat."""
    app = create_app(Settings(jwt_secret=SECRET), MemoryBroker())
    sent: list[Message] = []
    heard = asyncio.Queue[Message]()
    heard.put_nowait({"type": "websocket.connect"})

    async def send(message: Message) -> None:
        sent.append(message)
        if message["type"] == "websocket.close":
            heard.put_nowait({"type": "websocket.disconnect", "code": 1000})

    scope = {"type": "websocket", "path": "/ws", "headers": [], "subprotocols": []}
    async with asyncio.timeout(20):
        await app(scope, heard.get, send)
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]
    assert sent[-1]["code"] == codes.INTERNAL.number
    assert "lifespan" in sent[-1]["reason"]


async def test_a_publish_is_told_that_the_hub_does_not_run() -> None:
    """It used to wait for ever."""
    app = create_app(Settings(jwt_secret=SECRET), MemoryBroker())
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://hub") as http:
        entry = {"event": "e", "data": 1}
        shown = {"Authorization": f"Bearer {token()}"}
        answer = await http.post("/api/v1/channels/orders", json=entry, headers=shown)
    assert answer.status_code == 500
    assert "lifespan" in answer.json()["error"]["message"]
