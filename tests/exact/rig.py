"""Everything a scenario needs, as processes: hubs, clients, and producers that write to Valkey."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import reduce
from pathlib import Path
from typing import Final

import msgspec

from hub.server.auth import mint_token
from tests.exact.dashboards import Orders, Report
from tests.exact.load import CHANNELS, Ledger, Load, publishers
from tests.support.valkey import Valkey

SECRET: Final = secrets.token_urlsafe(48)
START_SECONDS: Final = 20.0
REPORT_SECONDS: Final = 90.0
ROOT: Final = Path(__file__).parents[2]


class Size(msgspec.Struct, frozen=True):
    """How much of everything. stay, away: see `Orders`."""

    clients: int
    processes: int
    seconds: float
    entries_a_second: float
    stay: float
    away: float


FULL: Final = Size(100, 2, 60.0, 500.0, stay=20.0, away=8.0)
SHORT: Final = Size(10, 1, 5.0, 100.0, stay=2.0, away=1.0)


class Outcome(msgspec.Struct, frozen=True):
    """What the producers were acknowledged, and what the clients say."""

    published: int
    report: Report


class HubProcess:
    """One `tapecast serve`."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path, url: str) -> None:
        self.url = url
        self.log = log
        self._process = process

    def kill(self) -> None:
        """Kill with SIGKILL: no drain, no close frame."""
        self._process.send_signal(signal.SIGKILL)

    def workers(self) -> list[int]:
        """The processes that serve its port, where `--workers` made several."""
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [
            int(child)
            for child in children
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
        ]


Fault = Callable[["Rig"], Awaitable[None]]


class Rig:
    """A Valkey, hubs on it, and what a fault does to them.

    proxy: the URL that clients use instead of the hubs' own.
    """

    def __init__(
        self, valkey: Valkey, hubs: list[HubProcess], size: Size, folder: Path, *, proxy: str = ""
    ) -> None:
        self.valkey = valkey
        self.hubs = hubs
        self.size = size
        self._folder = folder
        self._urls = [proxy] if proxy else [hub.url for hub in hubs]

    @property
    def token(self) -> str:
        """Good for reading every channel."""
        return mint_token(SECRET, "exact", read=["*"], ttl_seconds=3600, now=time.time())

    @property
    def socket_urls(self) -> list[str]:
        return [url.replace("http", "ws", 1) + "/ws" for url in self._urls]

    async def publish_through(self, fault: Fault) -> Ledger:
        """Let the producers write for as long as the size says, with a fault meanwhile."""
        stop = asyncio.Event()
        async with publishers(self.valkey.url) as made:
            load = Load(made, self.size.entries_a_second)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(load.run(stop))
                async with asyncio.TaskGroup() as faults:
                    faults.create_task(_at_least(fault(self), self.size.seconds))
                stop.set()
        load.ledger.check()
        return load.ledger

    async def run(self, fault: Fault) -> Outcome:
        """Clients come and go while the producers write and the fault happens; then compare."""
        async with AsyncExitStack() as stack:
            each = self.size.clients // self.size.processes
            clients = [
                await stack.enter_async_context(_client_process(self._orders(each, seed)))
                for seed in range(self.size.processes)
            ]
            ledger = await self.publish_through(fault)
            truths = self._folder / "truths.json"
            truths.write_bytes(msgspec.json.encode(ledger.truths()))
            reports = await asyncio.gather(*(_report_of(process, truths) for process in clients))
        published = sum(map(len, ledger.entries.values()))
        return Outcome(published, reduce(Report.plus, reports))

    def _orders(self, clients: int, seed: int) -> Orders:
        size = self.size
        return Orders(
            self.socket_urls, self.token, clients, CHANNELS, seed, stay=size.stay, away=size.away
        )


@asynccontextmanager
async def rig(
    valkey: Valkey, size: Size, folder: Path, *, hubs: int = 1, workers: int = 1
) -> AsyncIterator[Rig]:
    """A rig with that many hubs, each ended when it ends."""
    async with AsyncExitStack() as stack:
        logs = [folder / f"hub-{number}.log" for number in range(hubs)]
        started = [
            await stack.enter_async_context(hub_process(valkey, log, workers)) for log in logs
        ]
        yield Rig(valkey, started, size, folder)


@asynccontextmanager
async def hub_process(
    valkey: Valkey, log: Path, workers: int, *, port: int = 0
) -> AsyncIterator[HubProcess]:
    """One `tapecast serve`, ended when the block does; port: 0 for a free one."""
    environ = {name: text for name, text in os.environ.items() if not name.startswith("TAPECAST_")}
    environ |= {"TAPECAST_JWT_SECRET": SECRET, "TAPECAST_REDIS_URL": valkey.url}
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-m",
                "hub.cli",
                "serve",
                "--port",
                str(port),
                "--workers",
                str(workers),
            ),
            cwd=ROOT,
            env=environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            line = (await process.stdout.readline()).decode()
        assert line.startswith("Tapecast listens on "), f"expected a URL, got {line!r}: see {log}"
        yield HubProcess(process, log, line.split()[-1])
    finally:
        await _end(process)


@asynccontextmanager
async def _client_process(orders: Orders) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.exact.dashboards"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=16 * 1024 * 1024,
    )
    try:
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(orders) + b"\n")
        await process.stdin.drain()
        yield process
    finally:
        await _end(process)


async def _report_of(process: asyncio.subprocess.Process, truths: Path) -> Report:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{truths}\n".encode())
    async with asyncio.timeout(REPORT_SECONDS):
        line = await process.stdout.readline()
    assert line, "the clients' process failed; its traceback is above"
    return msgspec.json.decode(line, type=Report)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    # Reads the pipes to their end, so that their transports are closed too.
    await process.communicate()


async def _at_least(happening: Awaitable[None], seconds: float) -> None:
    loop = asyncio.get_running_loop()
    end_at = loop.time() + seconds
    await happening
    await asyncio.sleep(max(0.0, end_at - loop.time()))
