"""What README.md tells to type works, as it stands there."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from hub.client import Client, Snapshot
from hub.protocol.addresses import embedded_socket
from hub.protocol.streams import KNOWN, Kind
from hub.server.settings import load
from producers.settings import read_settings
from tests.docs.pages import ROOT, blocks, page, section
from tests.support.brokers import eventually
from tests.support.livehub import SECRET, token
from tests.support.valkey import Valkey

README = page("README.md")
SERVE, PIPES, CURL, REDIS_CLI = blocks(README, "sh")
PRODUCER, SUBSCRIBER, EMBEDDING = blocks(README, "python")
[STREAMS] = blocks(README, "toml")

DEADLINE_SECONDS = 30.0
WAIT = "until tapecast channels >/dev/null 2>&1; do kill -0 $!; done"
"""The hub is there when the next command comes, as it is for somebody who types; or it ended."""

REDIS_CLI_STAND_IN = """\
#!{python}
import os, sys
from redis import Redis
for value in [Redis.from_url(os.environ["TEST_REDIS_URL"]).execute_command(*sys.argv[1:])]:
    print(value)
"""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Terminal:
    """A terminal in which the first block was typed: a hub runs in its background."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        programs = folder / "bin"
        programs.mkdir()
        # `tapecast` is what an activated environment has; redis-cli is not installed everywhere.
        _program(programs / "tapecast", f'#!/bin/sh\nexec "{sys.executable}" -m hub.cli "$@"\n')
        _program(programs / "redis-cli", REDIS_CLI_STAND_IN.format(python=sys.executable))
        kept = {name: value for name, value in os.environ.items() if "TAPECAST_" not in name}
        environ = {
            **kept,
            "PATH": f"{programs}:{kept['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder),
            "TAPECAST_PORT": str(port),
            "TAPECAST_URL": f"http://127.0.0.1:{port}",
            "TAPECAST_DRAIN_SPREAD_SECONDS": "0",
        }
        environ["TEST_REDIS_URL"] = f"unix://{embedded_socket(environ, os.getuid())}"
        exported = folder / "environ"
        self._hub = subprocess.Popen(
            ["bash", "-ec", f"{SERVE}\n{WAIT}\nenv -0 > {exported}\necho ready\nwait"],
            env=environ, cwd=folder, start_new_session=True, text=True, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._hub.stdout is not None
        assert "ready\n" in self._hub.stdout, "the first block ended"
        pairs = exported.read_text().rstrip("\0").split("\0")
        self.environ = dict(pair.split("=", 1) for pair in pairs)

    def type(self, block: str) -> str:
        """Run a block of commands; what they print."""
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", block],
            env=self.environ, capture_output=True, text=True, timeout=DEADLINE_SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def close(self) -> None:
        """End the hub and wait for it, as closing the terminal does."""
        os.killpg(self._hub.pid, signal.SIGTERM)
        self._hub.communicate(timeout=DEADLINE_SECONDS)


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o700)


@pytest.fixture(scope="module")
def terminal() -> Iterator[Terminal]:
    """The one terminal of this page, with what earlier tests published."""
    # Not below pytest's own folder: the path of a socket is 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="tapecast-") as folder:
        opened = Terminal(Path(folder))
        try:
            yield opened
        finally:
            opened.close()


def lines_of_code(block: str) -> int:
    """The lines that are not blank."""
    return sum(1 for line in block.splitlines() if line.strip())


async def test_the_producer_and_the_subscriber(terminal: Terminal) -> None:
    """Each is ten lines; what the one publishes, once, the other prints."""
    assert lines_of_code(PRODUCER) <= 10
    assert lines_of_code(SUBSCRIBER) <= 10
    subscriber = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SUBSCRIBER, env=terminal.environ, stdout=asyncio.subprocess.PIPE
    )
    assert subscriber.stdout is not None
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert b"'entries': " in await subscriber.stdout.readline()
            for unchanged in ("False", "True"):
                producer = await asyncio.create_subprocess_exec(
                    sys.executable, "-c", PRODUCER,
                    env=terminal.environ, stdout=asyncio.subprocess.PIPE,
                )  # fmt: skip
                printed, _ = await producer.communicate()
                assert f"unchanged={unchanged}".encode() in printed
            line = await subscriber.stdout.readline()
        assert line.partition(b") ")[0] in printed
        assert b"'asset_pair': 'BTCUSD'" in line
    finally:
        subscriber.kill()
        await subscriber.wait()


def test_commands_and_pipes(terminal: Terminal) -> None:
    """A publish prints its position, a pipe one a line, and `channels` lists what there is."""
    status, second, third, *listed = terminal.type(PIPES).splitlines()
    assert status.split()[1] == "1"
    assert int(third.split()[1]) == int(second.split()[1]) + 1
    assert any("decisions" in line and "log" in line for line in listed)
    assert any("status" in line and "value" in line for line in listed)


