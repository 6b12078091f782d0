"""What the benchmarks do alike: their options, their rounds, and what they print and write.

Each prints one JSON line and its tables. With --write-docs it writes its section of
docs/performance.md, its plot, and its JSON to benchmarks/results/, which the sizing rule is
computed from.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from benchmarks import contenders, load, producer, publisher, report, servers
from benchmarks.servers import Cores

RESULTS = Path(__file__).with_name("results")
IMAGES = report.DOCS / "images"

Case = TypeVar("Case")
Run = TypeVar("Run")
Read = TypeVar("Read", bound=msgspec.Struct)


class Failed(Exception):
    """A server did not do what it is measured for, so there is nothing to compare."""


ERRORS = (
    Failed,
    load.LoadError,
    producer.ProducerError,
    publisher.PublisherError,
    servers.ServerError,
)


class Results(Protocol):
    """What every benchmark's JSON line holds, besides its own."""

    @property
    def benchmark(self) -> str:
        """Its name, which is its module's and its section's."""

    @property
    def machine(self) -> str:
        """Where it ran, with which versions."""


def parser(name: str, description: str | None, examples: str) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have."""
    made = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=(description or "").partition("\n\n")[2],
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--runs", type=int, default=3, metavar="N", help="of each server (3)")
    made.add_argument("--short", action="store_true", help="once, few servers, seconds each")
    made.add_argument("--json", action="store_true", help="print the JSON line alone")
    made.add_argument(
        "--write-docs",
        action="store_true",
        help="write the section of docs/performance.md, its plot, and benchmarks/results/",
    )
    return made


def add_servers(parser: argparse.ArgumentParser, default: Sequence[str]) -> None:
    """The option --server, and the servers that are measured without it."""
    parser.set_defaults(servers=list(default))
    parser.add_argument(
        "--server",
        action="append",
        dest="servers_asked_for",
        choices=contenders.CONTENDERS,
        metavar="NAME",
        help=f"only this one; may be given again ({', '.join(default)})",
    )


def parse(
    parser: argparse.ArgumentParser, arguments: Sequence[str], short: Mapping[str, Any]
) -> argparse.Namespace:
    """The options; with --short those of `short` are the defaults."""
    if "--short" in arguments:
        parser.set_defaults(**{"runs": 1, **short})
    options = parser.parse_args(arguments)
    for name, value in vars(options).items():
        if isinstance(value, int | float) and not isinstance(value, bool) and value <= 0:
            parser.error(f"--{name.replace('_', '-')}: expected a number above 0, got {value}")
    if getattr(options, "servers_asked_for", None):
        options.servers = options.servers_asked_for
    if hasattr(options, "servers"):
        options.servers = contenders.available(options.servers)
    return options


def rounds(
    runs: int, cases: Iterable[Case], measure: Callable[[Case], Run]
) -> dict[Case, list[Run]]:
    """Measure every case in turn, so that a noisy minute does not fall on one of them alone."""
    measured: dict[Case, list[Run]] = {case: [] for case in cases}
    for _ in range(runs):
        for case, of_case in measured.items():
            of_case.append(measure(case))
    return measured


def run(
    options: argparse.Namespace,
    arguments: Sequence[str],
    measure: Callable[[Cores], Results],
    tables: Callable[[Any], str],
    plot: Callable[[Any], str] | None = None,
) -> int:
    """Measure from the load generator's core, print, write; returns the exit status."""
    cores = Cores.available()
    try:
        with load.on_core(cores.load):
            results = measure(cores)
    except ERRORS as error:
        print(error, file=sys.stderr)
        return 1
    line = msgspec.json.encode(results)
    print(line.decode())
    if not options.json:
        print(tables(results))
    if cores.server == cores.load:
        print("server and load generator shared the only core", file=sys.stderr)
    if options.write_docs:
        _write(results, line, options, arguments, tables(results), plot(results) if plot else None)
    return 0


def _write(
    results: Results,
    line: bytes,
    options: argparse.Namespace,
    arguments: Sequence[str],
    tables: str,
    plot: str | None,
) -> None:
    name = results.benchmark
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_bytes(msgspec.json.format(line, indent=1) + b"\n")
    command = " ".join([f"python -m benchmarks.{name}", *arguments])
    parts = [f"`{command}`, median (least to greatest) of {options.runs} runs:", tables]
    if plot is not None:
        (IMAGES / f"{name}.svg").write_text(plot)
        parts.append(f"![{name}](images/{name}.svg)")
    parts.append(f"Measured with {results.machine}.")
    report.write_section(name, "\n\n".join(parts), report.PERFORMANCE)
