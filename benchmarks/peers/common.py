"""What the peers in Python share: their options, their constant answers, and what is published."""

from __future__ import annotations

import argparse
import resource
from collections.abc import AsyncIterator
from dataclasses import dataclass

import redis.asyncio

SNAPSHOT = (
    '{"channel":"%s","type":"snapshot","epoch":"kT9a","seq":1,"tag":"9fa3c01b",'
    '"ts":1750000000000000,"data":{"balance":"100000.00","equity":"100250.50",'
    '"available":"90000.00","exposure":"10000.00","currency":"USD"}}'
)
REPLY = (
    '{"id":%d,"result":{"channel":"%s","epoch":"kT9a","seq":1,"tag":"9fa3c01b","recovered":false}}'
)
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
