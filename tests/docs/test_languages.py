"""What docs/languages.md shows in each language is published, as it stands there."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from hub.broker.inlet import LEASE_MS, InletWorker
from hub.broker.redis import RedisBroker
from hub.cli.stopping import PROGRESS_SECONDS
from hub.client import Client, Snapshot, Subscription, Update
from hub.protocol.inlet import (
    DEAD_KEPT,
    DEFAULT_INLET,
    GIVE_UP,
    IDS_KEPT,
    PASS_ON,
    TAKE,
    InletKeys,
)
from hub.protocol.scripts import READ
from tests.docs.pages import blocks, page, section
from tests.docs.test_operations import administer, called, denied
from tests.support.brokers import DEADLINE_SECONDS, eventually
from tests.support.livehub import LiveHub, token
from tests.support.node import NodeMissing, find_node
from tests.support.valkey import Valkey

TEXT = page("docs/languages.md")
FILES = {"sh": "block.sh", "js": "block.mjs", "go": "block.go"}

RUN_SECONDS = 240.0
"""For one block: Go compiles its standard library where it is run for the first time."""


class Place:
    """A hub, a Valkey that listens on a port, and a worker of the inlet."""

    def __init__(self, folder: Path, hub: LiveHub, port: int) -> None:
        self._folder = folder
        programs = folder / "bin"
        programs.mkdir()
        found = shutil.which("redis-cli")
        wrapper = programs / "redis-cli"
        wrapper.write_text(f'#!/bin/sh\nexec {found} -p {port} "$@"\n')
        wrapper.chmod(0o700)
        kept = {name: value for name, value in os.environ.items() if "TAPECAST_" not in name}
        self._environ = {
            **kept,
            "PATH": f"{programs}:{kept['PATH']}",
            "TAPECAST_URL": hub.url,
            "TAPECAST_TOKEN": token(),
            "REDIS_PORT": str(port),
        }

    async def run(self, language: str, block: str) -> str:
        """Run a block to its end; what it prints."""
        file = self._folder / FILES[language]
        file.write_text(block)
        process = await asyncio.create_subprocess_exec(
            *command(language), str(file), env=self._environ, cwd=self._folder,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(RUN_SECONDS):
            printed, _ = await process.communicate()
        assert process.returncode == 0, printed.decode()
        return printed.decode()


def command(language: str) -> list[str]:
    """What runs a file of the language; skips the test where there is none."""
    if language == "go":
        needs("go")
        return ["go", "run"]
    if language == "js":
        try:
            node = str(find_node().node)
        except NodeMissing as missing:
            pytest.skip(str(missing))
        version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout
        # Node 20 has browsers' WebSocket, and wants to be asked for it.
        return [node, *(["--experimental-websocket"] if version.startswith("v20.") else [])]
    return ["bash", "-eo", "pipefail"]


def needs(program: str) -> None:
    """Skip the test where the program is missing."""
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}")


@contextmanager
def ingesting(url: str) -> Iterator[None]:
    """`tapecast ingest` for the length of the block."""
    environ = {name: value for name, value in os.environ.items() if "TAPECAST_" not in name}
    with subprocess.Popen(
        [sys.executable, "-m", "hub.cli", "ingest"], env={**environ, "TAPECAST_REDIS_URL": url}
    ) as process:
        try:
            yield
        finally:
            process.terminate()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[tuple[Place, Client]]:
    """Where a block runs, and a dashboard."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    with Valkey(port=port) as valkey:
        async with LiveHub(RedisBroker(valkey.url)) as hub, Client(hub.url, token()) as desk:
            with ingesting(valkey.url):
                yield Place(tmp_path, hub, port), desk


async def heard(subscription: Subscription, count: int) -> list[tuple[str, Any, bool]]:
    """Event, data, and whether it has a position, of so many updates."""
    found: list[tuple[str, Any, bool]] = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(found) < count:
            frame = await anext(subscription)
            assert isinstance(frame, Update)
            found.append((frame.event, frame.data, frame.position is not None))
    return found


OPTIONAL = pytest.mark.optional("CI installs neither curl nor Go, and Node for the dashboard alone")
RUNS = [
    ("HTTP", "sh", ["curl-1", "curl-2"]),
    ("HTTP", "js", ["node-1"]),
    ("HTTP", "go", ["go-1"]),
    ("A Redis Stream", "sh", ["redis-cli-1"]),
    ("A Redis Stream", "js", ["node-2"]),
    ("A Redis Stream", "go", ["go-2"]),
    ("The socket", "js", ["node-3"]),
]


