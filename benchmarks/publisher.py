"""Publishes portfolios at a steady rate, on a core that is not the server's.

    python -m benchmarks.publisher --redis URL --rate 2000 --burst 8 --seconds 5

A burst is one write to Valkey, so its envelopes reach the server together. With more than one
channel, those of `load --channels` are published to in turn. One JSON line says what was
published, and what it took this process.
"""

from __future__ import annotations

import argparse
import contextlib
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator

import msgspec
import redis

from benchmarks.load import ROOT
from hub.broker.resp import pack
from hub.protocol import scripts
from hub.protocol.envelope import encode_envelope
from hub.protocol.position import Position
from hub.protocol.publication import Publication, SetValue
from hub.protocol.streams import Kind, stream_options

EVENT = "portfolio_update"
ENVELOPE_BYTES = 300


class PublisherError(Exception):
    """The publisher ended without its report; the text has its last words."""


class Published(msgspec.Struct, frozen=True):
    """What was published; `late_ms` is how far the schedule was missed at most."""

    envelopes: int
    seconds: float
    cpu_seconds: float
    late_ms: float


class Plan(msgspec.Struct, frozen=True):
    """rate: envelopes of 300 bytes a second, in bursts of `burst`, for so many seconds."""

    redis: str
    channel: str
    rate: float
    burst: int
    seconds: float
    channels: int = 1

    def command(self) -> list[str]:
        """The command that carries it out."""
        command = [sys.executable, "-m", "benchmarks.publisher"]
        for name, value in msgspec.structs.asdict(self).items():
            command += [f"--{name}", str(value)]
        return command


def run(plan: Plan) -> Published:
    """Publish in a process of its own, which runs on the caller's cores."""
    ended = subprocess.run(plan.command(), capture_output=True, text=True, cwd=ROOT)
    if ended.returncode:
        raise PublisherError(f"the publisher failed:\n{ended.stderr}")
    return msgspec.json.decode(ended.stdout, type=Published)


@contextlib.contextmanager
def publishing(plan: Plan) -> Iterator[subprocess.Popen[bytes]]:
    """The same beside what the caller does, who ends it before the plan's seconds are over."""
    with subprocess.Popen(plan.command(), stdout=subprocess.DEVNULL, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


def publish(plan: Plan) -> Published:
    """Publish until the plan's seconds are over."""
    connection = redis.ConnectionPool.from_url(plan.redis).get_connection()
    connection.send_packed_command([pack(("SCRIPT", "LOAD", scripts.PUBLISH))])  # type: ignore[no-untyped-call]
    sha = connection.read_response()
    options = stream_options(plan.channel)
    names = [f"{plan.channel}:{number}" for number in range(plan.channels)]
    if plan.channels == 1:
        names = [plan.channel]
    producer, n, padding = secrets.token_hex(8), 0, _padding(plan)
    began = at = time.monotonic()
    cpu_began, late = time.process_time(), 0.0
    while at < began + plan.seconds:
        time.sleep(max(0.0, at - time.monotonic()))
        late = max(late, time.monotonic() - at)
        commands = []
        for _ in range(plan.burst):
            n += 1
            call = scripts.publish_call(
                Publication(
                    channel=names[n % len(names)],
                    event=EVENT,
                    change=SetValue(_data(padding)),
                    kind=Kind.VALUE,
                    producer=producer,
                    n=n,
                ),
                options,
                "benchmark",
            )
            commands.append(pack(("EVALSHA", sha, len(call.keys), *call.keys, *call.args)))
        connection.send_packed_command([b"".join(commands)])  # type: ignore[no-untyped-call]
        for _ in commands:
            connection.read_response()
        at += plan.burst / plan.rate
    return Published(n, time.monotonic() - began, time.process_time() - cpu_began, late * 1000)


def _data(padding: str) -> bytes:
    # Never the same twice: an unchanged value is not published.
    return f'{{"equity":"{time.time_ns()}","note":"{padding}"}}'.encode()


def _padding(plan: Plan) -> str:
    at = Position("benchmark", 10_000, "9fa3c01b")
    bare = encode_envelope(plan.channel, EVENT, at, time.time_ns() // 1000, _data(""))
    return "x" * (ENVELOPE_BYTES - len(bare.payload))


def main() -> None:
    """Read the options, publish, report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--redis", metavar="URL", required=True)
    parser.add_argument("--channel", default="portfolio")
    parser.add_argument("--rate", type=float, required=True, help="envelopes a second")
    parser.add_argument("--burst", type=int, default=1, help="envelopes in one write")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--channels", type=int, default=1)
    published = publish(Plan(**vars(parser.parse_args())))
    sys.stdout.write(msgspec.json.encode(published).decode() + "\n")


if __name__ == "__main__":
    main()
