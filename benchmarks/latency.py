"""From publish to receipt: `python -m benchmarks.latency`.

Envelopes of 300 bytes are published to Valkey 100 times a second, for 1, 100 and 1,000
subscribers. The delay is from the broker's clock, in the envelope, to the receipt by the load
generator. The floor, a plain C loop of send(), runs in the same rounds, so that what the machine
and the load generator add can be told from what the server does.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import msgspec

from benchmarks import contenders, plot, report, script
from benchmarks.delivery import Delivery, Scenario, measure
from benchmarks.report import Figures, Spread, spread
from benchmarks.servers import Cores

DEFAULT = ("floor", "tapecast", "node-ws", "socket.io", "nchan", "starlette")
RATE = 100.0
SUBSCRIBERS = (1, 100, 1000)
PERCENTILES = ("p50_ms", "p99_ms", "p999_ms")
REQUIRED = {"p50_ms": 0.5, "p99_ms": 2.0}
"""Above the floor's, in milliseconds, at 100 subscribers."""

EXAMPLES = """\
examples:
  python -m benchmarks.latency
  python -m benchmarks.latency --runs 5 --seconds 10 --write-docs
  python -m benchmarks.latency --server floor --server tapecast --json

Everything but the server shares one core: the load generator, Valkey and the publisher. A server
that had none of its own would show their work in its delays.
"""


class ScenarioResults(msgspec.Struct, frozen=True):
    """One number of subscribers on all servers. `above` is each percentile less the floor's of the
    same round; none where the floor was not asked for."""

    subscribers: int
    servers: dict[str, Figures]
    above: dict[str, dict[str, Spread]]


class Results(msgspec.Struct, frozen=True):
    """The line that is printed."""

    benchmark: str
    rate: float
    seconds: float
    runs: int
    shared_core: bool
    machine: str
    required: dict[str, float]
    scenarios: list[ScenarioResults]


def benchmark(options: argparse.Namespace, cores: Cores) -> Results:
    """Every number of subscribers on every server, as often as asked for."""
    cases = [(subscribers, name) for subscribers in SUBSCRIBERS for name in options.servers]
    runs = script.rounds(
        options.runs,
        cases,
        lambda case: measure(case[1], Scenario(case[0], RATE), options.seconds, cores.server),
    )
    return Results(
        benchmark="latency",
        rate=RATE,
        seconds=options.seconds,
        runs=options.runs,
        shared_core=cores.server == cores.load,
        machine=report.machine(contenders.versions(options.servers)),
        required=REQUIRED,
        scenarios=[
            summarise(subscribers, {name: runs[subscribers, name] for name in options.servers})
            for subscribers in SUBSCRIBERS
        ],
    )


def summarise(subscribers: int, runs: dict[str, list[Delivery]]) -> ScenarioResults:
    """The spread of every figure, and of what is above the floor's."""
    floor = runs.get("floor", [])
    return ScenarioResults(
        subscribers,
        {name: report.figures(of_server) for name, of_server in runs.items()},
        {
            name: {
                percentile: spread(
                    [
                        getattr(run, percentile) - getattr(of_floor, percentile)
                        for run, of_floor in zip(of_server, floor, strict=True)
                    ]
                )
                for percentile in PERCENTILES
            }
            for name, of_server in runs.items()
            if floor
        },
    )


def table(results: ScenarioResults) -> str:
    """One number of subscribers as a Markdown table."""
    rows = []
    for name, of in results.servers.items():
        above = results.above.get(name, {})
        rows.append(
            [
                name,
                *(f"{of[percentile]:.2f}" for percentile in PERCENTILES),
                *(f"{above[p].median:+.2f}" if above else "" for p in PERCENTILES),
                f"{of['busy'].median:.0%}",
                report.busy(of["load_busy"]),
            ]
        )
    if results.subscribers == 100:
        aims = (f"<= {REQUIRED[p]:+.1f}" if p in REQUIRED else "" for p in PERCENTILES)
        rows.append(["aim", "", "", "", *aims, "", ""])
    header = ["server", "p50 ms", "p99 ms", "p99.9 ms", "p50 above floor", "p99", "p99.9"]
    return report.table([*header, "core busy", "load generator busy"], rows)


def tables(results: Results) -> str:
    """Every number of subscribers under its name."""
    head = f"Envelopes of 300 bytes, {results.rate:.0f} a second for {results.seconds:g} s."
    parts = [
        f"{of.subscribers:,} subscriber{'s' * (of.subscribers > 1)}:\n\n{table(of)}"
        for of in results.scenarios
    ]
    return "\n\n".join([head, *parts])


def figure(results: Results) -> str:
    """Each percentile over subscribers, on all servers."""
    names = list(results.scenarios[0].servers)
    own_first = sorted(names, key=lambda name: (name != "tapecast", name != "floor"))
    return plot.figure(
        [
            plot.lines(
                f"{title} from publish to receipt, ms",
                "subscribers",
                {
                    name: {
                        of.subscribers: of.servers[name][percentile].median
                        for of in results.scenarios
                    }
                    for name in own_first[: len(plot.COLOURS)]
                },
                log_y=True,
            )
            for percentile, title in (("p50_ms", "p50"), ("p99_ms", "p99"))
        ]
    )


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = script.parser("latency", __doc__, EXAMPLES)
    script.add_servers(parser, DEFAULT)
    parser.add_argument(
        "--seconds", type=float, default=10.0, metavar="S", help="to publish for (10)"
    )
    return script.parse(parser, arguments, {"seconds": 3.0, "servers": ["floor", "tapecast"]})


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; the exit status is 1 where a server or a delivery failed."""
    options = read_options(arguments)
    return script.run(options, arguments, lambda cores: benchmark(options, cores), tables, figure)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
