"""Peer: the asyncio server of `websockets`, doing what a hub must do for a subscription.

Handshake with an HS256 token, welcome, reply, snapshot; no feeds, no resume, no back-pressure.
Compression is off, as in Tapecast's default. The secret is TAPECAST_JWT_SECRET.

    TAPECAST_JWT_SECRET=... python -m benchmarks.peers.websockets_server --port 8100
"""

from __future__ import annotations

import argparse
import http
import json
import os
import resource

import jwt
import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

SNAPSHOT = (
    '{"channel":"%s","type":"snapshot","epoch":"kT9a","seq":1,"tag":"9fa3c01b",'
    '"ts":1750000000000000,"data":{"balance":"100000.00","equity":"100250.50",'
    '"available":"90000.00","exposure":"10000.00","currency":"USD"}}'
)
REPLY = (
    '{"id":%d,"result":{"channel":"%s","epoch":"kT9a","seq":1,"tag":"9fa3c01b","recovered":false}}'
)
WELCOME = '{"type":"welcome","session":"peer","heartbeat_ms":5000,"version":"0"}'


async def answer(connection: ServerConnection) -> None:
    """Welcome, then for each subscribe its reply and a snapshot."""
    await connection.send(WELCOME)
    async for text in connection:
        command = json.loads(text)
        channel = command["params"]["channel"]
        await connection.send(REPLY % (command["id"], channel))
        await connection.send(SNAPSHOT % channel)


async def run(host: str, port: int, secret: str | None) -> None:
    """Serve until cancelled; without a secret nobody needs a token."""

    def authenticate(connection: ServerConnection, request: Request) -> Response | None:
        try:
            token = request.headers["Authorization"].removeprefix("Bearer ")
            jwt.decode(token, secret, algorithms=["HS256"])
        except (KeyError, jwt.InvalidTokenError):
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, "token\n")
        return None

    async with serve(
        answer,
        host,
        port,
        process_request=authenticate if secret else None,
        subprotocols=[Subprotocol("tapecast.v1")],
        compression=None,
        ping_interval=None,
        backlog=2048,
    ) as server:
        await server.serve_forever()


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    uvloop.run(run(options.host, options.port, os.environ.get("TAPECAST_JWT_SECRET")))


if __name__ == "__main__":
    main()
