"""What compression costs, and what it saves: `python -m benchmarks.compression`.

First each kind of frame is compressed by itself, with the hub's parameters and with others. Then
clients join a hub that compresses, one after another, each taking a snapshot of 200 positions:
those that don't offer compression, and in another run those that do.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import random
import resource
import socket
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks import report, script, servers
from benchmarks.report import Figures, Spread, spread
from benchmarks.script import Failed
from benchmarks.servers import Cores, write_tokens
from benchmarks.usage import settled_usage, usage
from hub.protocol import frames
from hub.protocol.envelope import Envelope, encode_envelope
from hub.protocol.position import Position
from hub.server.deflate import LEVEL, MEMORY_LEVEL, WINDOW_BITS, Inflater
from producers.encoding import encode
from producers.events import Decision, Side
from producers.sources.paper.account import Account
from producers.sources.paper.agent import Agent
from producers.sources.paper.market import Market

REQUIRED_KB = 6
SAMPLE_SECONDS = 0.02
CHANNEL = "positions"
SUBSCRIBE = b'{"id":1,"method":"subscribe","params":{"channel":"positions"}}'
OFFERS = {
    "not offered": "",
    "offered": "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n",
}

EXAMPLES = """\
examples:
  python -m benchmarks.compression
  python -m benchmarks.compression --runs 5 --write-docs
  python -m benchmarks.compression --connections 10000 --json

