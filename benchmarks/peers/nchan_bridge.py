"""Posts what is published to nchan, over one connection that is kept: pipelined, so that nothing
waits for an answer.

    python -m benchmarks.peers.nchan_bridge --redis URL --follow NAME --to SOCKET
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib

from benchmarks.peers.common import SNAPSHOT, Options, published

START_SECONDS = 20.0


async def connect(to: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """nginx's socket, which is there when nginx has started."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                return await asyncio.open_unix_connection(to)
            await asyncio.sleep(0.05)


async def run(redis: str, follow: str, to: str) -> None:
    """Post a snapshot, then every payload, until nginx or Valkey ends."""
    reader, writer = await connect(to)

    def post(payload: bytes) -> None:
        head = f"POST /publish HTTP/1.1\r\nHost: nchan\r\nContent-Length: {len(payload)}\r\n\r\n"
        writer.write(head.encode() + payload)

    async def read_answers() -> None:
        while await reader.read(65536):
            pass

    async def follow_redis() -> None:
        post((SNAPSHOT % "portfolio").encode())
        async for payload in published(Options("", 0, redis, follow, "")):
            post(payload)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(read_answers())
        tasks.create_task(follow_redis())


def main() -> None:
    """Read the options, and post."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--redis", metavar="URL", required=True)
    parser.add_argument("--follow", metavar="NAME", required=True, help="the pub/sub name")
    parser.add_argument("--to", metavar="PATH", required=True, help="nginx's socket")
    asyncio.run(run(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
