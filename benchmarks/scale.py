"""What grows with what: `python -m benchmarks.scale`.

subscribers   CPU time of a delivery at 10 to 10,000 subscribers of one channel, beside the floor's
channels      the same at 1 to 1,000 channels with 10 subscribers each; deliveries and publishes a
              second stay the same
workers       deliveries a second that 1 and 2 workers sustain: all arrive, p99 below 50 ms
replicas      what one more hub costs Valkey: CPU time of a publish, and commands while idle
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import msgspec

from benchmarks import load, plot, publisher, report, script, servers
from benchmarks.delivery import Delivery, Scenario, Session, measure, subscribed
from benchmarks.report import Figures, Spread
from benchmarks.servers import CHANNEL, Cores, Server, Setting, write_tokens
from benchmarks.usage import usage

EXAMPLES = """\
examples:
  python -m benchmarks.scale
  python -m benchmarks.scale --runs 5 --write-docs
  python -m benchmarks.scale --part workers --runs 1

Two workers have no core that is theirs alone where there are but two: the load generator takes its
share of both. So one worker is measured twice: on a core of its own, and sharing one core with
everything else, which two workers sharing two cores are compared with.
"""

PARTS = ("subscribers", "channels", "workers", "replicas")
DELIVERIES = 40_000
"""A second, however many subscribers or channels."""
SUBSCRIBERS = (10, 100, 1_000, 10_000)
CHANNELS = (1, 10, 100, 1_000)
OF_EACH_CHANNEL = 10
REPLICAS = (0, 1, 2, 4)
REPLICAS_RATE = 1_000.0
REPLICAS_IDLE_SECONDS = 3.0
# Envelopes that wait for a connection leave joined, for a fraction of the cost. So many channels
# that within the p99 one has no more than a single envelope: what is sustained is not joined.
SUSTAINED_P99_MS = 50.0
SUSTAINED_SUBSCRIBERS, SUSTAINED_CHANNELS = 10_000, 80
SUSTAINED_FROM = 320.0
STEPS = (1.4, 1.06)
"""By which the rate is raised: in large steps first, from the last one that held in small ones."""
REQUIRED_WORKERS_RATIO = 1.7


class Sustained(msgspec.Struct, frozen=True):
    """The most deliveries a second that all arrived in time, and whose CPU time they took."""

    per_second: float
    p99_ms: float
    cpu_us: float
    hub_cores: float
    load_cores: float


class Replicas(msgspec.Struct, frozen=True):
    """What Valkey does for so many hubs: for each publish, and while nothing is published."""

    redis_us: float
    idle_commands: float


class Results(msgspec.Struct, frozen=True):
    """The line that is printed; a part that was not asked for is empty. Keys are numbers of
    subscribers, channels and replicas."""

    benchmark: str
    seconds: float
    runs: int
    shared_core: bool
    machine: str
    subscribers: dict[int, dict[str, Figures]]
    channels: dict[int, Figures]
    workers: dict[str, Figures]
    workers_ratio: Spread | None
    replicas: dict[int, Figures]


def measure_subscribers(
    case: tuple[int, str], options: argparse.Namespace, cores: Cores
) -> Delivery:
    """One number of subscribers on one server."""
    subscribers, name = case
    scenario = Scenario(subscribers, DELIVERIES / subscribers)
    return measure(name, scenario, options.seconds, cores.server)


def measure_channels(channels: int, options: argparse.Namespace, cores: Cores) -> Delivery:
    """One number of channels."""
    scenario = Scenario(channels * OF_EACH_CHANNEL, DELIVERIES / OF_EACH_CHANNEL, channels=channels)
    return measure("tapecast", scenario, options.seconds, cores.server)


def workers_cases(cores: Cores) -> dict[str, tuple[int, tuple[int, ...], tuple[int, ...]]]:
    """Workers, their cores, and everybody else's."""
    both = (cores.server, cores.load)
    return {
        "1 worker, a core to itself": (1, (cores.server,), (cores.load,)),
        "1 worker, one core for everything": (1, (cores.server,), (cores.server,)),
        "2 workers, two cores for everything": (2, both, both),
    }


