"""Peer: python-socketio under uvicorn, in its defaults but for the transport: WebSocket alone.

The token is checked as in Tapecast; who subscribes joins a room, which each publish is emitted to.
Runs in a virtual environment of its own. The secret is TAPECAST_JWT_SECRET.
"""

from __future__ import annotations

import json
import os
from typing import Any

import jwt
import socketio  # type: ignore[import-not-found]

from benchmarks.peers.common import PORTFOLIO, POSITION, Options, published, read_options, serve

ROOM = "subscribers"


def create_server(secret: str) -> Any:
    """The Socket.IO server with its handlers."""
    server = socketio.AsyncServer(async_mode="asgi", transports=["websocket"])

    async def connect(sid: str, environ: dict[str, str], auth: object) -> None:
        try:
            token = environ["HTTP_AUTHORIZATION"].removeprefix("Bearer ")
            jwt.decode(token, secret, algorithms=["HS256"])
        except (KeyError, jwt.InvalidTokenError) as error:
            raise socketio.exceptions.ConnectionRefusedError("token") from error

    async def subscribe(sid: str, params: dict[str, str]) -> dict[str, object]:
        channel = {"channel": params["channel"]}
        await server.enter_room(sid, ROOM)
        snapshot = {**channel, "type": "snapshot", **POSITION, "data": PORTFOLIO}
        await server.emit("snapshot", snapshot, to=sid)
        return {**channel, **POSITION, "recovered": False}

    server.on("connect", connect)
    server.on("subscribe", subscribe)
    return server


async def follow(options: Options, server: Any) -> None:
    """Emit what is published."""
    async for payload in published(options):
        await server.emit("update", json.loads(payload), room=ROOM)


if __name__ == "__main__":
    options = read_options(__doc__)
    server = create_server(os.environ["TAPECAST_JWT_SECRET"])
    serve(options, socketio.ASGIApp(server), follow(options, server))
