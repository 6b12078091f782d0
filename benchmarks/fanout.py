"""What one delivery costs a server: `python -m benchmarks.fanout`.

Envelopes of 300 bytes are published to Valkey; each server follows its pub/sub and sends every
one to all subscribers. The figure is CPU time, user and system, of the server's process for each
update that a client received. A fresh server runs on one core, everything else on another.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks import load, node, publisher, report, servers
from benchmarks.report import Spread, spread
from benchmarks.servers import CHANNEL, Cores, Server, ServerError, Setting, Starter, write_tokens
from benchmarks.usage import usage

SERVERS: dict[str, Starter] = {
    "floor": servers.floor,
    "tapecast": servers.tapecast,
    "node-ws": servers.node_ws,
    "websockets": servers.websockets_peer,
    "starlette": servers.starlette,
    "broadcaster": servers.broadcaster,
}
WARM_UP_SECONDS = 0.5
POLL_SECONDS = 0.25
DRAIN_SECONDS = 60.0

EXAMPLES = """\
examples:
  python -m benchmarks.fanout
  python -m benchmarks.fanout --runs 5 --write-docs
  python -m benchmarks.fanout --subscribers 200 --burst 8 --server floor --server tapecast

Without --subscribers, --rate or --burst four scenarios run: 1,000 subscribers at 20/s, at 60/s and
at 64/s in bursts of 8, and 50 subscribers at 2,000/s. The floor is a C program that calls send()
in a loop. node-ws needs node and npm, and installs `ws` and `redis` into build/.
"""


class Scenario(msgspec.Struct, frozen=True):
    """So many subscribers of one channel, and so many envelopes a second in bursts of `burst`."""

    subscribers: int
    rate: float
    burst: int

    def __str__(self) -> str:
        bursts = f" in bursts of {self.burst}" if self.burst > 1 else ""
        return f"{self.subscribers:,} subscribers, {self.rate:,.0f}/s{bursts}"


SCENARIOS = (
    Scenario(1000, 20, 1),
    Scenario(1000, 60, 1),
    Scenario(50, 2000, 1),
    Scenario(1000, 64, 8),
)


class Run(msgspec.Struct, frozen=True):
    """One scenario on one fresh server.

    `busy` is the server's share of its core while it was published to; above 0.9 it fell behind or
    nearly so, and the delays tell of the queue rather than of the server. The delays are from the
    broker's clock in the envelope to the receipt.
    """

    cpu_us: float
    system_us: float
    busy: float
    p50_ms: float
    p99_ms: float
    load_busy: float
    load_saturated: bool
    publisher_busy: float


class Result(msgspec.Struct, frozen=True):
    """All runs of one scenario on one server. `ratio` is CPU time to the floor's in the same run,
    None where the floor was not asked for."""

    cpu_us: Spread
    system_us: Spread
    ratio: Spread | None
    busy: Spread
    p50_ms: Spread
    p99_ms: Spread
    load_busy: Spread
    load_saturated: bool
    publisher_busy: Spread


class ScenarioResults(msgspec.Struct, frozen=True):
    """One scenario on all servers."""

    scenario: Scenario
    servers: dict[str, Result]


class Results(msgspec.Struct, frozen=True):
    """The line that is printed."""

    benchmark: str
    frame_bytes: int
    seconds: float
    runs: int
    shared_core: bool
    machine: str
    scenarios: list[ScenarioResults]


class FanoutFailed(Exception):
    """Not every subscriber received every update, so there is nothing to compare."""


def measure(name: str, scenario: Scenario, seconds: float, core: int) -> Run:
    """Start the server, subscribe, publish, and see what the deliveries cost it."""
    with tempfile.TemporaryDirectory(prefix="tapecast-") as folder:
        tokens = write_tokens(Path(folder, "tokens"), scenario.subscribers)
        with (
            servers.setting(Path(folder), core, tokens) as at,
            SERVERS[name](at) as server,
            load.hold(
                load.Plan(
                    port=server.port,
                    connections=scenario.subscribers,
                    channel=CHANNEL,
                    tokens=tokens,
                    latency=True,
                )
            ) as held,
        ):
            _publish(at, scenario, WARM_UP_SECONDS)
            _drain(held)
            return _measure(name, scenario, seconds, at, server, held)


def _measure(
    name: str, scenario: Scenario, seconds: float, at: Setting, server: Server, held: load.Held
) -> Run:
    before = usage(server.pid)
    published = _publish(at, scenario, seconds)
    during = usage(server.pid)
    window, late = _drain(held)
    after = usage(server.pid)
    updates, expected = window.updates + late, published.envelopes * scenario.subscribers
    if updates != expected or window.delay_us is None:
        raise FanoutFailed(
            f"{name}, {scenario}: expected {expected} updates, got {updates}: "
            f"{window.failures}, first: {window.first_failure}"
        )
    load_busy = (window.user_seconds + window.system_seconds) / published.seconds
    return Run(
        cpu_us=(after.cpu_seconds - before.cpu_seconds) * 1e6 / updates,
        system_us=(after.system_seconds - before.system_seconds) * 1e6 / updates,
        busy=(during.cpu_seconds - before.cpu_seconds) / published.seconds,
        p50_ms=window.delay_us.p50 / 1000,
        p99_ms=window.delay_us.p99 / 1000,
        load_busy=load_busy,
        load_saturated=load_busy > load.SATURATED,
        publisher_busy=published.cpu_seconds / published.seconds,
    )


def _publish(at: Setting, scenario: Scenario, seconds: float) -> publisher.Published:
    return publisher.run(publisher.Plan(at.redis, CHANNEL, scenario.rate, scenario.burst, seconds))


def _drain(held: load.Held) -> tuple[load.Report, int]:
    """Wait until nothing arrives any more: the window until now, and the updates after it."""
    window = held.window()
    late, give_up_at = 0, time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < give_up_at:
        time.sleep(POLL_SECONDS)
        updates = held.window().updates
        if not updates:
            break
        late += updates
    return window, late


def summarise(runs: Sequence[Run], floor: Sequence[Run]) -> Result:
    """The spread of every figure, and of the ratio to the floor's run of the same round."""
    ratios = [run.cpu_us / of_floor.cpu_us for run, of_floor in zip(runs, floor, strict=False)]
    return Result(
        cpu_us=spread([run.cpu_us for run in runs]),
        system_us=spread([run.system_us for run in runs]),
        ratio=spread(ratios) if ratios else None,
        busy=spread([run.busy for run in runs]),
        p50_ms=spread([run.p50_ms for run in runs]),
        p99_ms=spread([run.p99_ms for run in runs]),
        load_busy=spread([run.load_busy for run in runs]),
        load_saturated=any(run.load_saturated for run in runs),
        publisher_busy=spread([run.publisher_busy for run in runs]),
    )


