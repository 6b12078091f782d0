"""What the peers in Python share: their options, their constant answers, and what is published.

Peers that run in an environment of their own import it too: it takes redis-py, and uvicorn where
`serve` is called.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any

import redis.asyncio

SNAPSHOT = (
    '{"channel":"%s","type":"snapshot","epoch":"kT9a","seq":1,"tag":"9fa3c01b",'
    '"ts":1750000000000000,"data":{"balance":"100000.00","equity":"100250.50",'
    '"available":"90000.00","exposure":"10000.00","currency":"USD"}}'
)
REPLY = (
    '{"id":%d,"result":{"channel":"%s","epoch":"kT9a","seq":1,"tag":"9fa3c01b","recovered":false}}'
)
POSITION = {"epoch": "kT9a", "seq": 1, "tag": "9fa3c01b"}
PORTFOLIO = {
    "balance": "100000.00",
    "equity": "100250.50",
    "available": "90000.00",
    "exposure": "10000.00",
    "currency": "USD",
}
WELCOME = '{"type":"welcome","session":"peer","heartbeat_ms":5000,"version":"0"}'


@dataclass(frozen=True)
class Options:
    """Where to serve, and which pub/sub name of which server to follow; `by` is how to fan out."""

    host: str
    port: int
    redis: str
    follow: str
    by: str


def read_options(description: str | None, ways: tuple[str, ...] = ("",)) -> Options:
    """Parse the command line, and raise the limit on open files."""
    parser = argparse.ArgumentParser(description=(description or "").split("\n\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--redis", metavar="URL", required=True)
    parser.add_argument("--follow", metavar="NAME", required=True, help="the pub/sub name")
    parser.add_argument("--by", choices=ways, default=ways[0], help="how to fan out")
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    return Options(**vars(parser.parse_args()))


async def published(options: Options) -> AsyncIterator[bytes]:
    """The payloads that are published from now on, by redis-py's own `listen`."""
    async with redis.asyncio.Redis.from_url(options.redis) as client, client.pubsub() as pubsub:
        await pubsub.subscribe(options.follow)
        async for message in pubsub.listen():
            if message["type"] == "message":
                yield message["data"]


def serve(options: Options, app: Any, following: Coroutine[Any, Any, None]) -> None:
    """Serve an ASGI application by uvicorn until SIGTERM, and follow what is published."""
    import uvicorn
    import uvloop

    config = uvicorn.Config(
        app,
        host=options.host,
        port=options.port,
        log_level="warning",
        lifespan="off",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
    )

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(following)
            # After its drain it raises the signal again, which ends the process.
            await uvicorn.Server(config).serve()

    uvloop.run(run())
