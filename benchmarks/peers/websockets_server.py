"""Peer: the asyncio server of `websockets`, doing what a hub must do for a subscription.

Handshake with an HS256 token, welcome, reply, snapshot; then what is published by its `broadcast`.
No feeds, no resume. Compression is off, as in Tapecast's default. The secret is
TAPECAST_JWT_SECRET.
"""

from __future__ import annotations

import http
import json
import os

import jwt
import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from benchmarks.peers.common import REPLY, SNAPSHOT, WELCOME, Options, published, read_options


async def run(options: Options, secret: str) -> None:
    """Serve until cancelled; without a secret nobody needs a token."""
    subscribers: set[ServerConnection] = set()

    async def answer(connection: ServerConnection) -> None:
        await connection.send(WELCOME)
        async for text in connection:
            command = json.loads(text)
            channel = command["params"]["channel"]
            await connection.send(REPLY % (command["id"], channel))
            await connection.send(SNAPSHOT % channel)
            subscribers.add(connection)
        subscribers.discard(connection)

    def authenticate(connection: ServerConnection, request: Request) -> Response | None:
        try:
            token = request.headers["Authorization"].removeprefix("Bearer ")
            jwt.decode(token, secret, algorithms=["HS256"])
        except (KeyError, jwt.InvalidTokenError):
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, "token\n")
        return None

    async with serve(
        answer,
        options.host,
        options.port,
        process_request=authenticate if secret else None,
        subprotocols=[Subprotocol("tapecast.v1")],
        compression=None,
        ping_interval=None,
        backlog=2048,
    ):
        async for payload in published(options):
            broadcast(subscribers, payload.decode())


if __name__ == "__main__":
    uvloop.run(run(read_options(__doc__), os.environ.get("TAPECAST_JWT_SECRET", "")))