KB are 1,024 bytes. The frames are those of the paper agent, the same in every run.
"""


class Parameters(NamedTuple):
    """Of zlib: the level, and the base-2 logarithms of window and, about, of memory."""

    level: int
    window_bits: int
    memory_level: int

    def deflate(self, payload: bytes) -> bytes:
        """As hub.server.deflate does."""
        stream = zlib.compressobj(self.level, zlib.DEFLATED, -self.window_bits, self.memory_level)
        return (stream.compress(payload) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]

    def __str__(self) -> str:
        return f"level {self.level}, window {self.window_bits}, memory {self.memory_level}"


OURS = Parameters(LEVEL, WINDOW_BITS, MEMORY_LEVEL)
PARAMETERS = (
    OURS,
    Parameters(6, WINDOW_BITS, MEMORY_LEVEL),
    Parameters(1, 15, 8),
    Parameters(6, 15, 8),  # zlib's own defaults
)


class Deflated(msgspec.Struct, frozen=True):
    """One frame, compressed in one way."""

    parameters: str
    bytes: int
    microseconds: Spread


class Sample(msgspec.Struct, frozen=True):
    """One frame, and what becomes of it."""

    frame: str
    bytes: int
    deflated: list[Deflated]


class Joined(msgspec.Struct, frozen=True):
    """One run of joiners: what one connection cost the hub, and what it received."""

    cpu_us: float
    rss_kb: float
    received_kb: float


class Results(msgspec.Struct, frozen=True):
    """The line that is printed."""

    benchmark: str
    connections: int
    runs: int
    shared_core: bool
    machine: str
    required: dict[str, int]
    samples: list[Sample]
    joiners: dict[str, Figures]


# Frames


def positions(count: int) -> dict[str, bytes]:
    """The rows of so many positions of a paper account."""
    market, account = Market(1), Account(Decimal(10**9))
    sizes = random.Random(1)
    now = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
    for n in range(1, count + 1):
        market.step()
        now += timedelta(seconds=sizes.randrange(5, 600))
        instrument = market.instruments[n % len(market.instruments)]
        account.open(
            trade_id=f"paper-{n}-t",
            decision_id=f"paper-{n}",
            asset_pair=instrument.asset_pair,
            side=sizes.choice(list(Side)),
            size=sizes.randrange(1, 5_000) * instrument.lot,
            prices=market.prices(),
            now=now,
        )
    return {each.id: encode(each) for each in account.positions(market.prices())}


def decisions(count: int) -> list[Envelope]:
    """The envelopes of so many decisions of a paper agent, from the first one on."""
    market = Market(1)
    agent = Agent(market, Account(), run="paper")
    found: list[Envelope] = []
    at = Position("kT9aQ2", 0, "")
    now = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
    while len(found) < count:
        market.step()
        now += timedelta(seconds=1)
        for event in agent.tick(now):
            if isinstance(event, Decision):
                ts = round(now.timestamp() * 1_000_000)
                found.append(encode_envelope("decisions", "decision_made", at, ts, encode(event)))
                at = found[-1].position
    return found[:count]


def samples() -> dict[str, bytes]:
    """Frames by name, from the smallest to the largest."""
    rows = positions(200)
    entries = decisions(50)
    at, ts = entries[-1].position, entries[-1].ts

    def update(count: int) -> bytes:
        data = frames.update_rows(dict(itertools.islice(rows.items(), count)), ())
        return encode_envelope(CHANNEL, "positions_update", at, ts, data).payload

    log = frames.snapshot("decisions", at, ts, frames.snapshot_entries(entries))
    table = frames.snapshot(CHANNEL, at, ts, frames.snapshot_rows(rows))
    found = {
        "one decision": entries[-1].payload,
        "update of 1 position": update(1),
        "update of 2 positions": update(2),
        "update of 4 positions": update(4),
        "update of 10 positions": update(10),
        "snapshot of 50 decisions": log,
        "snapshot of 200 positions": table,
    }
    return dict(sorted(found.items(), key=lambda item: len(item[1])))


def compress(payload: bytes, parameters: Parameters, runs: int) -> Deflated:
    """Compress a frame again and again, for a while in each run."""
    times = []
    for _ in range(runs):
        # CPU time, so that what else runs on the core is not counted.
        count, began = 0, time.process_time()
        while (now := time.process_time()) - began < SAMPLE_SECONDS:
            parameters.deflate(payload)
            count += 1
        times.append((now - began) * 1e6 / count)
    return Deflated(str(parameters), len(parameters.deflate(payload)), spread(times))


# Joiners


class Joiner:
    """One connection, from its handshake to its snapshot.

    snapshot: the frame, its first byte and its payload. received: bytes of everything.
    """

    def __init__(self, port: int, token: str, offer: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self._buffer = bytearray()
        self.received = 0
        self.socket.sendall(
            (
                f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: tapecast.v1\r\n"
                f"{offer}Authorization: Bearer {token}\r\n\r\n"
            ).encode()
        )
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            self._receive()
        del self._buffer[: end + 4]
        # A masking key of zero leaves the payload as it is.
        self.socket.sendall(bytes((0x81, 0x80 | len(SUBSCRIBE), 0, 0, 0, 0)) + SUBSCRIBE)
        _welcome, _reply, self.snapshot = self._frame(), self._frame(), self._frame()

    def _receive(self) -> None:
        part = self.socket.recv(1 << 18)
        if not part:
            raise Failed(f"the hub closed a connection: {bytes(self._buffer[-200:])!r}")
        self._buffer += part
        self.received += len(part)

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._receive()
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _frame(self) -> bytes:
        first, length = self._take(2)
        if length >= 126:
            length = int.from_bytes(self._take(2 if length == 126 else 8), "big")
        return bytes((first,)) + self._take(length)


def check(snapshot: bytes, rows: dict[str, bytes], *, is_compressed: bool) -> None:
    """Raise where a connection was sent anything but the rows, or in another way than expected."""
    first, payload = snapshot[0], snapshot[1:]
    if bool(first & 0x40) != is_compressed:
        raise Failed(f"a frame that begins with {first:#x}, compression {is_compressed}")
    if is_compressed:
        payload = Inflater().inflate(payload, 1 << 20, last=True)
    got = msgspec.json.decode(payload)["data"]["rows"]
    if got != {key: msgspec.json.decode(row) for key, row in rows.items()}:
        raise Failed("a snapshot differs from what was published")


def publish(redis: str, rows: dict[str, bytes]) -> None:
    """Put the rows into the channel that everybody follows."""
    command = [sys.executable, "-m", "hub.cli", "publish", "--redis", redis]
    data = frames.snapshot_rows(rows).decode()
    subprocess.run([*command, CHANNEL, "positions_update", data], check=True, capture_output=True)


def measure(offer: str, options: argparse.Namespace, core: int) -> Joined:
    """Start a hub, let everybody join, and see what they cost it."""
    rows = positions(200)
    with tempfile.TemporaryDirectory(prefix="tapecast-") as folder:
        shown = write_tokens(Path(folder, "tokens"), options.connections)
        tokens = shown.read_text().split()
        with (
            servers.setting(Path(folder), (core,), shown) as at,
            servers.compressing_tapecast(at) as server,
            contextlib.ExitStack() as sockets,
        ):
            publish(at.redis, rows)
            first = Joiner(server.port, tokens[0], offer)
            sockets.enter_context(first.socket)
            check(first.snapshot, rows, is_compressed=bool(offer))
            before = settled_usage(server.pid)
            received = 0
            for token in tokens:
                joiner = Joiner(server.port, token, offer)
                sockets.enter_context(joiner.socket)
                received += joiner.received
            joined = usage(server.pid)
            after = settled_usage(server.pid)
    kilobytes = len(tokens) * 1024
    return Joined(
        cpu_us=(joined.cpu_seconds - before.cpu_seconds) * 1e6 / len(tokens),
        rss_kb=(after.rss_bytes - before.rss_bytes) / kilobytes,
        received_kb=received / kilobytes,
    )


def benchmark(options: argparse.Namespace, cores: Cores) -> Results:
    """Compress every frame, then let clients join."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    found = [
        Sample(name, len(payload), [compress(payload, p, options.runs) for p in PARAMETERS])
        for name, payload in samples().items()
    ]
    runs = script.rounds(
        options.runs, OFFERS, lambda name: measure(OFFERS[name], options, cores.server)
    )
    return Results(
        benchmark="compression",
        connections=options.connections,
        runs=options.runs,
        shared_core=cores.server == cores.load,
        machine=report.machine(),
        required={"rss_kb_most": REQUIRED_KB},
        samples=found,
        joiners={name: report.figures(of_hub) for name, of_hub in runs.items()},
    )


