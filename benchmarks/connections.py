"""How fast connections are accepted, and what each costs: `python -m benchmarks.connections`.

Every connection brings a token of its own, subscribes to one channel and is ready when its reply
and snapshot arrived. Each run starts a fresh server on one core, opens all connections from
another core at once, waits until the server's memory stands still, and closes them.

Then a storm beside running subscribers: 1,000 of them are published to, and the delay of what they
receive is measured before all the connections come, and while they do. Those that come follow
another channel.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks import contenders, load, plot, publisher, report, script, servers
from benchmarks.contenders import CONTENDERS, LOSSLESS
from benchmarks.report import Figures
from benchmarks.script import Failed
from benchmarks.servers import CHANNEL, Cores, write_tokens
from benchmarks.usage import kernel_bytes, settled_usage, usage

DEFAULT = (
    *("floor", "tapecast", "tapecast-one-token", "tapecast-compression", "node-ws", "socket.io"),
    *("nchan", "websockets", "starlette", "python-socketio", "django-channels"),
)
# Those that storms are held beside running subscribers for: the hub, and what the kernel and the
# load generator themselves do to a delay.
RUNNING = ("floor", "tapecast")
REQUIRED_PER_SECOND = 8_000
REQUIRED_KB = 4
REQUIRED_KB_COMPRESSION = 6
REQUIRED_DELAY_RATIO = 2
QUIET_CHANNEL = f"{CHANNEL}:quiet"
RUNNING_SUBSCRIBERS, RUNNING_RATE = 1000, 20.0
WARM_UP_SECONDS = 1.0
GIVE_UP_SECONDS = 30.0
TOLERATED = 0.01
"""The share of connections that a peer may lose and still be compared; Tapecast may lose none."""
IDLE_SECONDS = 5.0  # a heartbeat's period

EXAMPLES = """\
examples:
  python -m benchmarks.connections
  python -m benchmarks.connections --runs 5 --write-docs
  python -m benchmarks.connections --connections 1000 --server tapecast --json

