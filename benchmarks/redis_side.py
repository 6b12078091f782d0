"""What Redis and the way from it cost: `python -m benchmarks.redis_side`.

The publish script, by kind of publish: what Valkey itself says that a call takes it. The reader:
CPU time from the bytes of the pub/sub link to a callback. The whole way: CPU time from those bytes
to the fan-out, through broadcaster's queue, the envelope's head, its tag, the check of its data and
the feed; nobody is subscribed. No load generator takes part, and no socket but Valkey's.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec
import redis
import uvloop
from broadcaster import Broadcast, Event

from benchmarks import load, report
from benchmarks.report import Spread, spread
from benchmarks.servers import Cores
from hub.broker.handover import HandOver, Message, Route
from hub.broker.memory import MemoryBroker
from hub.broker.pubsub import Wire
from hub.broker.resp import pack
from hub.cli.embedded import embedded_server
from hub.core.admission import admit
from hub.protocol import keys, scripts
from hub.protocol.envelope import Envelope, decode_envelope, encode_envelope
from hub.protocol.position import Position
from hub.protocol.publication import (
    AppendEntry,
    Change,
    PatchRows,
    Publication,
    ReplaceRows,
    SetValue,
    Touch,
)
from hub.protocol.streams import Kind, stream_options
from hub.server.keeper import FeedKeeper
from hub.server.metrics import Metrics

CHANNELS = {Kind.VALUE: "portfolio", Kind.TABLE: "positions", Kind.LOG: "decisions"}
ROUND = 256
ROWS = 50
NOTE = "x" * 150
BURSTS = (1, 8, 64)

EXAMPLES = """\
examples:
  python -m benchmarks.redis_side
  python -m benchmarks.redis_side --runs 5 --write-docs
  python -m benchmarks.redis_side --publishes 500 --messages 1000 --runs 1
