"""The built client against a real hub."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hub.client import Client
from hub.server.auth import mint_token
from tests.cli.conftest import SECRET, Command
from tests.support.node import DASHBOARD, Node, build

CHANNELS = ("portfolio", "positions", "decisions")


class EmbeddedHub:
    """`tapecast serve --embedded` on one port, whose channels outlive it."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self._port = sock.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._data = folder / "data"
        environ = {"XDG_RUNTIME_DIR": str(folder), "TAPECAST_JWT_SECRET": SECRET}
        self._command = Command(environ | {"TAPECAST_DRAIN_SPREAD_SECONDS": "0"})
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start, and return when it listens."""
        self._process = self._command.start(
            "serve", "--embedded", "--data", str(self._data), "--port", str(self._port)
        )
        assert self._process.stdout
        assert self.url in self._process.stdout.readline()

    def stop(self) -> None:
        """End it as an operator does; nothing happens where it has ended."""
        assert self._process
        self._process.send_signal(signal.SIGTERM)
        self._process.communicate()


class Viewer:
    """dashboard/tests/viewer.mjs as it runs, and what it has told so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.told: list[dict[str, Any]] = []

    def do(self, command: str) -> None:
        """Have it do something."""
        assert self._process.stdin
        self._process.stdin.write(f"{command}\n".encode())

    async def until(self, field: str, value: Any = None) -> dict[str, Any]:
        """The next line with this field, of this value where one is given."""
        assert self._process.stdout
        while True:
            line = await self._process.stdout.readline()
            assert line, f"the viewer ended before {field} {value}: {self.told[-3:]}"
            self.told.append(json.loads(line))
            if field in self.told[-1] and value in (None, self.told[-1][field]):
                return self.told[-1]

    async def until_change(self, channel: str, type: str, data: Any) -> None:
        """Wait for a change of a channel."""
        while True:
            change = (await self.until("channel", channel))["change"]
            if change["type"] == type and change.get("data") == data:
                return

    def changes(self, channel: str) -> list[dict[str, Any]]:
        """What it saw of a channel, in order."""
        return [line["change"] for line in self.told if line.get("channel") == channel]


@asynccontextmanager
async def viewer(node: Node, url: str) -> AsyncIterator[Viewer]:
    """A running viewer, which must end by itself when its input does."""
    rights = {"read": ["*"], "publish": ["*"]}
    token = mint_token(SECRET, "viewer", ttl_seconds=600, now=time.time(), **rights)
    process = await asyncio.create_subprocess_exec(
        str(node.node),
        str(DASHBOARD / "tests" / "viewer.mjs"),
        url,
        *CHANNELS,
        env={"TAPECAST_TOKEN": token},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        limit=1024 * 1024,
    )
    assert process.stdin
    try:
        yield Viewer(process)
        process.stdin.close()
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[EmbeddedHub]:
    """A running hub that can be stopped and started again."""
    running = EmbeddedHub(tmp_path)
    running.start()
    yield running
    running.stop()


def producer(url: str) -> Client:
    """Somebody who publishes."""
    rights = {"read": ["*"], "publish": ["*"]}
    token = mint_token(SECRET, "agent", ttl_seconds=600, now=time.time(), **rights)
    return Client(url, token)


async def decide(client: Client, first: int, last: int) -> None:
    """Publish decisions with these numbers."""
    for number in range(first, last + 1):
        await client.publish("decisions", "decision_made", number)


@pytest.mark.timeout(120)
async def test_client_follows_a_hub_through_its_restart(node: Node, embedded: EmbeddedHub) -> None:
    """Snapshots, updates as they happen, and after a restart exactly what was missed."""
    build(node)
    async with producer(embedded.url) as client:
        await client.publish("portfolio", "portfolio_update", {"balance": "1.00"})
        await client.publish("positions", "positions_update", {"rows": {"a": {"size": "1"}}})
        await decide(client, 1, 5)
        async with viewer(node, embedded.url) as seen:
            await seen.until("state", "live")
            await seen.until_change("portfolio", "snapshot", {"balance": "1.00"})
            seen.do("publish")
            assert (await seen.until("published"))["published"]["seq"] == 1

            await client.publish("portfolio", "portfolio_update", {"balance": "2.00"})
            patch = {"upsert": {"b": {"size": "2"}}, "delete": ["a"]}
            await client.publish("positions", "positions_update", patch)
            await decide(client, 6, 10)
            await seen.until_change("decisions", "update", 10)

            await asyncio.to_thread(embedded.stop)
            lost = await seen.until("state", "reconnecting")
            assert lost["code"] in (1001, 1012)
            await asyncio.to_thread(embedded.start)
            await decide(client, 11, 15)
            await client.publish("portfolio", "portfolio_update", {"balance": "3.00"})
            seen.do("reconnect")
            await seen.until("state", "live")
            await seen.until_change("decisions", "update", 15)
            await decide(client, 16, 16)
            await seen.until_change("decisions", "update", 16)

            seen.do("show")
            shown = (await seen.until("shown"))["shown"]
    assert shown[0] == {"state": "live", "value": {"balance": "3.00"}, "rows": {}, "entries": []}
    assert shown[1]["rows"] == {"b": {"size": "2"}}
    assert shown[2]["entries"] == list(range(1, 17))
    first, *later = seen.changes("decisions")
    assert [entry["data"] for entry in first["data"]["entries"]] == [1, 2, 3, 4, 5]
    assert [change.get("data", change["type"]) for change in later] == [
        *range(6, 11),
        "recovered",
        *range(11, 17),
    ]
    assert [line["asked"] for line in seen.told if "asked" in line] == ["connect"]
