"""A hub as a process: what it prints, how it ends, and workers that share a port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosedError

from hub.broker.memory import MemoryBroker
from hub.server.run import run
from hub.server.settings import Settings
from hub.server.worker import HubServer, listen, url_of, with_connection_cap
from tests.server.test_metrics import samples, value
from tests.support.livehub import SECRET, LiveHub, token
from tests.support.processes import DEADLINE_SECONDS, is_alive, wait_until
from tests.support.socket_client import SocketClient, opened, welcomed
from tests.support.valkey import Valkey

PROGRAM = """
import os, sys
from hub.server.run import run
from hub.server.settings import load
if __name__ == "__main__":
    sys.exit(run(load(os.environ)))
"""

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class HubProcess:
    """A hub in a process of its own. Its log is in a file."""

    def __init__(self, folder: Path, valkey: Valkey, **settings: str) -> None:
        program = folder / "serve.py"
        program.write_text(PROGRAM)
        self._log = folder / "log"
        environ = {key: value for key, value in os.environ.items() if "TAPECAST" not in key}
        environ |= {
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "TAPECAST_JWT_SECRET": SECRET,
            "TAPECAST_PORT": "0",
            "TAPECAST_REDIS_URL": valkey.url,
            "TAPECAST_HEARTBEAT_SECONDS": "3600",
            "TAPECAST_DRAIN_SECONDS": "2",
            "TAPECAST_DRAIN_SPREAD_SECONDS": "0.2",
            **{f"TAPECAST_{name.upper()}": value for name, value in settings.items()},
        }
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(program)],
                env=environ,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        self.url = self.line.rpartition(" ")[2].strip()

    @property
    def log(self) -> str:
        """What was logged so far."""
        return self._log.read_text()

    def workers(self) -> set[int]:
        """The ids of its worker processes."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return {pid for pid in map(int, children.split()) if b"spawn_main" in _command_line(pid)}

    def listeners(self) -> int:
        """How many sockets listen on its port."""
        port = f":{int(self.url.rpartition(':')[2]):04X}"
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(row[1].endswith(port) and row[3] == "0A" for row in rows)

    async def end(self, sig: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; returns the exit status."""
        self.process.send_signal(sig)
        return await asyncio.to_thread(self.process.wait, 20)


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.fixture
def processes() -> Iterator[list[HubProcess]]:
    """Hubs that are killed where a test left them running."""
    started: list[HubProcess] = []
    yield started
    for hub in started:
        hub.process.kill()
        hub.process.communicate()


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
async def test_it_says_where_it_listens_and_drains(
    processes: list[HubProcess], tmp_path: Path, valkey: Valkey, sig: signal.Signals
) -> None:
    """The URL is good when it is printed; at the end clients hear the notice and 1012, and the
    exit status is 0. No token and no secret is in the log."""
    hub = HubProcess(tmp_path, valkey)
    processes.append(hub)
    assert hub.line.startswith("Tapecast listens on http://127.0.0.1:")
    shown, refused = token(), token() + "x"
    async with opened(hub.url, refused) as stranger:
        assert (await stranger.closed())[0] == 4401
    async with (
        welcomed(hub.url, shown, path=f"/ws?token={shown}") as client,
        welcomed(hub.url, offer=("tapecast.v1", f"bearer.{shown}")),
    ):
        await client.subscribe("portfolio")
        ended = asyncio.create_task(hub.end(sig))
        frames, code, _ = await client.rest()
        assert frames[-1]["type"] == "notice"
        assert code == 1012
    assert await ended == 0
    for hidden in (SECRET, shown.rpartition(".")[2], refused.rpartition(".")[2]):
        assert hidden not in hub.log
    assert "Traceback" not in hub.log


@pytest.mark.skipif(sys.platform != "linux", reason="workers are found in /proc")
async def test_workers_share_the_port(
    processes: list[HubProcess], tmp_path: Path, valkey: Valkey
) -> None:
    """Each of two workers has some of the connections; one that is killed is replaced, and takes
    nobody else's with it; SIGTERM drains both."""
    hub = HubProcess(tmp_path, valkey, workers="2")
    processes.append(hub)

    async def come(stack: AsyncExitStack) -> list[SocketClient]:
        return [await stack.enter_async_context(welcomed(hub.url, token())) for _ in range(30)]

    async def ends(clients: list[SocketClient]) -> list[int]:
        ended = await asyncio.gather(*(client.closed() for client in clients))
        return [code for code, _ in ended]

    await _listening(hub)
    first = hub.workers()
    assert len(first) == 2
    async with AsyncExitStack() as stack:
        clients = await come(stack)
        killed = min(first)
        os.kill(killed, signal.SIGKILL)
        await asyncio.to_thread(wait_until, lambda: len(hub.workers() - first) == 1, "a new worker")
        await _listening(hub)
        # The killed one's clients have lost their connection, the others' answer.
        stayed = [client for client in clients if await _answers(client)]
        assert 0 < len(stayed) < len(clients)
        newcomers = await come(stack)
        ended = asyncio.create_task(hub.end())
        assert await ends([*stayed, *newcomers]) == [1012] * (len(stayed) + 30)
        assert await ended == 0
    assert f"worker {killed} ended with -9" in hub.log
    assert "Traceback" not in hub.log


async def _listening(hub: HubProcess, workers: int = 2) -> None:
    """Return once all workers listen."""
    what = f"{workers} workers listen"
    await asyncio.to_thread(wait_until, lambda: hub.listeners() == workers, what)


async def _gauges(hub: HubProcess, name: str) -> dict[str, float]:
    """A gauge by worker."""
    async with httpx.AsyncClient(base_url=hub.url) as http:
        text = (await http.get("/metrics")).content
    return {labels["worker"]: value for known, labels, value in samples(text) if known == name}


async def _count(hub: HubProcess, name: str) -> float:
    """A count, from whichever worker the kernel chose."""
    async with httpx.AsyncClient(base_url=hub.url) as http:
        return value((await http.get("/metrics")).content, name)


async def _eventually(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await condition():
            # Each look is a request, and gives the hub time.
            pass


@pytest.mark.skipif(sys.platform != "linux", reason="Linux spreads connections over sockets")
async def test_connections_are_spread_evenly(
    processes: list[HubProcess], tmp_path: Path, valkey: Valkey
) -> None:
    """Each of two workers takes a fair share of 400 connections, and any worker shows all shares.

    The kernel draws the worker by a hash of the addresses. Drawn fairly, fewer than 140 of 400 are
    six standard deviations away.
    """
    hub = HubProcess(tmp_path, valkey, workers="2")
    processes.append(hub)
    await _listening(hub)
    async with AsyncExitStack() as stack:
        for _ in range(400):
            await stack.enter_async_context(opened(hub.url, token()))

        async def all_are_shown() -> bool:
            return sum((await _gauges(hub, "tapecast_connections")).values()) == 400

        await _eventually(all_are_shown, "400 connections")
        shares = await _gauges(hub, "tapecast_connections")
        assert set(shares) == {"0", "1"}
        assert min(shares.values()) >= 140
        assert await _count(hub, "tapecast_connections_accepted_total") == 400


@pytest.mark.skipif(sys.platform != "linux", reason="workers are found in /proc")
async def test_counts_outlive_a_worker(
    processes: list[HubProcess], tmp_path: Path, valkey: Valkey
) -> None:
    """Whoever answers a scrape, and whoever was killed before it, a count never falls."""
    hub = HubProcess(tmp_path, valkey, workers="2")
    processes.append(hub)
    await _listening(hub)
    async with AsyncExitStack() as stack:
        for _ in range(30):
            await stack.enter_async_context(opened(hub.url, token()))

        async def all_are_counted() -> bool:
            return await _count(hub, "tapecast_connections_accepted_total") == 30

        await _eventually(all_are_counted, "30 connections")
        assert await _count(hub, "tapecast_worker_starts_total") == 2
        for killed in hub.workers():
            before = hub.workers()
            os.kill(killed, signal.SIGKILL)
            while not hub.workers() - before or hub.listeners() < 2:
                # The killed one's connection may be this one.
                with contextlib.suppress(httpx.TransportError):
                    assert await _count(hub, "tapecast_connections_accepted_total") == 30
        assert await _count(hub, "tapecast_connections_accepted_total") == 30
        assert await _count(hub, "tapecast_worker_starts_total") == 4
        assert set((await _gauges(hub, "tapecast_connections")).values()) == {0}


@pytest.mark.skipif(sys.platform != "linux", reason="workers are found in /proc")
async def test_workers_do_not_outlive_their_supervisor(
    processes: list[HubProcess], tmp_path: Path, valkey: Valkey
) -> None:
    """Where the supervisor is killed its workers drain and end, so that the port is free again."""
    hub = HubProcess(tmp_path, valkey, workers="2")
    processes.append(hub)
    await _listening(hub)
    workers = hub.workers()
    async with welcomed(hub.url, token()) as client:
        hub.process.kill()
        assert (await client.closed())[0] == 1012
    await asyncio.to_thread(
        wait_until, lambda: not any(map(is_alive, workers)), "the end of the workers"
    )
    assert hub.listeners() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="workers are found in /proc")
async def test_a_worker_that_hangs_is_killed_in_the_end(
    processes: list[HubProcess], tmp_path: Path, valkey: Valkey
) -> None:
    """A drain ends within its time, though a worker does nothing any more."""
    hub = HubProcess(tmp_path, valkey, workers="2", drain_seconds="0.2", drain_spread_seconds="0")
    processes.append(hub)
    await _listening(hub)
    hanging = min(hub.workers())
    os.kill(hanging, signal.SIGSTOP)
    assert await hub.end() == 0
    assert f"worker {hanging} did not end; killing it" in hub.log
    assert not is_alive(hanging)


@pytest.mark.every_loop
async def test_whom_the_kernel_let_in_is_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has connected when the drain begins, and was not accepted yet, is told that the hub
    restarts. They used to be reset with the listening socket."""
    waiting = socket.socket()
    shutdown = HubServer.shutdown

    async def shut_down(server: HubServer, sockets: list[socket.socket] | None = None) -> None:
        waiting.connect(address)
        waiting.sendall(UPGRADE)
        await shutdown(server, sockets)

    monkeypatch.setattr(HubServer, "shutdown", shut_down)
    with waiting:
        async with LiveHub(MemoryBroker()) as live:
            host, _, port = live.url.rpartition("/")[2].partition(":")
            address = host, int(port)
        with waiting.makefile("rb") as answers:
            answer = answers.read()
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"the hub restarts" in answer


async def _answers(client: SocketClient) -> bool:
    try:
        return await client.is_quiet()
    except ConnectionClosedError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="workers are found in /proc")
def test_workers_that_keep_dying_are_given_up(
    processes: list[HubProcess], tmp_path: Path, valkey: Valkey
) -> None:
    """Where every worker dies young the whole ends with status 1, rather than go on for ever."""
    hub = HubProcess(tmp_path, valkey, workers="2")
    processes.append(hub)

    def kill_all() -> bool:
        if hub.process.poll() is not None:
            return True
        for pid in hub.workers():
            os.kill(pid, signal.SIGKILL)
        return False

    wait_until(kill_all, "the end of the supervisor")
    assert hub.process.returncode == 1
    assert "workers keep dying" in hub.log


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    """It is said, with what to do, and the status is 1."""
    taken = listen(Settings(port=0))
    taken.listen()
    try:
        assert run(Settings(port=taken.getsockname()[1], jwt_secret=SECRET)) == 1
    finally:
        taken.close()
    said = capsys.readouterr().err
    assert "Address already in use" in said
    assert "Choose another with --port" in said


def test_urls() -> None:
    """An IPv6 address stands in brackets."""
    sock = listen(Settings(host="::1", port=0))
    with sock:
        port = sock.getsockname()[1]
        assert url_of(sock) == f"http://[::1]:{port}"


def test_connections_stay_below_the_limit_on_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine tenths of it at most, which leaves files for the broker, HTTP and the log."""
    raised: list[tuple[int, int]] = []
    limits = [(1024, 4096), (4096, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda what: limits[len(raised)])
    monkeypatch.setattr(resource, "setrlimit", lambda what, to: raised.append(to))
    assert with_connection_cap(Settings()).max_connections == 3686
    assert raised == [(4096, 4096)]
    assert with_connection_cap(Settings(max_connections=100)).max_connections == 100
    assert with_connection_cap(Settings(max_connections=5000)).max_connections == 3686


def test_what_accepted_sockets_inherit() -> None:
    """The kernel's send buffer is bounded, and so is its patience with a client that is gone."""
    with listen(Settings(port=0, stall_seconds=7.0)) as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 1024 * 1024
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7000