"""


class Script(msgspec.Struct, frozen=True):
    """One kind of publish. us: of a call; cpu_us: of Valkey's process, its sockets included;
    calls: of Redis, from within the script."""

    us: Spread
    cpu_us: Spread
    calls: float


class Results(msgspec.Struct, frozen=True):
    """The line that is printed. us: CPU time for a message, by how many arrived together."""

    benchmark: str
    publishes: int
    messages: int
    envelope_bytes: int
    runs: int
    machine: str
    valkey: str
    script: dict[str, Script]
    reader_us: dict[int, Spread]
    way_us: dict[int, Spread]
    stages_us: dict[str, Spread]


# The script


def _row(number: int) -> bytes:
    return f'{{"size":"{number}","note":"{NOTE}"}}'.encode()


PUBLISHES: dict[str, tuple[Kind, Callable[[int], Change]]] = {
    "value, changed": (Kind.VALUE, lambda n: SetValue(_row(n))),
    "value, unchanged": (Kind.VALUE, lambda n: SetValue(_row(0))),
    "value, touched": (Kind.VALUE, lambda n: Touch()),
    "table, 1 row": (Kind.TABLE, lambda n: PatchRows({f"p-{n % ROWS}": _row(n)})),
    "table, 50 rows": (
        Kind.TABLE,
        lambda n: PatchRows({f"p-{row}": _row(n) for row in range(ROWS)}),
    ),
    "table, 1 row of all 50": (
        Kind.TABLE,
        lambda n: ReplaceRows(
            {f"p-{row}": _row(n if row == n % ROWS else 0) for row in range(ROWS)}
        ),
    ),
    "log": (Kind.LOG, lambda n: AppendEntry(_row(n))),
    "log, keyed": (Kind.LOG, lambda n: AppendEntry(_row(n), f"d-{n}", "entry_changed")),
    "log, keyed, known": (Kind.LOG, lambda n: AppendEntry(_row(0), "d-0", "entry_changed")),
}


class OneScript(NamedTuple):
    """One run of a kind of publish."""

    us: float
    cpu_us: float
    calls: float


def measure_script(client: redis.Redis, name: str, publishes: int) -> OneScript:
    """Publish so often, in rounds, and ask Valkey what it took."""
    kind, change = PUBLISHES[name]
    client.flushall()
    sha = client.script_load(scripts.PUBLISH)
    connection = client.connection_pool.get_connection()
    client.config_resetstat()
    cpu_began = _cpu_seconds(client)
    for first in range(0, publishes, ROUND):
        numbers = range(first, min(publishes, first + ROUND))
        commands = []
        for n in numbers:
            publication = Publication(
                CHANNELS[kind], kind, "entry", change(n), "benchmark", n, lease_ms=30_000
            )
            call = scripts.publish_call(
                publication, stream_options(publication.channel), "benchmark"
            )
            commands.append(pack(("EVALSHA", sha, len(call.keys), *call.keys, *call.args)))
        connection.send_packed_command([b"".join(commands)])  # type: ignore[no-untyped-call]
        for _ in numbers:
            connection.read_response()
    cpu_seconds = _cpu_seconds(client) - cpu_began
    client.connection_pool.release(connection)
    stats: Any = client.info("commandstats")
    evalsha = stats.pop("cmdstat_evalsha")
    own = {"cmdstat_config|resetstat", "cmdstat_info"}
    calls = sum(of["calls"] for command, of in stats.items() if command not in own)
    return OneScript(evalsha["usec_per_call"], cpu_seconds * 1e6 / publishes, calls / publishes)


def _cpu_seconds(client: redis.Redis) -> float:
    used: Any = client.info("cpu")
    return float(used["used_cpu_user"] + used["used_cpu_sys"])


# The way of an envelope


def chain(at: Position, count: int) -> list[Envelope]:
    """Envelopes of a portfolio of 300 bytes, each following the one before."""
    made = []
    for n in range(count):
        data = (
            f'{{"available":"90000.00","balance":"100000.00","currency":"USD",'
            f'"equity":"{100_000 + n}.50","exposure":"10000.00","note":"{NOTE[:50]}"}}'
        ).encode()
        made.append(encode_envelope("portfolio", "portfolio_update", at, 10**15 + n, data))
        at = made[-1].position
    return made


def on_link(envelopes: Sequence[Envelope], burst: int) -> Iterator[bytes]:
    """What arrives on a pub/sub link, so many messages in a piece."""
    name = keys.pubsub("portfolio").encode()
    head = b"*3\r\n$7\r\nmessage\r\n$%d\r\n%b\r\n" % (len(name), name)
    for first in range(0, len(envelopes), burst):
        yield b"".join(
            head + b"$%d\r\n%b\r\n" % (len(each.payload), each.payload)
            for each in envelopes[first : first + burst]
        )


def _refuse(reply: object) -> None:
    raise AssertionError(f"expected messages alone, got {reply!r}")


def measure_reader(envelopes: Sequence[Envelope], burst: int) -> float:
    """Microseconds of CPU time from bytes to a callback that does nothing."""

    async def read() -> float:
        name = keys.pubsub("portfolio").encode()
        wire = Wire({name: Route("portfolio", _ignore)}, HandOver(2**30), _refuse)
        pieces = list(on_link(envelopes, burst))
        began = time.thread_time()
        for piece in pieces:
            wire.data_received(piece)
        return time.thread_time() - began

    return asyncio.run(read()) * 1e6 / len(envelopes)


def _ignore(_route: Route, _message: Message) -> None:
    pass


class LinkedBroker(MemoryBroker):
    """Channels in memory, whose messages arrive as Redis would send them: as bytes on a link."""

    def __init__(self) -> None:
        super().__init__()
        live: dict[bytes, Route] = {}
        self._live = live
        self._arrived = HandOver(2**30)
        self.wire = Wire(live, self._arrived, _refuse)

    async def subscribe(self, group: str) -> None:
        self._live[keys.pubsub(group).encode()] = Route(group, self._arrived.put)

    async def next_published(self) -> Event:
        channel, message = await self._arrived.take()
        return Event(channel, message)  # type: ignore[arg-type]


def measure_way(messages: int, burst: int) -> float:
    """Microseconds of CPU time from bytes to the fan-out, on the loop that `serve` runs on."""

    async def travel() -> float:
        broker = LinkedBroker()
        touched = Publication("portfolio", Kind.VALUE, "touch", Touch(), "benchmark", 0)
        await broker.store([touched])
        [head] = await broker.heads(["portfolio"])
        assert head is not None
        pieces = list(on_link(chain(head, messages), burst))
        broadcast = Broadcast(backend=broker)
        await broadcast.connect()
        up, applied = asyncio.Event(), 0

        def take(_keeper: FeedKeeper, entries: list[Envelope]) -> None:
            nonlocal applied
            applied += len(entries)

        keeper = FeedKeeper(
            "portfolio",
            stream_options("portfolio"),
            broker,
            broadcast,
            Metrics(),
            time.monotonic,
            opened=lambda _keeper: up.set(),
            changed=lambda _keeper, _loaded: None,
            applied=take,
            heard=lambda _keeper, _foreign: None,
        )
        keeping = asyncio.create_task(keeper.run(10.0))
        await up.wait()
        turns, expected = 0, 0
        began = time.thread_time()
        for piece in pieces:
            broker.wire.data_received(piece)
            expected = min(messages, expected + burst)
            while applied < expected:
                turns += 1
                await asyncio.sleep(0)
        took = time.thread_time() - began
        # What it took to wait, which a hub does not.
        began = time.thread_time()
        for _ in range(turns):
            await asyncio.sleep(0)
        took -= time.thread_time() - began
        keeping.cancel()
        await asyncio.wait([keeping])
        await broadcast.disconnect()
        return took

    return uvloop.run(travel()) * 1e6 / messages


STAGES: dict[str, Callable[[Envelope, Envelope], object]] = {
    "head": lambda _before, each: decode_envelope("portfolio", each.payload),
    "tag": lambda before, each: each.follows(before.position),
    "check of the data": lambda _before, each: admit(each, Kind.VALUE),
}


def measure_stage(name: str, envelopes: Sequence[Envelope]) -> float:
    """Microseconds of CPU time of one stage by itself."""
    stage = STAGES[name]
    pairs = list(pairwise(envelopes))
    began = time.thread_time()
    for before, each in pairs:
        stage(before, each)
    return (time.thread_time() - began) * 1e6 / len(pairs)


# The report


def tables(results: Results) -> str:
    """The script by kind of publish, then the way of an envelope by how many arrive together."""
    script = report.table(
        ["publish", "script us", "Valkey's CPU us", "calls of Redis"],
        [
            [name, f"{of.us:.1f}", f"{of.cpu_us:.1f}", f"{of.calls:.1f}"]
            for name, of in results.script.items()
        ],
    )
    way = report.table(
        ["messages together", "reader us a message", "whole way us an envelope"],
        [
            [str(burst), f"{results.reader_us[burst]:.2f}", f"{results.way_us[burst]:.1f}"]
            for burst in results.reader_us
        ],
    )
    stages = report.table(
        ["stage", "us an envelope"],
        [[name, f"{us:.2f}"] for name, us in results.stages_us.items()],
    )
    return "\n\n".join((script, way, stages))


def section(results: Results, arguments: Sequence[str]) -> str:
    """The section of docs/performance.md: the command, its tables, and where it ran."""
    command = " ".join(["python -m benchmarks.redis_side", *arguments])
    return (
        f"`{command}`: {results.publishes:,} publishes of each kind, {results.messages:,} "
        f"envelopes of {results.envelope_bytes} bytes, median (least to greatest) of "
        f"{results.runs} runs.\n\n"
        f"{tables(results)}\n\nMeasured with {results.machine}, Valkey {results.valkey}."
    )


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.redis_side",
        description=(__doc__ or "").partition("\n\n")[2],
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--publishes", type=int, default=4000, metavar="N", help="of each kind (4000)"
    )
    parser.add_argument(
        "--messages", type=int, default=10_000, metavar="N", help="on the way (10000)"
    )
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="of everything (3)")
    parser.add_argument("--json", action="store_true", help="print the JSON line alone")
    parser.add_argument(
        "--write-docs", action="store_true", help="put the tables into docs/performance.md"
    )
    options = parser.parse_args(arguments)
    if min(options.publishes, options.messages - 1, options.runs) < 1:
        parser.error("expected at least 1 publish, 2 messages and 1 run")
    return options


def measure(options: argparse.Namespace) -> Results:
    """Measure all of it, each run once through."""
    script: dict[str, list[OneScript]] = {name: [] for name in PUBLISHES}
    reader: dict[int, list[float]] = {burst: [] for burst in BURSTS}
    way: dict[int, list[float]] = {burst: [] for burst in BURSTS}
    stages: dict[str, list[float]] = {name: [] for name in STAGES}
    envelopes = chain(Position("benchmark", 0, ""), options.messages)
    with (
        tempfile.TemporaryDirectory(prefix="tapecast-") as folder,
        embedded_server({"XDG_RUNTIME_DIR": folder}) as url,
        redis.Redis.from_url(url) as client,
        load.on_core(Cores.available().load),
    ):
        for _ in range(options.runs):
            for name, of_kind in script.items():
                of_kind.append(measure_script(client, name, options.publishes))
            for burst in BURSTS:
                reader[burst].append(measure_reader(envelopes, burst))
                way[burst].append(measure_way(options.messages, burst))
            for name, of_stage in stages.items():
                of_stage.append(measure_stage(name, envelopes))
        about: Any = client.info("server")
    return Results(
        benchmark="redis_side",
        publishes=options.publishes,
        messages=options.messages,
        envelope_bytes=len(envelopes[-1].payload),
        runs=options.runs,
        machine=report.machine(),
        valkey=about.get("valkey_version", about["redis_version"]),
        script={
            name: Script(
                spread([run.us for run in runs]),
                spread([run.cpu_us for run in runs]),
                round(runs[-1].calls, 1),
            )
            for name, runs in script.items()
        },
        reader_us={burst: spread(runs) for burst, runs in reader.items()},
        way_us={burst: spread(runs) for burst, runs in way.items()},
        stages_us={name: spread(runs) for name, runs in stages.items()},
    )


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark."""
    options = read_options(arguments)
    results = measure(options)
    print(msgspec.json.encode(results).decode())
    if not options.json:
        print(tables(results))
    if options.write_docs:
        report.write_section("redis-side", section(results, arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
