"""Publishes as fast as `producers.Publisher` can: many calls at once share its round trips.

    python -m benchmarks.producer --redis URL --kind log --tasks 64 --seconds 3

A log's calls all go to one channel. Values and tables have a channel for each task, as a newer
value would supersede one that waits. One JSON line says what was published, and what it took.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import subprocess
import sys
import time

import msgspec

from benchmarks.load import ROOT
from hub.protocol.streams import Kind
from producers.publisher import Publisher

CHANNELS = {Kind.LOG: "decisions", Kind.VALUE: "portfolio", Kind.TABLE: "positions"}
ROWS = 20


class ProducerError(Exception):
    """The producer ended without its report; the text has its last words."""


class Plan(msgspec.Struct, frozen=True):
    """So many calls at a time, for so long."""

    redis: str
    kind: Kind
    tasks: int
    seconds: float

    @property
    def channels(self) -> int:
        """How many channels are published to."""
        return 1 if self.kind is Kind.LOG else self.tasks


class Produced(msgspec.Struct, frozen=True):
    """What was stored, and the CPU time that it took this process."""

    stored: int
    seconds: float
    cpu_seconds: float


def start(plan: Plan) -> subprocess.Popen[str]:
    """Publish in a process of its own, which runs on the caller's cores."""
    command = [sys.executable, "-m", "benchmarks.producer"]
    for name, value in msgspec.structs.asdict(plan).items():
        command += [f"--{name}", str(value)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )


def result(process: subprocess.Popen[str]) -> Produced:
    """Wait for its report. Raises ProducerError."""
    output, errors = process.communicate()
    if process.returncode:
        raise ProducerError(f"the producer failed:\n{errors}")
    return msgspec.json.decode(output, type=Produced)


async def produce(plan: Plan) -> Produced:
    """Publish until the plan's seconds are over."""
    numbers = itertools.count(1)
    async with Publisher(plan.redis, name="benchmark") as publisher:
        await publisher.ping()
        began, cpu_began = time.monotonic(), time.process_time()

        async def publish(task: int) -> None:
            name = CHANNELS[plan.kind]
            channel = f"{name}:{task}" if plan.channels > 1 else name
            while time.monotonic() < began + plan.seconds:
                await publisher.publish(channel, "benchmark", _data(plan.kind, next(numbers)))

        async with asyncio.TaskGroup() as tasks:
            for task in range(plan.tasks):
                tasks.create_task(publish(task))
        seconds, cpu = time.monotonic() - began, time.process_time() - cpu_began
        return Produced(publisher.counts["stored"], seconds, cpu)


def _data(kind: Kind, number: int) -> object:
    """About as large as a decision, a portfolio, a position: envelopes of some 300 bytes."""
    figures = {
        "pair": "BTCUSD",
        "price": f"{number}.25",
        "size": "0.0500",
        "stop": "86800.00",
        "note": "a break of the upper band on rising volume",
    }
    if kind is Kind.TABLE:
        return {"upsert": {f"position-{number % ROWS}": figures}}
    return figures


def main() -> None:
    """Read the options, publish, report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--redis", metavar="URL", required=True)
    parser.add_argument("--kind", type=Kind, choices=list(Kind), required=True)
    parser.add_argument("--tasks", type=int, default=64, help="calls at a time")
    parser.add_argument("--seconds", type=float, required=True)
    produced = asyncio.run(produce(Plan(**vars(parser.parse_args()))))
    sys.stdout.write(msgspec.json.encode(produced).decode() + "\n")


if __name__ == "__main__":
    main()
