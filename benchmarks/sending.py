"""What a send costs by each way that Python has: `python -m benchmarks.sending`.

One process sends a frame to all its connections, by one way after the other, over and over, and
counts its CPU time, user and system, for each send. A plain C loop of send() over the same sockets
is the floor. Another process on another core reads.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import socket
import statistics
import sys
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from benchmarks import load, plot, report, script
from benchmarks.report import Spread, ratios, spread
from benchmarks.servers import Cores
from hub.core.frame import Frame
from hub.server.batch import batch_writer, word
from hub.server.media import PLAIN, give_back, joined, take_descriptor

CONNECTIONS = (50, 1_000)
PAYLOAD = b'"' + b"x" * 298 + b'"'
FLOOR = "C loop of send()"
SENDLOOP = Path(__file__).with_name("peers") / "sendloop.c"
SECONDS_A_SEND = 20e-6
"""What the reader is given to read one frame, so that every way finds it idle."""

EXAMPLES = """\
examples:
  python -m benchmarks.sending
  python -m benchmarks.sending --runs 5 --rounds 200 --write-docs
"""

Send = Callable[[], object]


class Way(msgspec.Struct, frozen=True):
    """One way to send, over so many connections; `ratio` is to the floor in the same rounds."""

    cpu_us: Spread
    ratio: Spread


class ScenarioResults(msgspec.Struct, frozen=True):
    """All ways over so many connections."""

    connections: int
    ways: dict[str, Way]


class Results(msgspec.Struct, frozen=True):
    """The line that is printed."""

    benchmark: str
    frame_bytes: int
    rounds: int
    runs: int
    shared_core: bool
    machine: str
    scenarios: list[ScenarioResults]


class Connection(asyncio.Protocol):
    """One that is only written to."""

    def __init__(self, made: list[Connection]) -> None:
        self._made = made
        self.number: int
        self.socket: socket.socket
        self.transport: asyncio.Transport

    def connection_made(self, transport: Any) -> None:
        transport.set_write_buffer_limits(0)
        number = take_descriptor(transport)
        assert number is not None, "a plain connection has a socket"
        self.transport, self.number = transport, number
        self.socket = socket.socket(fileno=number)
        self._made.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        give_back(self.number)
        self.socket.detach()


@contextlib.asynccontextmanager
async def connections(count: int, core: int) -> AsyncIterator[list[Connection]]:
    """So many, which a process on this core reads from."""
    made: list[Connection] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(made), "127.0.0.1", 0, backlog=count)
    port = server.sockets[0].getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.peers.reader", str(port), str(count)]
    with load.on_core(core):
        reader = await asyncio.create_subprocess_exec(*command, cwd=load.ROOT, stdout=DEVNULL)
    try:
        while len(made) < count:
            if reader.returncode is not None:
                raise script.Failed(f"the reader ended after {len(made)} of {count} connections")
            await asyncio.sleep(0.01)
        yield made
    finally:
        reader.kill()
        await reader.wait()
        server.close()


def ways(made: Sequence[Connection]) -> dict[str, Send]:
    """How to send the frame to all, by each way."""
    frame = Frame(PAYLOAD)
    piece = joined((frame,))
    library = ctypes.PyDLL(str(load.build(SENDLOOP, shared=True)))
    numbers = [each.number for each in made]
    sinks = [word(number) for number in numbers]
    sockets = (ctypes.c_int * len(made))(*numbers)
    writes = [each.transport.write for each in made]
    sends = [each.socket.send for each in made]

    def by_socket() -> None:
        size = len(piece)
        for send in sends:
            if send(piece) != size:
                raise script.Failed("the kernel's buffer is full")

    def by_c() -> None:
        if library.send_to_all(sockets, len(made), piece, ctypes.c_size_t(len(piece))):
            raise script.Failed("the kernel's buffer is full")

    if batch_writer() is None:
        raise script.Failed("io_submit can't be had here")
    return {
        FLOOR: by_c,
        "io_submit, as the hub does": lambda: PLAIN.by_batch.fan_out((frame,), sinks),
        "os.write, as the hub does elsewhere": lambda: PLAIN.by_descriptor.fan_out((frame,), sinks),
        "socket.send": by_socket,
        "transport.write of uvloop": lambda: PLAIN.by_transport.fan_out((frame,), writes),
    }


async def measure(count: int, rounds: int, core: int) -> dict[str, float]:
    """CPU microseconds of one send by each way, the median of all rounds."""
    async with connections(count, core) as made:
        found = ways(made)
        spent: dict[str, list[float]] = {name: [] for name in found}
        for _ in range(rounds):
            for name, send in found.items():
                await asyncio.sleep(count * SECONDS_A_SEND)
                began = time.process_time_ns()
                send()
                spent[name].append((time.process_time_ns() - began) / 1000 / count)
    return {name: statistics.median(of_way) for name, of_way in spent.items()}


def benchmark(options: argparse.Namespace, cores: Cores) -> Results:
    """Every number of connections, as often as asked for."""

    def run(count: int) -> dict[str, float]:
        with load.on_core(cores.server):
            return uvloop.run(measure(count, options.rounds, cores.load))

    runs = script.rounds(options.runs, CONNECTIONS, run)
    return Results(
        benchmark="sending",
        frame_bytes=len(joined((Frame(PAYLOAD),))),
        rounds=options.rounds,
        runs=options.runs,
        shared_core=cores.server == cores.load,
        machine=report.machine(),
        scenarios=[ScenarioResults(count, summarise(of)) for count, of in runs.items()],
    )


def summarise(runs: Sequence[dict[str, float]]) -> dict[str, Way]:
    """The spread of every way, and of its ratio to the floor."""
    floor = [run[FLOOR] for run in runs]
    return {
        name: Way(spread(of_way), ratios(of_way, floor))
        for name in runs[0]
        for of_way in [[run[name] for run in runs]]
    }


def tables(results: Results) -> str:
    """All ways, with a pair of columns for each number of connections."""
    header, columns = ["way"], []
    for of in results.scenarios:
        header += [f"us a send, {of.connections:,} connections", "to the floor's"]
        columns.append(of.ways)
    rows = [
        [name, *(f"{figure:.2f}" for of in columns for figure in (of[name].cpu_us, of[name].ratio))]
        for name in columns[0]
    ]
    head = f"A frame of {results.frame_bytes} bytes, in {results.rounds} rounds."
    return f"{head}\n\n{report.table(header, rows)}"


def figure(results: Results) -> str:
    """Bars of each way's cost, a panel for each number of connections."""
    return plot.figure(
        [
            plot.bars(
                f"CPU us a send, {of.connections:,} connections",
                {name: way.cpu_us for name, way in of.ways.items()},
                names_width=200,
            )
            for of in results.scenarios
        ]
    )


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = script.parser("sending", __doc__, EXAMPLES)
    parser.add_argument("--rounds", type=int, default=100, metavar="N", help="of a run (100)")
    return script.parse(parser, arguments, {"rounds": 20})


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; the exit status is 1 where it failed."""
    options = read_options(arguments)
    return script.run(options, arguments, lambda cores: benchmark(options, cores), tables, figure)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