KB are 1,024 bytes. Connections to tapecast-one-token bring the same token, those to
tapecast-compression offer permessage-deflate, which is agreed to. nchan checks no token, and the
floor, a C program that answers with constant bytes, nothing: its figures are the kernel's.
"""


class Run(msgspec.Struct, frozen=True):
    """One storm against one fresh server. KB and CPU time are those of one connection.

    `kernel_kb` is what the kernel keeps of it in slabs, half of what both its ends take;
    `idle_us` the CPU time that holding it takes in a second. `lost` is the share of connections
    that failed.
    """

    per_second: float
    cpu_us: float
    rss_kb: float
    pss_kb: float
    kernel_kb: float
    idle_us: float
    ready_p99_ms: float
    lost: float
    load_busy: float


class RunningRun(msgspec.Struct, frozen=True):
    """Delays of running subscribers before a storm of all connections, and during it."""

    before_p50_ms: float
    before_p99_ms: float
    during_p50_ms: float
    during_p99_ms: float
    ratio: float
    per_second: float
    load_busy: float


class Results(msgspec.Struct, frozen=True):
    """The line that is printed."""

    benchmark: str
    connections: int
    concurrency: int
    runs: int
    shared_core: bool
    machine: str
    required: dict[str, float]
    servers: dict[str, Figures]
    running: dict[str, Figures]


def measure(name: str, options: argparse.Namespace, core: int) -> Run:
    """Start the server, open all connections, and see what they cost it."""
    contender, count = CONTENDERS[name], options.connections
    with tempfile.TemporaryDirectory(prefix="tapecast-") as folder:
        tokens = write_tokens(Path(folder, "tokens"), 1 if contender.one_token else count)
        with servers.setting(Path(folder), (core,), tokens) as at, contender.start(at) as server:
            before, kernel_before = settled_usage(server.pid), kernel_bytes()
            plan = server.plan(
                count,
                concurrency=options.concurrency,
                source_addresses=options.source_addresses,
                tokens=tokens,
                spin_us=load.spin_us(core),
            )
            with load.hold(plan) as held:
                stormed = usage(server.pid)
                after, kernel_after = settled_usage(server.pid), kernel_bytes()
                time.sleep(IDLE_SECONDS)
                idle = usage(server.pid).cpu_seconds - after.cpu_seconds
                held_on = held.window()
    storm = held.storm
    lost = count - held_on.ready
    if lost > count * (0 if name.startswith(LOSSLESS) else TOLERATED) or storm.delay_us is None:
        raise Failed(
            f"{name}: {held_on.ready} of {count} connections were ready and stayed: "
            f"{storm.failures | held_on.failures}, first: {held_on.first_failure}"
        )
    kilobytes = count * 1024
    return Run(
        per_second=storm.per_second,
        cpu_us=(stormed.cpu_seconds - before.cpu_seconds) * 1e6 / count,
        rss_kb=(after.rss_bytes - before.rss_bytes) / kilobytes,
        pss_kb=(after.pss_bytes - before.pss_bytes) / kilobytes,
        kernel_kb=(kernel_after - kernel_before) / kilobytes / 2,
        idle_us=idle * 1e6 / IDLE_SECONDS / count,
        ready_p99_ms=storm.delay_us.p99 / 1000,
        lost=lost / count,
        load_busy=storm.busy,
    )


def measure_running(name: str, options: argparse.Namespace, core: int) -> RunningRun:
    """Hold subscribers that are published to, let all connections come, and compare delays."""
    with tempfile.TemporaryDirectory(prefix="tapecast-") as folder:
        tokens = write_tokens(Path(folder, "tokens"), options.connections)
        with (
            servers.setting(Path(folder), (core,), tokens) as at,
            CONTENDERS[name].start(at) as server,
        ):
            running = server.plan(RUNNING_SUBSCRIBERS, tokens=tokens, latency=True)
            # Who storms follows a channel that is quiet then, so that what is sent stays the same.
            publisher.run(publisher.Plan(at.redis, QUIET_CHANNEL, 1000.0, 1, seconds=0.001))
            # It gives way to the generator that measures: both share a core.
            storming = server.plan(
                options.connections,
                channel=QUIET_CHANNEL,
                concurrency=options.concurrency,
                source_addresses=options.source_addresses,
                tokens=tokens,
                nice=5,
            )
            plan = publisher.Plan(at.redis, CHANNEL, RUNNING_RATE, 1, seconds=600)
            with load.hold(running) as held, publisher.publishing(plan):
                _next_delayed(held)
                time.sleep(WARM_UP_SECONDS)
                held.window()
                time.sleep(options.seconds)
                before = _next_delayed(held)
                with load.hold(storming) as others:
                    during = _next_delayed(held)
    if others.storm.failures or before.failures or during.failures:
        raise Failed(
            f"{name}: {others.storm.failures | before.failures | during.failures}, first: "
            f"{others.storm.first_failure or during.first_failure}"
        )
    assert before.delay_us is not None
    assert during.delay_us is not None
    return RunningRun(
        before_p50_ms=before.delay_us.p50 / 1000,
        before_p99_ms=before.delay_us.p99 / 1000,
        during_p50_ms=during.delay_us.p50 / 1000,
        during_p99_ms=during.delay_us.p99 / 1000,
        ratio=during.delay_us.p99 / before.delay_us.p99,
        per_second=others.storm.per_second,
        load_busy=during.busy + others.storm.busy,
    )


def _next_delayed(held: load.Held) -> load.Report:
    """The window until now, or, where nothing was received in it, the next one with something."""
    give_up_at = time.monotonic() + GIVE_UP_SECONDS
    while (window := held.window()).delay_us is None:
        if time.monotonic() > give_up_at:
            raise Failed(f"nothing was received for {GIVE_UP_SECONDS:.0f} s")
        time.sleep(0.05)
    return window


def benchmark(options: argparse.Namespace, cores: Cores) -> Results:
    """Storms against every server, then beside running subscribers."""
    runs = script.rounds(
        options.runs, options.servers, lambda name: measure(name, options, cores.server)
    )
    running = script.rounds(
        options.runs,
        [name for name in options.servers if name in RUNNING and not options.skip_running],
        lambda name: measure_running(name, options, cores.server),
    )
    return Results(
        benchmark="connections",
        connections=options.connections,
        concurrency=options.concurrency,
        runs=options.runs,
        shared_core=cores.server == cores.load,
        machine=report.machine(contenders.versions(options.servers)),
        required={
            "per_second_least": REQUIRED_PER_SECOND,
            "rss_kb_most": REQUIRED_KB,
            "rss_kb_compression_most": REQUIRED_KB_COMPRESSION,
            "running_ratio_most": REQUIRED_DELAY_RATIO,
        },
        servers={name: report.figures(of_server) for name, of_server in runs.items()},
        running={name: report.figures(of_server) for name, of_server in running.items()},
    )


def storm_table(results: Results) -> str:
    """All servers; the ratios are of medians, Tapecast's to the other's."""
    own = results.servers.get("tapecast")
    rows = []
    for name, of in results.servers.items():
        ratio = own["per_second"].median / of["per_second"].median if own else None
        rows.append(
            [
                name,
                f"{of['per_second']:,.0f}",
                f"{ratio:.2f}" if ratio else "",
                f"{of['cpu_us']:.0f}",
                f"{of['rss_kb']:.1f}",
                f"{of['idle_us'].median:.1f}",
                f"{of['ready_p99_ms'].median:.0f}",
                f"{of['lost'].median:.2%}" if of["lost"].max else "",
                report.busy(of["load_busy"]),
            ]
        )
    kilobytes = f"<= {REQUIRED_KB}, with compression <= {REQUIRED_KB_COMPRESSION}"
    rows.append(["aim", f">= {REQUIRED_PER_SECOND:,}", "", "", kilobytes, "", "", "", ""])
    header = ["server", "connections/s", "tapecast's ratio", "CPU us each", "KB each"]
    header += ["idle, us a second", "ready, p99 ms", "lost", "load generator busy"]
    return report.table(header, rows)


def running_table(results: Results) -> str:
    """Delays of running subscribers, before and during the storm."""
    rows = [
        [
            name,
            f"{of['before_p50_ms'].median:.2f}",
            f"{of['before_p99_ms'].median:.2f}",
            f"{of['during_p50_ms'].median:.2f}",
            f"{of['during_p99_ms'].median:.2f}",
            f"{of['ratio']:.2f}",
            f"{of['per_second']:,.0f}",
            report.busy(of["load_busy"]),
        ]
        for name, of in results.running.items()
    ]
    rows.append(["aim", "", "", "", "", f"<= {REQUIRED_DELAY_RATIO}", "", ""])
    header = ["server", "before, p50 ms", "p99 ms", "during, p50 ms", "p99 ms", "p99's ratio"]
    header += ["connections/s", "load generators busy"]
    return report.table(header, rows)


def tables(results: Results) -> str:
    """Both tables under their names."""
    text = (
        f"{results.connections:,} connections, {results.concurrency} of them in flight at a "
        f"time:\n\n{storm_table(results)}"
    )
    if results.running:
        text += (
            f"\n\nThe same storm beside {RUNNING_SUBSCRIBERS:,} running subscribers, published to "
            f"{RUNNING_RATE:.0f} times a second:\n\n{running_table(results)}"
        )
    return text


def figure(results: Results) -> str:
    """Rate and memory."""

    def bars(title: str, figure: str, form: str) -> plot.Panel:
        # The floor accepts as many as the kernel does: beside it nothing else could be told apart.
        peers = {name: of[figure] for name, of in results.servers.items() if name != "floor"}
        return plot.bars(title, peers, form)

    return plot.figure(
        [bars("connections/s", "per_second", ",.0f"), bars("KB a connection", "rss_kb", ".1f")]
    )


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = script.parser("connections", __doc__, EXAMPLES)
    script.add_servers(parser, DEFAULT)
    parser.add_argument("--connections", type=int, default=10_000, metavar="N")
    parser.add_argument(
        "--concurrency", type=int, default=256, metavar="N", help="not ready at a time (256)"
    )
    parser.add_argument(
        "--source-addresses", type=int, default=1, metavar="N",
        help="connect from 127.0.0.1 to 127.0.0.N: needed above some 28,000 connections (1)",
    )  # fmt: skip
    parser.add_argument(
        "--seconds", type=float, default=5.0, metavar="S",
        help="to measure running subscribers before the storm (5)",
    )  # fmt: skip
    parser.add_argument(
        "--skip-running", action="store_true", help="no storm beside running subscribers"
    )
    short = {"servers": [*RUNNING, "node-ws"], "seconds": 2.0}
    return script.parse(parser, arguments, short)


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; the exit status is 1 where a server or a connection failed."""
    options = read_options(arguments)
    return script.run(options, arguments, lambda cores: benchmark(options, cores), tables, figure)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