def table(results: ScenarioResults) -> str:
    """One scenario as a Markdown table."""
    rows = [
        [
            name,
            f"{result.cpu_us:.2f}",
            f"{result.ratio:.2f}" if result.ratio else "",
            f"{result.busy.median:.0%}",
            f"{result.p50_ms.median:.2f}",
            f"{result.p99_ms.median:.2f}",
            f"{result.load_busy.median:.0%}" + (", saturated" if result.load_saturated else ""),
        ]
        for name, result in results.servers.items()
    ]
    header = ["server", "CPU us a delivery", "to the floor's", "core busy"]
    header += ["delay p50 ms", "p99 ms", "load generator busy"]
    return report.table(header, rows)


def tables(results: Results) -> str:
    """Every scenario under its name."""
    return "\n\n".join(f"{of.scenario}:\n\n{table(of)}" for of in results.scenarios)


def section(results: Results, arguments: Sequence[str]) -> str:
    """The section of docs/performance.md: the command, its tables, and where it ran."""
    command = " ".join(["python -m benchmarks.fanout", *arguments])
    return (
        f"`{command}`: envelopes of {results.frame_bytes} bytes for {results.seconds:g} s, median "
        f"(least to greatest) of {results.runs} runs.\n\n"
        f"{tables(results)}\n\nMeasured with {results.machine}."
    )


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fanout",
        description=(__doc__ or "").partition("\n\n")[2],
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--subscribers", type=int, metavar="N", help="of the one channel (1000)")
    parser.add_argument("--rate", type=float, metavar="N", help="envelopes a second (60)")
    parser.add_argument("--burst", type=int, metavar="N", help="published together (1)")
    parser.add_argument(
        "--seconds", type=float, default=4.0, metavar="S", help="to publish for (4)"
    )
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="of each server (3)")
    parser.add_argument(
        "--server", action="append", choices=SERVERS, help="only this one; may be given again"
    )
    parser.add_argument("--json", action="store_true", help="print the JSON line alone")
    parser.add_argument(
        "--write-docs", action="store_true", help="put the tables into docs/performance.md"
    )
    options = parser.parse_args(arguments)
    given = [n for n in (options.subscribers, options.rate, options.burst) if n is not None]
    if min([options.runs, *given]) < 1 or options.seconds <= 0:
        parser.error("expected numbers of at least 1, and seconds above 0")
    options.scenarios = SCENARIOS
    if given:
        options.scenarios = (
            Scenario(options.subscribers or 1000, options.rate or 60, options.burst or 1),
        )
    return options


def available(names: Sequence[str]) -> list[str]:
    """The servers that can be had here; says which can't, and why."""
    found = list(names)
    if "node-ws" in found:
        try:
            node.install()
        except node.NodeMissing as error:
            print(f"node-ws is left out: {error}", file=sys.stderr)
            found.remove("node-ws")
    return found


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; the exit status is 1 where a server or a delivery failed."""
    options = read_options(arguments)
    cores = Cores.available()
    names = available(options.server or list(SERVERS))
    runs: dict[Scenario, dict[str, list[Run]]] = {
        scenario: {name: [] for name in names} for scenario in options.scenarios
    }
    try:
        with load.on_core(cores.load):
            # In turn, so that a noisy minute does not fall on one server alone.
            for _ in range(options.runs):
                for scenario, of_scenario in runs.items():
                    for name, of_server in of_scenario.items():
                        run = measure(name, scenario, options.seconds, cores.server)
                        of_server.append(run)
    except (load.LoadError, publisher.PublisherError, ServerError, FanoutFailed) as error:
        print(error, file=sys.stderr)
        return 1
    results = Results(
        benchmark="fanout",
        frame_bytes=publisher.ENVELOPE_BYTES,
        seconds=options.seconds,
        runs=options.runs,
        shared_core=cores.server == cores.load,
        machine=report.machine(),
        scenarios=[
            ScenarioResults(
                scenario,
                {
                    name: summarise(of_server, of_scenario.get("floor", []))
                    for name, of_server in of_scenario.items()
                },
            )
            for scenario, of_scenario in runs.items()
        ],
    )
    print(msgspec.json.encode(results).decode())
    if not options.json:
        print(tables(results))
    if results.shared_core:
        print("server and load generator shared the only core", file=sys.stderr)
    if options.write_docs:
        report.write_section("fan-out", section(results, arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