def measure_workers(case: str, options: argparse.Namespace, cores: Cores) -> Sustained:
    """Raise the rate until something is late or lost twice, in large steps, then in small ones."""
    workers, own, others = workers_cases(cores)[case]

    def start(at: Setting) -> AbstractContextManager[Server]:
        return servers.tapecast(at, "--workers", str(workers))

    scenario = Scenario(SUSTAINED_SUBSCRIBERS, SUSTAINED_FROM, channels=SUSTAINED_CHANNELS)
    rate = SUSTAINED_FROM
    with load.on_core(*others), subscribed(start, scenario, own) as session:
        session.warm_up()
        while not (best := _sustain(session, rate, options.seconds)):
            rate /= 2
            if rate < SUSTAINED_FROM / 16:
                raise script.Failed(f"{case}: not even {rate * 2:.0f}/s arrived in time")
        for factor in options.steps:
            while run := _sustain(session, rate * factor, options.seconds):
                best, rate = run, rate * factor
    return Sustained(best.per_second, best.p99_ms, best.cpu_us, best.busy, best.load_busy)


def _sustain(session: Session, rate: float, seconds: float) -> Delivery | None:
    """None where it was late or lost, and once more: another process may have been in the way."""
    for _ in range(2):
        run = session.measure(rate, seconds)
        if not run.lost and run.p99_ms < SUSTAINED_P99_MS:
            return run
    return None


def measure_replicas(replicas: int, options: argparse.Namespace, cores: Cores) -> Replicas:
    """So many hubs, each with one subscriber, on the server's core; Valkey on the other."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tapecast-")))
        tokens = write_tokens(folder / "tokens", 1)
        at = stack.enter_context(servers.setting(folder, (cores.server,), tokens))
        for _ in range(replicas):
            hub = stack.enter_context(servers.tapecast(at))
            stack.enter_context(load.hold(hub.plan(1, channel=CHANNEL, tokens=tokens)))
        before = at.redis_info()
        time.sleep(REPLICAS_IDLE_SECONDS)
        after = at.redis_info()
        # Asking is a command too: that and the connection's own.
        name = "total_commands_processed"
        idle = after[name] - before[name]
        began = usage(after["process_id"])
        published = publisher.run(
            publisher.Plan(at.redis, CHANNEL, REPLICAS_RATE, 1, options.seconds)
        )
        seconds = usage(after["process_id"]).cpu_seconds - began.cpu_seconds
    return Replicas(seconds * 1e6 / published.envelopes, idle / REPLICAS_IDLE_SECONDS)


def benchmark(options: argparse.Namespace, cores: Cores) -> Results:
    """Every part that was asked for."""
    wanted = options.part or PARTS
    subscribers = script.rounds(
        options.runs,
        [(n, name) for n in options.subscribers for name in ("floor", "tapecast")]
        if "subscribers" in wanted
        else [],
        lambda case: measure_subscribers(case, options, cores),
    )
    channels = script.rounds(
        options.runs,
        options.channels if "channels" in wanted else (),
        lambda case: measure_channels(case, options, cores),
    )
    workers = script.rounds(
        options.runs,
        workers_cases(cores) if "workers" in wanted else (),
        lambda case: measure_workers(case, options, cores),
    )
    replicas = script.rounds(
        options.runs,
        options.replicas if "replicas" in wanted else (),
        lambda case: measure_replicas(case, options, cores),
    )
    sustained = [[run.per_second for run in runs] for runs in workers.values()]
    return Results(
        benchmark="scale",
        seconds=options.seconds,
        runs=options.runs,
        shared_core=cores.server == cores.load,
        machine=report.machine(),
        subscribers={
            n: {name: report.figures(subscribers[n, name]) for name in ("floor", "tapecast")}
            for n in dict.fromkeys(n for n, _ in subscribers)
        },
        channels={n: report.figures(runs) for n, runs in channels.items()},
        workers={case: report.figures(runs) for case, runs in workers.items()},
        workers_ratio=report.ratios(sustained[2], sustained[1]) if sustained else None,
        replicas={n: report.figures(runs) for n, runs in replicas.items()},
    )


def subscribers_table(results: Results) -> str:
    """CPU time of a delivery, beside the floor's."""
    rows = [
        [
            f"{n:,}",
            f"{DELIVERIES / n:,.0f}",
            f"{of['floor']['cpu_us']:.2f}",
            f"{of['tapecast']['cpu_us']:.2f}",
            f"{of['tapecast']['cpu_us'].median / of['floor']['cpu_us'].median:.2f}",
            report.busy(of["tapecast"]["load_busy"]),
        ]
        for n, of in results.subscribers.items()
    ]
    header = ["subscribers", "publishes/s", "floor, CPU us a delivery", "tapecast", "ratio"]
    return report.table([*header, "load generator busy"], rows)


