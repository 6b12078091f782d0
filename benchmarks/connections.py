"""How fast connections are accepted, and what each costs: `python -m benchmarks.connections`.

Every connection brings a token of its own, subscribes to one channel and is ready when its reply
and snapshot arrived. Each run starts a fresh server on one core, opens all connections from
another core at once, waits until the server's memory stands still, and closes them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks import load, report, servers
from benchmarks.report import Spread, spread
from benchmarks.servers import Cores, ServerError, Starter, write_tokens
from benchmarks.usage import settled_usage, usage

REQUIRED_PER_SECOND = 5_000
REQUIRED_KB = 8

SERVERS: dict[str, Starter] = {
    "tapecast": servers.tapecast,
    "websockets": servers.websockets_peer,
    "floor": servers.floor,
}

EXAMPLES = """\
examples:
  python -m benchmarks.connections
  python -m benchmarks.connections --runs 5 --write-docs
  python -m benchmarks.connections --connections 1000 --server tapecast --json

KB are 1,024 bytes. The websockets server does the same work on asyncio; the floor is a C program
that answers with constant bytes, so its figures are the kernel's.
"""


class Run(msgspec.Struct, frozen=True):
    """One storm against one fresh server. KB and CPU time are those of one connection."""

    per_second: float
    cpu_us: float
    rss_kb: float
    pss_kb: float
    ready_p99_ms: float
    load_busy: float
    load_saturated: bool


class Result(msgspec.Struct, frozen=True):
    """All runs against one server."""

    per_second: Spread
    cpu_us: Spread
    rss_kb: Spread
    pss_kb: Spread
    ready_p99_ms: Spread
    load_busy: Spread
    load_saturated: bool


class Results(msgspec.Struct, frozen=True):
    """The line that is printed."""

    benchmark: str
    connections: int
    concurrency: int
    runs: int
    shared_core: bool
    machine: str
    required: dict[str, int]
    servers: dict[str, Result]


class ConnectionsFailed(Exception):
    """Not every connection became ready, so there is nothing to compare."""


def measure(name: str, options: argparse.Namespace, core: int) -> Run:
    """Start the server, open all connections, and see what they cost it."""
    with tempfile.TemporaryDirectory(prefix="tapecast-") as folder:
        tokens = write_tokens(Path(folder, "tokens"), options.connections)
        with servers.setting(Path(folder), core, tokens) as at, SERVERS[name](at) as server:
            before = settled_usage(server.pid)
            plan = load.Plan(
                port=server.port,
                connections=options.connections,
                concurrency=options.concurrency,
                source_addresses=options.source_addresses,
                tokens=tokens,
            )
            with load.hold(plan) as held:
                stormed = usage(server.pid)
                after = settled_usage(server.pid)
                held_on = held.window()
    storm = held.storm
    if held_on.ready < options.connections:
        raise ConnectionsFailed(
            f"{name}: {held_on.ready} of {options.connections} connections were ready and stayed: "
            f"{storm.failures | held_on.failures}, first: {held_on.first_failure}"
        )
    assert storm.delay_us is not None  # at least one connection became ready
    kilobytes = options.connections * 1024
    return Run(
        per_second=storm.per_second,
        cpu_us=(stormed.cpu_seconds - before.cpu_seconds) * 1e6 / options.connections,
        rss_kb=(after.rss_bytes - before.rss_bytes) / kilobytes,
        pss_kb=(after.pss_bytes - before.pss_bytes) / kilobytes,
        ready_p99_ms=storm.delay_us.p99 / 1000,
        load_busy=storm.busy,
        load_saturated=storm.saturated,
    )


def summarise(runs: Sequence[Run]) -> Result:
    """The spread of every figure."""
    return Result(
        per_second=spread([run.per_second for run in runs]),
        cpu_us=spread([run.cpu_us for run in runs]),
        rss_kb=spread([run.rss_kb for run in runs]),
        pss_kb=spread([run.pss_kb for run in runs]),
        ready_p99_ms=spread([run.ready_p99_ms for run in runs]),
        load_busy=spread([run.load_busy for run in runs]),
        load_saturated=any(run.load_saturated for run in runs),
    )


def table(results: Results) -> str:
    """All servers as a Markdown table; the ratios are of medians, Tapecast's to the other's."""
    own = results.servers.get("tapecast")
    rows = []
    for name, result in results.servers.items():
        ratio = f"{own.per_second.median / result.per_second.median:.2f}" if own else ""
        rows.append(
            [
                name,
                f"{result.per_second:,.0f}",
                ratio,
                f"{result.cpu_us:.0f}",
                f"{result.rss_kb:.1f}",
                f"{result.ready_p99_ms:.0f}",
                f"{result.load_busy:.0%}" + (", saturated" if result.load_saturated else ""),
            ]
        )
    required = [f">= {REQUIRED_PER_SECOND:,}", "", "", f"<= {REQUIRED_KB}", "", ""]
    header = ["server", "connections/s", "tapecast's ratio", "CPU us each", "KB each"]
    header += ["ready, p99 ms", "load generator busy"]
    return report.table(header, [*rows, ["required of tapecast", *required]])


def section(results: Results, arguments: Sequence[str]) -> str:
    """The section of docs/performance.md: the command, its table, and where it ran."""
    command = " ".join(["python -m benchmarks.connections", *arguments])
    return (
        f"`{command}`: {results.connections:,} connections, {results.concurrency} of them in "
        f"flight at a time, median (least to greatest) of {results.runs} runs.\n\n"
        f"{table(results)}\n\nMeasured with {results.machine}."
    )


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.connections",
        description=(__doc__ or "").partition("\n\n")[2],
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--connections", type=int, default=10_000, metavar="N")
    parser.add_argument(
        "--concurrency", type=int, default=256, metavar="N", help="not ready at a time (256)"
    )
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="of each server (3)")
    parser.add_argument(
        "--server", action="append", choices=SERVERS, help="only this one; may be given again"
    )
    parser.add_argument(
        "--source-addresses", type=int, default=1, metavar="N",
        help="connect from 127.0.0.1 to 127.0.0.N: needed above some 28,000 connections (1)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the JSON line alone")
    parser.add_argument(
        "--write-docs", action="store_true", help="put the table into docs/performance.md"
    )
    options = parser.parse_args(arguments)
    if min(options.connections, options.concurrency, options.runs, options.source_addresses) < 1:
        parser.error("expected numbers of at least 1")
    return options


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; the exit status is 1 where a server or a connection failed."""
    options = read_options(arguments)
    cores = Cores.available()
    names = options.server or list(SERVERS)
    runs: dict[str, list[Run]] = {name: [] for name in names}
    try:
        with load.on_core(cores.load):
            # In turn, so that a noisy minute does not fall on one server alone.
            for _ in range(options.runs):
                for name in names:
                    runs[name].append(measure(name, options, cores.server))
    except (load.LoadError, ServerError, ConnectionsFailed) as error:
        print(error, file=sys.stderr)
        return 1
    results = Results(
        benchmark="connections",
        connections=options.connections,
        concurrency=options.concurrency,
        runs=options.runs,
        shared_core=cores.server == cores.load,
        machine=report.machine(),
        required={"per_second_least": REQUIRED_PER_SECOND, "rss_kb_most": REQUIRED_KB},
        servers={name: summarise(of_server) for name, of_server in runs.items()},
    )
    print(msgspec.json.encode(results).decode())
    if not options.json:
        print(table(results))
    if results.shared_core:
        print("server and load generator shared the only core: rates are too low", file=sys.stderr)
    if options.write_docs:
        report.write_section("connections", section(results, arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
