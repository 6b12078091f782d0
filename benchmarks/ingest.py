"""What a publish costs: `python -m benchmarks.ingest`.

`producers.Publisher` publishes as fast as it can, with many calls at a time, which share its round
trips: entries of one log, values and rows of a table on as many channels as calls. The producer
has one core and Valkey the other. Then the same beside a hub that has a core of its own and one
subscriber on each channel. And what an entry of an inlet costs, see `benchmarks.inlet`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from benchmarks import inlet, load, plot, producer, report, script, servers
from benchmarks.load import SATURATED
from benchmarks.report import Figures
from benchmarks.servers import Cores, write_tokens
from benchmarks.usage import usage
from hub.protocol.streams import Kind

EXAMPLES = """\
examples:
  python -m benchmarks.ingest
  python -m benchmarks.ingest --runs 5 --write-docs
  python -m benchmarks.ingest --tasks 1 --seconds 2 --runs 1
"""
POLL_SECONDS = 0.1
QUIET_SECONDS = 3.0


class Run(msgspec.Struct, frozen=True):
    """One kind, once. CPU time is that of one publish; the hub's has the delivery to its one
    subscriber in it. `per_second_beside_hub` is lower, as producer and Valkey share a core then."""

    per_second: float
    producer_us: float
    redis_us: float
    producer_busy: float
    redis_busy: float
    per_second_beside_hub: float
    hub_us: float
    hub_busy: float


class Results(msgspec.Struct, frozen=True):
    """The line that is printed."""

    benchmark: str
    tasks: int
    seconds: float
    runs: int
    shared_core: bool
    machine: str
    entries: int
    kinds: dict[str, Figures]
    inlet: Figures


def measure(kind: Kind, options: argparse.Namespace, cores: Cores) -> Run:
    """Without a hub, then with one."""
    alone, redis_seconds = _publish(kind, options, cores)
    beside, hub_seconds = _publish_to_hub(kind, options, cores)
    return Run(
        per_second=alone.stored / alone.seconds,
        producer_us=alone.cpu_seconds * 1e6 / alone.stored,
        redis_us=redis_seconds * 1e6 / alone.stored,
        producer_busy=alone.cpu_seconds / alone.seconds,
        redis_busy=redis_seconds / alone.seconds,
        per_second_beside_hub=beside.stored / beside.seconds,
        hub_us=hub_seconds * 1e6 / beside.stored,
        hub_busy=hub_seconds / beside.seconds,
    )


def _publish(
    kind: Kind, options: argparse.Namespace, cores: Cores
) -> tuple[producer.Produced, float]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tapecast-")))
        with load.on_core(cores.server):
            at = stack.enter_context(servers.setting(folder, (), folder / "none"))
        pid = at.redis_info()["process_id"]
        before = usage(pid)
        produced = producer.result(producer.start(_plan(at, kind, options)))
        return produced, usage(pid).cpu_seconds - before.cpu_seconds


def _publish_to_hub(
    kind: Kind, options: argparse.Namespace, cores: Cores
) -> tuple[producer.Produced, float]:
    with tempfile.TemporaryDirectory(prefix="tapecast-") as folder:
        tokens = write_tokens(Path(folder, "tokens"), 1)
        with (
            servers.setting(Path(folder), (cores.server,), tokens) as at,
            servers.tapecast(at) as hub,
        ):
            plan = _plan(at, kind, options)
            wanted = hub.plan(
                plan.channels,
                channel=producer.CHANNELS[kind],
                channels=plan.channels,
                tokens=tokens,
            )
            with load.hold(wanted) as held:
                before = usage(hub.pid)
                produced = producer.result(producer.start(plan))
                received = _drain(held, produced.stored)
                seconds = usage(hub.pid).cpu_seconds - before.cpu_seconds
                # Values and tables may be conflated where the load generator was slow to read.
                last = held.window()
                if last.ready < plan.channels or (kind is Kind.LOG and received != produced.stored):
                    raise script.Failed(
                        f"{kind}: expected {produced.stored} updates, got {received}: "
                        f"{last.first_failure}"
                    )
                return produced, seconds


def _drain(held: load.Held, expected: int) -> int:
    """Wait until so many updates were received, or nothing is any more."""
    received, last = held.window().updates, time.monotonic()
    while received < expected and time.monotonic() < last + QUIET_SECONDS:
        time.sleep(POLL_SECONDS)
        if updates := held.window().updates:
            received, last = received + updates, time.monotonic()
    return received


def _plan(at: servers.Setting, kind: Kind, options: argparse.Namespace) -> producer.Plan:
    return producer.Plan(at.redis, kind, options.tasks, options.seconds)


def benchmark(options: argparse.Namespace, cores: Cores) -> Results:
    """Every kind, as often as asked for."""
    runs = script.rounds(options.runs, Kind, lambda kind: measure(kind, options, cores))
    of_inlet = [inlet.measure(options.entries, cores) for _ in range(options.runs)]
    return Results(
        benchmark="ingest",
        tasks=options.tasks,
        seconds=options.seconds,
        runs=options.runs,
        shared_core=cores.server == cores.load,
        machine=report.machine(),
        entries=options.entries,
        kinds={str(kind): report.figures(of_kind) for kind, of_kind in runs.items()},
        inlet=report.figures(of_inlet),
    )


def tables(results: Results) -> str:
    """Every kind, and who sets its limit."""
    rows = [
        [
            kind,
            f"{of['per_second']:,.0f}",
            f"{of['producer_us']:.1f}",
            f"{of['redis_us']:.1f}",
            f"{of['hub_us']:.1f}",
            _limit({"producer": of["producer_busy"].median, "Valkey": of["redis_busy"].median}),
            f"{1e6 / of['redis_us'].median:,.0f}",
            f"{1e6 / of['hub_us'].median:,.0f}",
        ]
        for kind, of in results.kinds.items()
    ]
    header = ["kind", "publishes/s", "producer, CPU us each", "Valkey, CPU us", "hub, CPU us"]
    header += ["the limit", "Valkey's limit/s", "a hub's limit/s"]
    return (
        f"{results.tasks} calls at a time, for {results.seconds:g} s. The limit is who was full; "
        "where nobody was, producer and Valkey waited for each other, as a Publisher has one round "
        "under way at a time. Those of Valkey and of a hub are a core's second divided by the CPU "
        "time of a publish.\n\n"
        f"{report.table(header, rows)}\n\n{_table_of_inlet(results)}"
    )


def _table_of_inlet(results: Results) -> str:
    of = results.inlet
    names = ("adding_us", "worker_us", "redis_us")
    row = [f"{of['per_second']:,.0f}", *(f"{of[name]:.1f}" for name in names)]
    row.append(_limit({"both": of["programs_busy"].median, "Valkey": of["redis_busy"].median}))
    row.append(f"{1e6 / of['redis_us'].median:,.0f}")
    header = ["entries/s", "adding, CPU us each", "`tapecast ingest`, CPU us", "Valkey, CPU us"]
    header += ["the limit", "Valkey's limit/s"]
    return (
        f"{results.entries:,} entries that a program adds to a Redis Stream in pipelines of "
        f"{inlet.PIPELINE}, and `tapecast ingest` publishes meanwhile. Both share a core:\n\n"
        f"{report.table(header, [row])}"
    )


def _limit(shares: dict[str, float]) -> str:
    """Who is full; else each waits for the other, as a Publisher has one round under way."""
    full = [f"{name}, full" for name, share in shares.items() if share > SATURATED]
    return full[0] if full else " + ".join(f"{n} {s:.0%}" for n, s in shares.items())


def figure(results: Results) -> str:
    """What each part takes of a publish."""
    parts = {"producer_us": "producer", "redis_us": "Valkey", "hub_us": "hub"}
    figures = {
        f"{part}, {kind}": of[name]
        for name, part in parts.items()
        for kind, of in results.kinds.items()
    }
    return plot.figure([plot.bars("CPU us a publish", figures)])


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = script.parser("ingest", __doc__, EXAMPLES)
    parser.add_argument("--tasks", type=int, default=64, metavar="N", help="calls at a time (64)")
    parser.add_argument(
        "--seconds", type=float, default=5.0, metavar="S", help="to publish for (5)"
    )
    parser.add_argument(
        "--entries", type=int, default=100_000, metavar="N", help="of the inlet (100,000)"
    )
    return script.parse(parser, arguments, {"seconds": 2.0, "entries": 20_000})


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; the exit status is 1 where something failed."""
    options = read_options(arguments)
    return script.run(options, arguments, lambda cores: benchmark(options, cores), tables, figure)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
