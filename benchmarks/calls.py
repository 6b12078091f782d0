"""What a publish costs its caller: `python -m benchmarks.calls`.

One entry of a log after another, as an agent publishes, and many at a time: by `Publisher` and by
`SyncPublisher`, with Redis there, and with Redis away with and without a spool. The caller has one
core, and Valkey the other. A spool is a file in the folder for temporary files, so what a commit
costs is that disk's.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks import load, report, script, servers
from benchmarks.report import Figures
from benchmarks.servers import Cores
from producers.answers import Outcome
from producers.link import Timing
from producers.publisher import Options, Publisher
from producers.spool import Spool
from producers.sync import SyncPublisher

EXAMPLES = """\
examples:
  python -m benchmarks.calls
  python -m benchmarks.calls --runs 5 --write-docs
  python -m benchmarks.calls --calls 500 --runs 1 --json
"""
CHANNEL = "decisions"
ENTRY = {
    "id": "d-1",
    "asset_pair": "BTCUSD",
    "action": "BUY",
    "confidence": 72,
    "reasoning": "a break of the upper band on rising volume",
}


class Case(NamedTuple):
    """Who publishes, and what there is to publish to. spool: "", "outage" or "always"."""

    name: str
    outcome: Outcome
    is_sync: bool
    is_away: bool
    spool: str


CASES = (
    Case("Publisher", Outcome.STORED, False, False, ""),
    Case("SyncPublisher", Outcome.STORED, True, False, ""),
    Case("Publisher, Redis away", Outcome.BUFFERED, False, True, ""),
    Case("SyncPublisher, Redis away", Outcome.BUFFERED, True, True, ""),
    Case("Publisher, Redis away, spool", Outcome.SPOOLED, False, True, "outage"),
    Case("SyncPublisher, Redis away, spool", Outcome.SPOOLED, True, True, "outage"),
    Case("SyncPublisher, spool always", Outcome.STORED, True, False, "always"),
)


class Run(msgspec.Struct, frozen=True):
    """Microseconds of the clock for a call that waits for the one before, and those of a call
    among many at a time; and the caller's CPU time for each of those."""

    one_us: float
    many_us: float
    many_cpu_us: float


class Clock:
    """Runs from when it is made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._cpu_began = time.process_time()

    def per(self, count: int) -> tuple[float, float]:
        """Microseconds of the clock, and of CPU time, for each of so many."""
        wall, cpu = time.perf_counter() - self._began, time.process_time() - self._cpu_began
        return wall * 1e6 / count, cpu * 1e6 / count


class Results(msgspec.Struct, frozen=True):
    """The line that is printed."""

    benchmark: str
    calls: int
    tasks: int
    threads: int
    runs: int
    shared_core: bool
    machine: str
    cases: dict[str, Figures]


def measure(case: Case, options: argparse.Namespace, cores: Cores) -> Run:
    """One case, on the caller's core."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tapecast-")))
        url = f"unix://{folder}/nobody.sock"
        if not case.is_away:
            with load.on_core(cores.server):
                url = stack.enter_context(servers.setting(folder, (), folder / "none")).redis
        spool = Spool(folder / "spool", always=case.spool == "always") if case.spool else None
        if case.is_sync:
            return _synchronous(case, url, spool, options)
        return asyncio.run(_asynchronous(case, url, spool, options))


def _synchronous(case: Case, url: str, spool: Spool | None, options: argparse.Namespace) -> Run:
    with SyncPublisher(url, **_options(spool)) as publisher:

        def publish(count: int) -> None:
            for _ in range(count):
                _check(case, publisher.publish(CHANNEL, "decision_made", ENTRY).outcome)

        # The first one finds out whether Redis is there.
        publisher.publish(CHANNEL, "decision_made", ENTRY)
        clock = Clock()
        publish(options.calls)
        one_us, _ = clock.per(options.calls)
        each = options.calls // options.threads
        with ThreadPoolExecutor(options.threads) as threads:
            clock = Clock()
            list(threads.map(publish, [each] * options.threads))
            return Run(one_us, *clock.per(each * options.threads))


async def _asynchronous(
    case: Case, url: str, spool: Spool | None, options: argparse.Namespace
) -> Run:
    async with Publisher(url, **_options(spool)) as publisher:

        async def publish(count: int) -> None:
            for _ in range(count):
                answer = await publisher.publish(CHANNEL, "decision_made", ENTRY)
                _check(case, answer.outcome)

        await publisher.publish(CHANNEL, "decision_made", ENTRY)
        clock = Clock()
        await publish(options.calls)
        one_us, _ = clock.per(options.calls)
        each = options.calls // options.tasks
        clock = Clock()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(options.tasks):
                tasks.create_task(publish(each))
        return Run(one_us, *clock.per(each * options.tasks))


def _options(spool: Spool | None) -> Options:
    # On a busy machine too, what is measured is a call that gets its position.
    options: Options = {"timing": Timing(drain_seconds=0.0, patience_seconds=10.0)}
    if spool is not None:
        options["spool"] = spool
    return options


def _check(case: Case, outcome: Outcome) -> None:
    # A spool that has everything may be quicker than Redis.
    if outcome is not case.outcome and not (case.spool == "always" and outcome is Outcome.SPOOLED):
        raise script.Failed(f"{case.name}: expected {case.outcome}, got {outcome}")


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """No warnings: that Redis is away is what is asked for here."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def benchmark(options: argparse.Namespace, cores: Cores) -> Results:
    """Every case, as often as asked for."""
    with _quiet(logging.getLogger("producers")):
        runs = script.rounds(options.runs, CASES, lambda case: measure(case, options, cores))
    return Results(
        benchmark="calls",
        calls=options.calls,
        tasks=options.tasks,
        threads=options.threads,
        runs=options.runs,
        shared_core=cores.server == cores.load,
        machine=report.machine(),
        cases={case.name: report.figures(of_case) for case, of_case in runs.items()},
    )


def tables(results: Results) -> str:
    """Every case, one call at a time and many."""
    outcomes = {case.name: case.outcome.value for case in CASES}
    rows = [
        [
            name,
            outcomes[name],
            f"{of['one_us']:.0f}",
            f"{of['many_us']:.0f}",
            f"{of['many_cpu_us']:.0f}",
        ]
        for name, of in results.cases.items()
    ]
    header = ["who, and Redis", "answer", "us a call, one by one", "us a call, many", "CPU us"]
    return (
        f"{results.calls:,} calls, one by one and then by {results.tasks} tasks of a Publisher, or "
        f"{results.threads} threads of a SyncPublisher.\n\n{report.table(header, rows)}"
    )


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = script.parser("calls", __doc__, EXAMPLES)
    parser.add_argument("--calls", type=int, default=5_000, metavar="N", help="of a case (5,000)")
    parser.add_argument("--tasks", type=int, default=64, metavar="N", help="at a time (64)")
    parser.add_argument("--threads", type=int, default=8, metavar="N", help="at a time (8)")
    return script.parse(parser, arguments, {"calls": 2_000})


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; the exit status is 1 where something failed."""
    options = read_options(arguments)
    return script.run(options, arguments, lambda cores: benchmark(options, cores), tables)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
