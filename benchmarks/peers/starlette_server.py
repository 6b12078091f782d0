"""Peer: a Starlette endpoint under uvicorn, as one would write it first.

`--by loop`: one task sends each message to a set of sockets, one `send_text` after another.
`--by broadcaster`: each endpoint reads a subscriber of its own. broadcaster runs on its memory
backend, fed by one subscription to Valkey: its own Redis backend delivers nothing to a lone
subscription with this redis-py.

The token is checked as in Tapecast; no resume, no back-pressure.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator

import jwt
import uvicorn
from broadcaster import Broadcast
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from benchmarks.peers.common import REPLY, SNAPSHOT, WELCOME, Options, published, read_options

WAYS = ("loop", "broadcaster")


def create_app(options: Options, secret: str) -> Starlette:
    """The application of one way to fan out."""
    sockets: set[WebSocket] = set()
    broadcast = Broadcast("memory://")

    async def answer(socket: WebSocket) -> None:
        token = socket.headers["Authorization"].removeprefix("Bearer ")
        jwt.decode(token, secret, algorithms=["HS256"])
        await socket.accept(subprotocol="tapecast.v1")
        await socket.send_text(WELCOME)
        command = json.loads(await socket.receive_text())
        channel = command["params"]["channel"]
        await socket.send_text(REPLY % (command["id"], channel))
        await socket.send_text(SNAPSHOT % channel)

    async def by_loop(socket: WebSocket) -> None:
        await answer(socket)
        sockets.add(socket)
        try:
            await socket.receive_text()
        except WebSocketDisconnect:
            sockets.discard(socket)

    async def by_broadcaster(socket: WebSocket) -> None:
        await answer(socket)
        with contextlib.suppress(WebSocketDisconnect):
            async with broadcast.subscribe(options.follow) as subscriber:
                while True:
                    await socket.send_text((await subscriber.get()).message)

    async def follow() -> None:
        async for payload in published(options):
            text = payload.decode()
            if options.by == "broadcaster":
                await broadcast.publish(options.follow, text)
                continue
            for socket in list(sockets):
                with contextlib.suppress(WebSocketDisconnect):
                    await socket.send_text(text)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with broadcast:
            following = asyncio.create_task(follow())
            yield
            following.cancel()

    endpoint = by_broadcaster if options.by == "broadcaster" else by_loop
    return Starlette(routes=[WebSocketRoute("/ws", endpoint)], lifespan=lifespan)


if __name__ == "__main__":
    options = read_options(__doc__, WAYS)
    uvicorn.run(
        create_app(options, os.environ["TAPECAST_JWT_SECRET"]),
        host=options.host,
        port=options.port,
        log_level="warning",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
    )