def channels_table(results: Results) -> str:
    """CPU time of a delivery."""
    rows = [
        [f"{n:,}", f"{n * OF_EACH_CHANNEL:,}", f"{of['cpu_us']:.2f}", report.busy(of["load_busy"])]
        for n, of in results.channels.items()
    ]
    header = ["channels", "subscribers", "tapecast, CPU us a delivery", "load generator busy"]
    return report.table(header, rows)


def workers_table(results: Results) -> str:
    """What was sustained, and by how much of the cores."""
    rows = [
        [
            case,
            f"{of['per_second']:,.0f}",
            f"{of['p99_ms'].median:.0f}",
            f"{of['cpu_us'].median:.2f}",
            f"{of['hub_cores'].median:.2f}",
            f"{of['load_cores'].median:.2f}",
        ]
        for case, of in results.workers.items()
    ]
    header = [
        "",
        "deliveries/s",
        "p99 ms",
        "CPU us a delivery",
        "hub, cores",
        "load generator, cores",
    ]
    return report.table(header, rows)


def replicas_table(results: Results) -> str:
    """Valkey's part."""
    rows = [
        [f"{n}", f"{of['redis_us']:.1f}", f"{of['idle_commands']:.1f}"]
        for n, of in results.replicas.items()
    ]
    return report.table(["hubs", "Valkey, CPU us a publish", "idle, commands/s"], rows)


def tables(results: Results) -> str:
    """Every part that was measured, under its name."""
    parts = []
    if results.subscribers:
        parts.append(
            f"One channel, {DELIVERIES:,} deliveries a second:\n\n{subscribers_table(results)}"
        )
    if results.channels:
        parts.append(
            f"{OF_EACH_CHANNEL} subscribers a channel, {DELIVERIES // OF_EACH_CHANNEL:,} "
            f"publishes and {DELIVERIES:,} deliveries a second:\n\n{channels_table(results)}"
        )
    if results.workers:
        parts.append(
            f"The most deliveries a second to {SUSTAINED_SUBSCRIBERS:,} subscribers of "
            f"{SUSTAINED_CHANNELS} channels that all arrived, with a p99 below "
            f"{SUSTAINED_P99_MS:.0f} ms:\n\n"
            f"{workers_table(results)}\n\n"
            f"Two workers on two cores to one on one, the load generator's share in both: "
            f"{results.workers_ratio:.2f}. The aim is at least {REQUIRED_WORKERS_RATIO}."
        )
    if results.replicas:
        parts.append(
            f"Hubs with one subscriber each, {REPLICAS_RATE:,.0f} publishes a second:\n\n"
            f"{replicas_table(results)}"
        )
    return "\n\n".join(parts)


def figure(results: Results) -> str:
    """A panel for each part that was measured."""
    panels = []
    if results.subscribers:
        panels.append(
            plot.lines(
                "CPU us a delivery over subscribers",
                "subscribers of one channel",
                {
                    name: {n: of[name]["cpu_us"].median for n, of in results.subscribers.items()}
                    for name in ("tapecast", "floor")
                },
            )
        )
    if results.channels:
        points = {n: of["cpu_us"].median for n, of in results.channels.items()}
        panels.append(
            plot.lines("CPU us a delivery over channels", "channels", {"tapecast": points})
        )
    if results.workers:
        sustained = {case: of["per_second"] for case, of in results.workers.items()}
        panels.append(
            plot.bars("deliveries/s that are sustained", sustained, ",.0f", names_width=220)
        )
    if results.replicas:
        points = {n: of["redis_us"].median for n, of in results.replicas.items()}
        panels.append(plot.lines("Valkey's CPU us a publish", "hubs", {"Valkey": points}))
    return plot.figure(panels)


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = script.parser("scale", __doc__, EXAMPLES)
    parser.add_argument(
        "--part", action="append", choices=PARTS, help="only this one; may be given again"
    )
    parser.add_argument(
        "--seconds", type=float, default=3.0, metavar="S", help="to publish for, each time (3)"
    )
    parser.set_defaults(subscribers=SUBSCRIBERS, channels=CHANNELS, replicas=REPLICAS, steps=STEPS)
    short = {
        "seconds": 1.5,
        "subscribers": (10, 1_000),
        "channels": (1, 100),
        "replicas": (0, 2),
        "steps": (2.0,),
    }
    return script.parse(parser, arguments, short)


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; the exit status is 1 where a server or a delivery failed."""
    options = read_options(arguments)
    return script.run(options, arguments, lambda cores: benchmark(options, cores), tables, figure)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
