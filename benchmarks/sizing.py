"""How many cores, how much memory, how busy a Redis: `python -m benchmarks.sizing`.

Computed from what the other benchmarks wrote to benchmarks/results/; nothing is measured here. The
rule is linear in connections, deliveries and publishes, and is carried on to a million connections
on paper.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import msgspec

from benchmarks import connections, fanout, ingest, report, scale, script

EXAMPLES = """\
examples:
  python -m benchmarks.sizing
  python -m benchmarks.sizing --write-docs
"""

# What is assumed of a deployment; everything else is measured.
FREE = 0.5
"""The share of a core that is kept free, for storms and for bursts."""
DELIVERIES_EACH = 1.0
"""Deliveries a second to each connection."""
PUBLISHES = 500.0
"""Publishes a second, over all channels, each of which every worker hears."""
CARRIED_TO = (1_000, 10_000, 100_000, 1_000_000)


class Costs(msgspec.Struct, frozen=True):
    """Medians: CPU time in microseconds of a core, memory in KB of 1,024 bytes.

    Each worker has a link of its own, so that Redis's part of a publish grows with them.
    """

    delivery_us: float
    idle_us: float
    opening_us: float
    connections_per_second: float
    connection_kb: float
    kernel_kb: float
    hub_publish_us: float
    redis_publish_us: float
    redis_worker_us: float
    redis_worker_commands: float


class Size(msgspec.Struct, frozen=True):
    """A deployment for so many connections. A worker is one core of a hub."""

    connections: int
    workers: int
    memory_gb: float
    redis_busy: float
    all_again_seconds: float


class Results(msgspec.Struct, frozen=True):
    """The line that is printed."""

    benchmark: str
    machine: str
    costs: Costs
    deliveries_a_core: float
    connections_a_core: float
    sizes: list[Size]


def costs(
    of_connections: connections.Results,
    of_fanout: fanout.Results,
    of_ingest: ingest.Results,
    of_scale: scale.Results,
) -> Costs:
    """What each thing costs, out of the other benchmarks' results."""
    own, floor = of_connections.servers["tapecast"], of_connections.servers["floor"]
    delivery = of_fanout.scenarios[0].servers["tapecast"]
    log = of_ingest.kinds["log"]
    replicas = {n: of["redis_us"].median for n, of in of_scale.replicas.items()}
    commands = {n: of["idle_commands"].median for n, of in of_scale.replicas.items()}
    most = max(replicas)
    return Costs(
        delivery_us=delivery["cpu_us"].median,
        idle_us=own["idle_us"].median,
        opening_us=own["cpu_us"].median,
        connections_per_second=own["per_second"].median,
        connection_kb=own["rss_kb"].median,
        kernel_kb=max(0.0, floor["kernel_kb"].median),
        hub_publish_us=log["hub_us"].median,
        redis_publish_us=log["redis_us"].median,
        redis_worker_us=max(0.0, (replicas[most] - replicas[0]) / most),
        redis_worker_commands=(commands[most] - commands[0]) / most,
    )


def size(of: Costs, count: int) -> Size:
    """What so many connections need. A worker hears every publish, so the more of them there are,
    the less of a core is left for connections."""
    each = DELIVERIES_EACH * of.delivery_us + of.idle_us
    left = 1e6 * (1 - FREE) - PUBLISHES * of.hub_publish_us
    workers = math.ceil(count * each / left)
    return Size(
        connections=count,
        workers=workers,
        memory_gb=count * (of.connection_kb + of.kernel_kb) / 1024**2,
        redis_busy=PUBLISHES * (of.redis_publish_us + workers * of.redis_worker_us) / 1e6,
        all_again_seconds=count / (of.connections_per_second * workers),
    )


def tables(results: Results) -> str:
    """What each thing costs, the rule, and what it comes to."""
    of = results.costs
    rows = [
        ["a delivery", f"{of.delivery_us:.1f} us", "`fanout`, its first scenario"],
        ["an idle connection, each second", f"{of.idle_us:.1f} us", "`connections`"],
        ["opening a connection", f"{of.opening_us:.0f} us", "`connections`"],
        ["holding a connection", f"{of.connection_kb:.1f} KB", "`connections`"],
        ["the same, in the kernel", f"{of.kernel_kb:.1f} KB", "`connections`, the floor's"],
        ["a publish, at each worker", f"{of.hub_publish_us:.0f} us", "`ingest`, log"],
        ["a publish, at Redis", f"{of.redis_publish_us:.0f} us", "`ingest`, log"],
        ["a publish, at Redis, more for each worker", f"{of.redis_worker_us:.1f} us", "`scale`"],
        ["commands a second of an idle worker", f"{of.redis_worker_commands:.1f}", "`scale`"],
    ]
    sizes = [
        [
            f"{each.connections:,}",
            f"{each.workers:,}",
            f"{each.memory_gb:.2f}",
            f"{each.redis_busy:.0%}",
            f"{each.all_again_seconds:.1f}",
        ]
        for each in results.sizes
    ]
    header = ["connections", "workers", "GB", "Redis busy", "all connected again, s"]
    return (
        f"{report.table(['', 'costs', 'from'], rows)}\n\n"
        f"With {FREE:.0%} of a core kept free, a worker sends {results.deliveries_a_core:,.0f} "
        f"deliveries a second; or it serves {results.connections_a_core:,.0f} connections with "
        f"{DELIVERIES_EACH:g} delivery a second each, and hears {PUBLISHES:,.0f} publishes a "
        "second meanwhile. That is what the second table assumes:\n\n"
        "- workers = connections x (deliveries a second to each x a delivery + an idle second) / "
        f"({1 - FREE:g} s - publishes a second x a publish at each worker)\n"
        "- memory = connections x (holding one + the same in the kernel)\n"
        "- Redis busy = publishes a second x (a publish + workers x the more for each)\n"
        "- all connected again = connections / (connections a second x workers)\n\n"
        f"{report.table(header, sizes)}"
    )


def compute() -> Results:
    """The rule out of the results that are there; raises Failed where some are missing."""
    decoded = (
        _read("connections", connections.Results),
        _read("fanout", fanout.Results),
        _read("ingest", ingest.Results),
        _read("scale", scale.Results),
    )
    of = costs(*decoded)
    each = DELIVERIES_EACH * of.delivery_us + of.idle_us
    left = 1e6 * (1 - FREE)
    return Results(
        benchmark="sizing",
        machine=decoded[0].machine,
        costs=of,
        deliveries_a_core=left / of.delivery_us,
        connections_a_core=(left - PUBLISHES * of.hub_publish_us) / each,
        sizes=[size(of, count) for count in CARRIED_TO],
    )


def _read(name: str, of: type[script.Read]) -> script.Read:
    path = script.RESULTS / f"{name}.json"
    if not path.exists():
        raise script.Failed(
            f"{path} is missing: run python -m benchmarks.{name} --write-docs, which writes it"
        )
    return msgspec.json.decode(path.read_bytes(), type=of)


def main(arguments: Sequence[str]) -> int:
    """Compute, print, write; the exit status is 1 where a result is missing."""
    parser = script.parser("sizing", __doc__, EXAMPLES)
    options = parser.parse_args(arguments)
    try:
        results = compute()
    except script.Failed as error:
        print(error, file=sys.stderr)
        return 1
    print(msgspec.json.encode(results).decode())
    if not options.json:
        print(tables(results))
    if options.write_docs:
        report.write_section("sizing", tables(results))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
