"""What one delivery costs a server: `python -m benchmarks.fanout`.

Envelopes of 300 bytes are published to Valkey; each server follows its pub/sub and sends every
one to all subscribers. The figure is CPU time, user and system, of the server's process for each
update that a client received. A fresh server runs on one core, everything else on another.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence

import msgspec

from benchmarks import contenders, plot, publisher, report, script
from benchmarks.delivery import Delivery, Scenario, measure
from benchmarks.report import Figures, Spread
from benchmarks.servers import Cores

DEFAULT = (
    *("floor", "tapecast", "node-ws", "socket.io", "nchan", "websockets"),
    *("starlette", "broadcaster", "python-socketio", "django-channels"),
)

EXAMPLES = """\
examples:
  python -m benchmarks.fanout
  python -m benchmarks.fanout --runs 5 --write-docs
  python -m benchmarks.fanout --subscribers 200 --burst 8 --server floor --server tapecast

Without --subscribers, --rate or --burst four scenarios run: 1,000 subscribers at 20/s, at 60/s and
at 64/s in bursts of 8, and 50 subscribers at 2,000/s. The floor is a C program that calls send()
in a loop. Peers are installed into build/ where they can be had.
"""

SCENARIOS = (
    Scenario(1000, 20),
    Scenario(1000, 60),
    Scenario(50, 2000),
    Scenario(1000, 64, burst=8),
)


class ScenarioResults(msgspec.Struct, frozen=True):
    """One scenario on all servers. `ratios` are of CPU time, to the floor's in the same round;
    none where the floor was not asked for."""

    scenario: Scenario
    servers: dict[str, Figures]
    ratios: dict[str, Spread]


class Results(msgspec.Struct, frozen=True):
    """The line that is printed."""

    benchmark: str
    frame_bytes: int
    seconds: float
    runs: int
    shared_core: bool
    machine: str
    scenarios: list[ScenarioResults]


def benchmark(options: argparse.Namespace, cores: Cores) -> Results:
    """Run every scenario on every server, as often as asked for."""
    cases = [(scenario, name) for scenario in options.scenarios for name in options.servers]
    runs = script.rounds(
        options.runs, cases, lambda case: measure(case[1], case[0], options.seconds, cores.server)
    )
    return Results(
        benchmark="fanout",
        frame_bytes=publisher.ENVELOPE_BYTES,
        seconds=options.seconds,
        runs=options.runs,
        shared_core=cores.server == cores.load,
        machine=report.machine(contenders.versions(options.servers)),
        scenarios=[
            summarise(scenario, {name: runs[scenario, name] for name in options.servers})
            for scenario in options.scenarios
        ],
    )


def summarise(scenario: Scenario, runs: dict[str, list[Delivery]]) -> ScenarioResults:
    """The spread of every figure of one scenario."""
    cpu = {name: [run.cpu_us for run in of_server] for name, of_server in runs.items()}
    floor = cpu.get("floor")
    return ScenarioResults(
        scenario,
        {name: report.figures(of_server) for name, of_server in runs.items()},
        {name: report.ratios(of_server, floor) for name, of_server in cpu.items()} if floor else {},
    )


def table(results: ScenarioResults) -> str:
    """One scenario as a Markdown table."""
    rows = [
        [
            name,
            f"{of['cpu_us']:.2f}",
            f"{results.ratios[name]:.2f}" if results.ratios else "",
            f"{of['busy'].median:.0%}",
            f"{of['p50_ms'].median:.2f}",
            f"{of['p99_ms'].median:.2f}",
            f"{of['lost'].median:.0%}" if of["lost"].max else "",
            report.busy(of["load_busy"]),
        ]
        for name, of in results.servers.items()
    ]
    header = ["server", "CPU us a delivery", "to the floor's", "core busy", "delay p50 ms"]
    header += ["p99 ms", "lost", "load generator busy"]
    return report.table(header, rows)


def tables(results: Results) -> str:
    """Every scenario under its name."""
    return f"Envelopes of {results.frame_bytes} bytes for {results.seconds:g} s.\n\n" + "\n\n".join(
        f"{of.scenario}:\n\n{table(of)}" for of in results.scenarios
    )


def figure(results: Results) -> str:
    """A panel of bars for each scenario."""
    return plot.figure(
        [
            plot.bars(
                f"CPU us a delivery: {of.scenario}",
                {name: figures["cpu_us"] for name, figures in of.servers.items()},
                most=6 * of.servers["tapecast"]["cpu_us"].median
                if "tapecast" in of.servers
                else math.inf,
            )
            for of in results.scenarios
        ]
    )


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = script.parser("fanout", __doc__, EXAMPLES)
    script.add_servers(parser, DEFAULT)
    parser.add_argument("--subscribers", type=int, metavar="N", help="of the one channel (1000)")
    parser.add_argument("--rate", type=float, metavar="N", help="envelopes a second (60)")
    parser.add_argument("--burst", type=int, metavar="N", help="published together (1)")
    parser.add_argument(
        "--seconds", type=float, default=4.0, metavar="S", help="to publish for (4)"
    )
    short = {
        "seconds": 2.0,
        "servers": ["floor", "tapecast", "node-ws", "starlette"],
        "scenarios": SCENARIOS[1:2],
    }
    parser.set_defaults(scenarios=SCENARIOS)
    options = script.parse(parser, arguments, short)
    if options.subscribers or options.rate or options.burst:
        only = Scenario(options.subscribers or 1000, options.rate or 60, options.burst or 1)
        options.scenarios = (only,)
    return options


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; the exit status is 1 where a server or a delivery failed."""
    options = read_options(arguments)
    return script.run(options, arguments, lambda cores: benchmark(options, cores), tables, figure)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