# What is shown


def frame_table(results: Results) -> str:
    """Each frame, and what each of the parameters makes of it."""
    rows = [
        [
            sample.frame,
            f"{sample.bytes:,}",
            *(f"{each.bytes:,} in {each.microseconds.median:.0f} us" for each in sample.deflated),
        ]
        for sample in results.samples
    ]
    return report.table(["frame", "bytes", *map(str, PARAMETERS)], rows)


def joiner_table(results: Results) -> str:
    """Clients without compression, and with it."""
    rows = [
        [name, f"{of['cpu_us']:.0f}", f"{of['received_kb']:.1f}", f"{of['rss_kb']:.1f}"]
        for name, of in results.joiners.items()
    ]
    header = ["compression", "CPU us a connection", "KB received by each", "KB held for each"]
    return report.table(header, [*rows, ["aim where offered", "", "", f"<= {REQUIRED_KB}"]])


def tables(results: Results) -> str:
    """Both tables."""
    return (
        f"{frame_table(results)}\n\n"
        f"{results.connections:,} connections that each take the largest of these:\n\n"
        f"{joiner_table(results)}"
    )


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = script.parser("compression", __doc__, EXAMPLES)
    parser.add_argument(
        "--connections", type=int, default=2_000, metavar="N", help="that join in a run (2000)"
    )
    return script.parse(parser, arguments, {"connections": 500})


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; the exit status is 1 where a hub or a connection failed."""
    options = read_options(arguments)
    return script.run(options, arguments, lambda cores: benchmark(options, cores), tables)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