@OPTIONAL
@pytest.mark.timeout(2 * RUN_SECONDS)
@pytest.mark.parametrize(("way", "language", "ids"), RUNS)
async def test_what_is_shown_is_published_once(
    place: tuple[Place, Client], way: str, language: str, ids: list[str]
) -> None:
    """Run twice, as somebody would who got no answer; a subscriber gets it once, at a position."""
    where, desk = place
    (block,) = blocks(section(TEXT, way), language)
    for program in ("curl", "redis-cli"):
        if block.startswith(program):
            needs(program)
    decisions = desk.subscribe("decisions")
    assert isinstance(await anext(decisions), Snapshot)
    for _ in range(2):
        await where.run(language, block)
    last = await desk.publish("decisions", "last", None)
    expected = [("decision_made", {"id": id, "price": f"10.{50 + 10 * n}"}, True)
                for n, id in enumerate(ids)]  # fmt: skip
    if way == "A Redis Stream":
        # It goes its own way, beside what a hub publishes.
        found = await heard(decisions, 2)
        assert sorted(found, key=lambda each: each[0] == "last") == [
            *expected,
            ("last", None, True),
        ]
    else:
        assert await heard(decisions, len(ids) + 1) == [*expected, ("last", None, True)]
        assert last.position.seq == len(ids) + 1


@OPTIONAL
async def test_a_bare_publish_is_live_only(place: tuple[Place, Client]) -> None:
    """A subscriber hears it, at no position."""
    needs("redis-cli")
    where, desk = place
    (block,) = blocks(section(TEXT, "PUBLISH"), "sh")
    news = desk.subscribe("news")
    assert isinstance(await anext(news), Snapshot)
    assert (await where.run("sh", block)).strip() == "1"
    assert await heard(news, 1) == [("headline", {"title": "hello"}, False)]


async def test_a_worker_needs_the_rights_that_are_told(valkey: Valkey) -> None:
    """Nothing that it does is denied, nor what a program does, and its scripts call no more."""
    (block,) = blocks(TEXT, "redis")
    users = block.splitlines()
    with administer(valkey) as admin:
        for line in users:
            admin.execute_command(*line.split())
    for n in range(600):
        fields = {"channel": "decisions", "event": "e", "data": str(n), "id": str(n), "key": "k"}
        with Redis.from_url(f"unix://program:PROGRAM-PASSWORD@{valkey.socket}") as program:
            program.xadd("tapecast:inlet", fields if n % 100 else {"channel": "none"})
    broker = RedisBroker(f"unix://ingest:INGEST-PASSWORD@{valkey.socket}?db=0")
    keys = InletKeys("tapecast:inlet", "tapecast")
    worker = InletWorker(broker, keys, buried=lambda *_: None, told=print)
    working = asyncio.create_task(worker.run())
    await eventually(lambda: worker.counts.published + worker.counts.buried == 600, "all of it")
    worker.stop()
    await working
    await broker.disconnect()
    assert denied(valkey) == []
    allowed = {word[1:] for word in users[1].split() if word.startswith("+")}
    needed = called(TAKE) | called(PASS_ON) | called(GIVE_UP) | called(READ)
    assert {name.split("|")[0] for name in allowed} == {
        *needed, "ping", "select", "script", "evalsha", "xread", "xgroup",
    }  # fmt: skip


def test_every_block_is_run() -> None:
    """No block is shown that no test runs."""
    shown = sum(len(blocks(TEXT, language)) for language in FILES)
    assert shown == len(RUNS) + 1


def test_the_bounds_are_those_of_the_code() -> None:
    """Every number and name that the page promises of `tapecast ingest`."""
    keys = InletKeys(DEFAULT_INLET, "tapecast")
    for promise in (
        f"the stream `{keys.inlet}`",
        f"goes to `{keys.dead}`",
        f"the newest {DEAD_KEPT}",
        f"among the last {IDS_KEPT}",
        f"within {LEASE_MS // 1000} seconds after",
    ):
        assert promise in TEXT, promise
    assert PROGRESS_SECONDS == 10, "every ten seconds"