@pytest.mark.optional("CI installs no curl")
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_http(terminal: Terminal) -> None:
    """List, read, history and publish answer what the text says, the last one twice the same."""
    terminal.type(PIPES)
    printed = terminal.type(CURL)
    decoder = json.JSONDecoder()
    answers, at = [], 0
    while at < len(printed.rstrip()):
        answer, at = decoder.raw_decode(printed, at)
        answers.append(answer)
    listed, snapshot, history, published = answers
    assert {"decisions", "status"} <= {row["name"] for row in listed["channels"]}
    assert snapshot["type"] == "snapshot"
    assert {"d-2", "d-3"} <= {entry["data"]["id"] for entry in history["entries"]}
    again = terminal.type(CURL)
    assert again.endswith(json.dumps(published, separators=(",", ":")))


async def test_redis_cli(terminal: Terminal) -> None:
    """A message by hand reaches who follows the channel; the keys are where the text says."""
    await asyncio.to_thread(terminal.type, PIPES)
    async with Client(terminal.environ["TAPECAST_URL"], terminal.environ["TAPECAST_TOKEN"]) as desk:
        news = desk.subscribe("news")
        assert isinstance(await anext(news), Snapshot)
        printed = await asyncio.to_thread(terminal.type, REDIS_CLI)
        async with asyncio.timeout(DEADLINE_SECONDS):
            heard = await anext(news)
    assert not isinstance(heard, Snapshot)
    assert getattr(heard, "data", None) == {"title": "hello"}
    heard_by, meta, newest = printed.splitlines()
    assert heard_by == "1"
    assert "epoch" in meta
    assert "d-3" in newest


def test_streams_of_the_file(tmp_path: Path) -> None:
    """Hub and producers read the same options from the file, over those that are known."""
    file = tmp_path / "tapecast.toml"
    file.write_text(STREAMS)
    hub, producer = load({}, STREAMS).streams, read_settings({}, redis="unix:///x", config=file)
    for streams in (hub, producer.streams):
        assert streams["orders"].kind is Kind.TABLE
        assert streams["orders"].deadline_seconds == 10
        assert streams["decisions"].kind is Kind.LOG
        assert streams["decisions"].history == 200
    assert set(tomllib.loads(STREAMS)["streams"]) - set(KNOWN) == {"orders"}


def test_the_known_streams_are_named() -> None:
    """The text names each stream that is known, as what it is."""
    text = section(README, "Streams")
    of = {
        Kind.VALUE: "`portfolio`, `status` and `health` are values",
        Kind.TABLE: "`positions` is a table",
        Kind.LOG: "`decisions`, `agent`, `alerts` and `commands` are logs",
    }
    for kind, words in of.items():
        assert words in text
        named = {name for name, stream in KNOWN.items() if stream.kind is kind}
        assert {word for word in words.split("`") if word in KNOWN} == named


async def test_embedding(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub serves below a path of another application, under a server as it comes."""
    for name in [name for name in os.environ if name.startswith("TAPECAST_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TAPECAST_JWT_SECRET", SECRET)
    monkeypatch.setenv("TAPECAST_REDIS_URL", valkey.url)
    names: dict[str, Any] = {}
    exec(EMBEDDING, names)  # noqa: S102 - the block is the project's own
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        config = uvicorn.Config(names["app"], log_config=None, lifespan="on")
        server = uvicorn.Server(config)
        monkeypatch.setattr(server, "capture_signals", nullcontext)
        serving = asyncio.create_task(server.serve(sockets=[sock]))
        await eventually(lambda: server.started, "a server that listens")
        url = f"http://127.0.0.1:{sock.getsockname()[1]}/live"
        try:
            async with asyncio.timeout(DEADLINE_SECONDS), Client(url, token()) as client:
                published = await client.publish("status", "status", {"state": "RUNNING"})
                snapshot = await anext(client.subscribe("status"))
            assert isinstance(snapshot, Snapshot)
            assert snapshot.position == published.position
        finally:
            server.should_exit = True
            await serving


def test_the_folders_are_there() -> None:
    """The picture of the house names folders that exist."""
    [house] = blocks(section(README, "The house"), "")
    inside = ""
    for line in house.splitlines():
        name = line.split()[0]
        if not line.startswith(" "):
            inside = name
        assert (ROOT / (inside if name == inside else inside + name)).is_dir(), line


def test_make_has_the_targets() -> None:
    """The commands that make is called with in the text are targets."""
    makefile = page("Makefile")
    for target in ("demo", "test", "exact"):
        assert f"make {target}" in README
        assert f"\n{target}: " in makefile
