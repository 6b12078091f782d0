"""deploy/replicas.py: real hubs behind a real HAProxy, restarted while they are used."""

from __future__ import annotations

import asyncio
import csv
import os
import random
import shutil
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

import httpx
import msgspec
import pytest
from websockets.exceptions import ConnectionClosed

from hub.server.auth import mint_token
from tests.exact.dashboards import Report
from tests.exact.rig import FULL, ROOT, SECRET, SHORT, Rig
from tests.support.processes import DEADLINE_SECONDS, is_alive
from tests.support.socket_client import opened
from tests.support.valkey import Valkey

pytestmark = [
    pytest.mark.skipif(shutil.which("haproxy") is None, reason="needs haproxy"),
    pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc"),
]

PORTS = range(20_000, 32_000)
"""Below those that the kernel gives to clients: one of theirs might be a hub's just as it is
restarted."""


class Replicas:
    """A running deploy/replicas.py. hubs: each with a port of its own; url: the proxy's."""

    def __init__(self, process: asyncio.subprocess.Process, first_port: int) -> None:
        self.url = f"http://127.0.0.1:{first_port}"
        self.hub_ports = range(first_port + 1, first_port + 4)
        self.process = process
        self.said: list[str] = []

    async def until_said(self, wanted: str) -> None:
        """Read what it says, up to a line with these words."""
        assert self.process.stdout is not None
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not self.said or wanted not in self.said[-1]:
                line = (await self.process.stdout.readline()).decode()
                assert line, f"it ended, and never said {wanted!r}: {self.said}"
                self.said.append(line.rstrip())

    def hubs(self) -> dict[int, int]:
        """The process of each hub that runs, by its port."""
        return {
            int(words[words.index(b"--port") + 1]): pid
            for pid, words in self._children()
            if b"serve" in words
        }

    def redispatched(self) -> int:
        """How often HAProxy sent somebody to another hub than the first."""
        [proxy] = [pid for pid, words in self._children() if words[0] == b"haproxy"]
        environ = Path(f"/proc/{proxy}/environ").read_bytes().decode().split("\0")
        [path] = [text.partition("=")[2] for text in environ if text.startswith("ADMIN_SOCKET=")]
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(path)
            link.sendall(b"show stat hubs 2 -1\n")
            with link.makefile() as lines:
                rows = list(
                    csv.DictReader(line.removeprefix("# ") for line in lines if line.strip())
                )
        return sum(int(row["wredis"]) for row in rows)

    def _children(self) -> Iterator[tuple[int, list[bytes]]]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        for pid in map(int, children.split()):
            with suppress(OSError):
                yield pid, Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")

    async def end(self) -> int:
        """SIGTERM; returns the exit status."""
        self.process.terminate()
        await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode


def reader() -> str:
    """A token that these hubs take."""
    return mint_token(SECRET, "test", read=["*"], ttl_seconds=600, now=time.time())


async def greeting(url: str) -> str:
    """What a new connection hears first: a frame's type, or the code of its close."""
    async with opened(url, reader()) as client:
        try:
            return str((await client.recv())["type"])
        except ConnectionClosed as closed:
            return str(closed.rcvd and closed.rcvd.code)


def free_ports(count: int) -> int:
    """The first of so many ports in a row that nobody listens on."""
    while True:
        first = random.choice(PORTS)
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            return first


@asynccontextmanager
async def replicas(valkey: Valkey) -> AsyncIterator[Replicas]:
    """Three hubs and their proxy, ready."""
    environ = {name: text for name, text in os.environ.items() if not name.startswith("TAPECAST_")}
    environ |= {
        # Where `tapecast` is.
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TAPECAST_JWT_SECRET": SECRET,
        "TAPECAST_REDIS_URL": valkey.url,
        "TAPECAST_DRAIN_SECONDS": "3",
        "TAPECAST_DRAIN_SPREAD_SECONDS": "0.5",
    }
    first_port = free_ports(4)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "deploy/replicas.py"),
        *("--bind", f"127.0.0.1:{first_port}", "--hub-port", str(first_port + 1)),
        cwd=ROOT,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
    )
    running = Replicas(process, first_port)
    try:
        await running.until_said("kill -HUP")
        yield running
    finally:
        if process.returncode is None:
            await running.end()


