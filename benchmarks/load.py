"""The load generator as Python sees it: build load.c, run it, read its reports.

load.c says what it does and what each number means; nothing is measured in Python.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "benchmarks"  # git-ignored
SOURCE = Path(__file__).with_name("load.c")
SATURATED = 0.9
"""Share of a core above which the generator is suspected, as in load.c."""

_WARNINGS = ("-Wall", "-Wextra", "-Wpedantic")


class LoadError(Exception):
    """The load generator can't be built, or ended without its report."""


class Delays(msgspec.Struct, frozen=True):
    """Percentiles in microseconds, within 3 per cent."""

    count: int
    p50: int
    p99: int
    p999: int
    max: int


class Report(msgspec.Struct, frozen=True):
    """One line of load.c: what was counted in one phase.

    `cpu_seconds`, and `busy` as a share of `seconds`, are without what was spent on spinning.
    `delay_us` of a storm is the time from connecting to ready; of a hold, where it was asked
    for, the time from an update's `ts` to its receipt. `failures` counts those of the phase by
    kind, and `first_failure` holds the words of the first since the start.
    """

    phase: str
    connections: int
    ready: int
    seconds: float
    cpu_seconds: float
    busy: float
    saturated: bool
    frames: int
    updates: int
    bytes: int
    delay_us: Delays | None
    failures: dict[str, int]
    first_failure: str

    @property
    def per_second(self) -> float:
        """Connections that became ready in a second of a storm."""
        return self.ready / self.seconds


@dataclass(frozen=True)
class Plan:
    """Which connections to open. `tokens` is a file with one token a line, taken in turn.

    With more than one of `channels` connections subscribe to `channel:0`, `channel:1`, ... in turn.
    `nice` is the generator's own niceness: where two share a core, that of the lesser one.
    `spin_us` is for how long it looks for the next frame before it sleeps: where it has a core to
    itself, so that a server on this machine is not charged for waking it.
    """

    port: int
    connections: int
    concurrency: int = 256
    channel: str = "portfolio"
    channels: int = 1
    tokens: Path | None = None
    path: str = "/ws"
    dialect: str = "tapecast"
    source_addresses: int = 1
    timeout_seconds: float = 60.0
    latency: bool = False
    deflate: bool = False
    nice: int = 0
    spin_us: int = 0

    def arguments(self) -> list[str]:
        """The options of load.c that say the same."""
        options = {
            "--port": self.port,
            "--connections": self.connections,
            "--concurrency": self.concurrency,
            "--channel": self.channel,
            "--channels": self.channels,
            "--path": self.path,
            "--dialect": self.dialect,
            "--source-addresses": self.source_addresses,
            "--timeout": self.timeout_seconds,
            "--spin": self.spin_us,
        }
        arguments = [str(part) for option in options.items() for part in option]
        if self.tokens is not None:
            arguments += ["--tokens", str(self.tokens)]
        if self.latency:
            arguments.append("--latency")
        if self.deflate:
            arguments.append("--deflate")
        return arguments


def compiler() -> str | None:
    """The C compiler to build with: $CC, else `cc`; None where there is none."""
    return shutil.which(os.environ.get("CC", "cc"))


def build(source: Path = SOURCE, *, shared: bool = False) -> Path:
    """Compile a C file unless its program is newer than it and its headers; return the program, or
    the library where it is to be shared.

    Raises `LoadError` where it can't be built. Safe to be called by several processes at once:
    each compiles to a name of its own, and the last rename wins.
    """
    program = BUILD / f"{source.stem}{'.so' * shared}"
    kind = ("-shared", "-fPIC") if shared else ()
    newest = max(path.stat().st_mtime for path in (source, *source.parent.glob("*.h")))
    if program.exists() and program.stat().st_mtime >= newest:
        return program
    if not sys.platform.startswith("linux"):
        raise LoadError(f"{source.name} needs Linux (epoll), and this is {sys.platform}")
    command = compiler()
    if command is None:
        raise LoadError(
            f"{source.name} has to be compiled, and there is no C compiler: install one "
            "(apt install gcc libc6-dev), or name it in the environment as CC"
        )
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        fresh = Path(folder, source.stem)
        result = subprocess.run(
            [command, "-std=c11", "-O2", *kind, *_WARNINGS, "-o", str(fresh), str(source)],
            capture_output=True,
            text=True,
        )
        if result.returncode:
            raise LoadError(f"{command} could not compile {source.name}:\n{result.stderr}")
        fresh.replace(program)
    return program


@contextlib.contextmanager
def on_core(*cores: int) -> Iterator[None]:
    """This process, and those that it starts in here, run on this core, or these, alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def spin_us(*cores: int) -> int:
    """For how long a generator that this process starts may look for the next frame before it
    sleeps, where the server runs on these cores: longer than any takes between two sends, and not
    at all where they share one."""
    return 0 if os.sched_getaffinity(0) & set(cores) else 200


class Held:
    """Open connections: the report of their storm, and one for each window asked for."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.storm = self._read()

    def window(self) -> Report:
        """End the window that began with the storm's end or the last call, and report it."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Report:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise LoadError(f"load ended without a report, status {self._process.wait()}")
        return msgspec.json.decode(line, type=Report)


@contextlib.contextmanager
def hold(plan: Plan) -> Iterator[Held]:
    """Open the connections, yield when each is ready or has failed, close them at the end.

    Raises `LoadError` where there is no report; failed connections are in the report.
    """
    command = ["nice", "-n", str(plan.nice), str(build()), "hold", *plan.arguments()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield Held(process)
        finally:
            process.kill()


def storm(plan: Plan) -> Report:
    """Open the connections, report, and close them."""
    with hold(plan) as held:
        return held.storm
