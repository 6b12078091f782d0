"""Sources with a spool, as processes that are killed (-9) while Redis is away: what they had taken
is published by their next run, once and in order."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.producers.redis_view import history
from tests.support.processes import wait_until
from tests.support.valkey import Valkey

ROOT = Path(__file__).parents[2]
SECRET = "the-secret-of-the-hooks"


class Sources:
    """Runs of sources, each with the table of its name in a TOML file."""

    def __init__(self, valkey: Valkey, folder: Path) -> None:
        self.spool = folder / "source.spool"
        self.config = folder / "tapecast.toml"
        self._valkey = valkey
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, source: str) -> subprocess.Popen[bytes]:
        """One run, with a pipe to it."""
        code = "from producers.cli import produce; produce()"
        kept = {name: value for name, value in os.environ.items() if "TAPECAST_" not in name}
        process = subprocess.Popen(
            [sys.executable, "-c", code, source, "--redis", self._valkey.url,
             "--config", self.config],
            stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT,
            env={**kept, "WEBHOOK_SECRET": SECRET},
        )  # fmt: skip
        self._started.append(process)
        return process

    def journal_bytes(self) -> int:
        """How much was ever written to the spool that a run has."""
        return self.spool.with_name(f"{self.spool.name}-wal").stat().st_size

    def left(self, channel: str) -> int:
        """How many publishes a run that was killed has left."""
        with closing(sqlite3.connect(self.spool)) as db:
            query = "SELECT count(*) FROM waiting WHERE channel = ?"
            [(count,)] = db.execute(query, (channel,))
            return int(count)

    def kill(self) -> None:
        """SIGKILL to all."""
        for process in self._started:
            process.kill()
            process.communicate()


@pytest.fixture
def sources(valkey: Valkey, tmp_path: Path) -> Iterator[Sources]:
    """None of whose runs outlives the test."""
    sources = Sources(valkey, tmp_path)
    yield sources
    sources.kill()


def test_lines_on_stdin(valkey: Valkey, sources: Sources) -> None:
    """Lines that were read are not lost with their reader: from the spool that the table names."""

    def line(n: int) -> bytes:
        fields: dict[str, Any] = {"channel": "fills", "event": "fill", "data": {"n": n}}
        return json.dumps(fields).encode() + b"\n"

    sources.config.write_text(f"[sources.stdin]\nspool = '{sources.spool}'\n")
    first = sources.start("stdin")
    assert first.stdin
    first.stdin.write(b"".join(map(line, range(10))))
    first.stdin.flush()
    wait_until(lambda: len(history(valkey, "fills")) == 10, "the first lines")
    valkey.freeze()
    size = sources.journal_bytes()
    first.stdin.write(b"".join(map(line, range(10, 60))))
    first.stdin.flush()
    wait_until(lambda: sources.journal_bytes() > size, "lines in the spool")
    sources.kill()
    left = sources.left("fills")
    assert left > 0
    valkey.thaw()
    second = sources.start("stdin")
    second.communicate(line(60), timeout=30)
    assert second.returncode == 0
    told = [data["n"] for _event, data in history(valkey, "fills")]
    assert told == [*range(10 + left), 60]


def test_posts_to_a_webhook(valkey: Valkey, sources: Sources) -> None:
    """A post that was answered 202 is stored after the kill, and known when it comes again."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    sources.config.write_text(
        f"[sources.webhook]\nport = {port}\nspool = '{sources.spool}'\n"
        "[sources.webhook.hooks.desk]\nauth = 'shared'\nrules = [{ to = 'alert' }]\n"
    )

    def post(n: int) -> int:
        answer = httpx.post(
            f"http://127.0.0.1:{port}/hooks/desk/{SECRET}", json={"title": f"alert {n}"},
            headers={"idempotency-key": f"a-{n}"}, timeout=20,
        )  # fmt: skip
        return answer.status_code

    def listens() -> bool:
        try:
            return post(0) == 200
        except httpx.TransportError:
            return False

    sources.start("webhook")
    wait_until(listens, "a server that listens")
    valkey.freeze()
    assert [post(n) for n in range(1, 4)] == [202] * 3
    sources.kill()
    assert sources.left("alerts") == 3
    sources.start("webhook")
    valkey.thaw()
    wait_until(listens, "the next run")
    assert [post(n) for n in range(1, 5)] == [200] * 4
    told = [data["title"] for _event, data in history(valkey, "alerts")]
    assert told == [f"alert {n}" for n in range(5)]