@pytest.mark.exact
async def test_a_rolling_restart_loses_nothing(
    full_size: bool, durable_valkey: Valkey, tmp_path: Path
) -> None:
    """Each hub is another process afterwards; every client has every entry once, in order, and was
    never refused: it was asked to come again, and resumed."""
    # A hub that has just started knows the last 50 changes of a value or table, 5 s of them here.
    # Who was away for longer gets its state anew, which is right, and not what this is about.
    size = msgspec.structs.replace(FULL, away=3.0)
    if not full_size:
        size = msgspec.structs.replace(SHORT, clients=30, entries_a_second=200.0, stay=20.0)
    async with replicas(durable_valkey) as running:
        before = running.hubs()

        async def restart(rig: Rig) -> None:
            running.process.send_signal(signal.SIGHUP)
            await running.until_said("every hub was restarted")

        rig = Rig(durable_valkey, [], size, tmp_path, proxy=running.url)
        report: Report = (await rig.run(restart)).report
        after = running.hubs()
    assert set(before) == set(after) == set(running.hub_ports)
    assert not set(before.values()) & set(after.values())
    assert [line for line in running.said if "drained" in line] == [
        f"hub{number}: drained" for number in (1, 2, 3)
    ]
    assert report.breach_count == 0, "\n".join(report.breaches)
    # Whoever was connected to the last hub alone was asked once; nobody's link just broke.
    assert set(report.closes) == {1012}
    assert report.recovered >= report.closes[1012]


async def test_who_meets_a_hub_that_ends_is_served_by_another(valkey: Valkey) -> None:
    """A hub that drains without a word to the proxy costs nobody a failed handshake, and one that
    ended is started again."""
    async with replicas(valkey) as running:
        port, pid = min(running.hubs().items())
        os.kill(pid, signal.SIGTERM)
        greetings: list[str] = []
        while running.hubs().get(port, pid) == pid:
            greetings.append(await greeting(running.url))
        # Of those who are let in just before it stops listening, who hear that it restarts, there
        # can be few.
        assert set(greetings) <= {"welcome", "1012"}
        assert greetings.count("welcome") > greetings.count("1012")
        assert running.redispatched() > 0
        await running.until_said("hub1: ended, is started again")


async def test_the_proxy_hides_what_is_nobodys_business(valkey: Valkey) -> None:
    """Metrics are for those who reach the hub itself."""
    async with replicas(valkey) as running, httpx.AsyncClient() as http:
        hub = f"http://127.0.0.1:{running.hub_ports[0]}"
        assert (await http.get(f"{hub}/metrics")).status_code == 200
        for path in ("/metrics", "/%6detrics"):
            assert (await http.get(f"{running.url}{path}")).status_code == 404
        assert (await http.get(f"{running.url}/readyz")).status_code == 200
        # Ended by SIGTERM it leaves nothing behind.
        hubs = running.hubs().values()
        assert await running.end() == 0
        assert not any(map(is_alive, hubs))


async def test_a_port_that_is_taken_is_said(valkey: Valkey) -> None:
    """A second one on the same ports ends at once, and harms nobody."""
    async with replicas(valkey) as running:
        second = await asyncio.create_subprocess_exec(
            *(sys.executable, "deploy/replicas.py"),
            *("--bind", running.url.removeprefix("http://")),
            *("--hub-port", str(running.hub_ports[0])),
            cwd=ROOT,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await second.communicate()
        assert second.returncode == 1
        assert b"Address already in use; see --bind and --hub-port" in said
