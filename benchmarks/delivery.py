"""Measures deliveries: publishes to a fresh server with so many subscribers, and sees what it cost.

`fanout`, `latency` and `scale` are made of these.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks import load, publisher, servers
from benchmarks.contenders import CONTENDERS, LOSSLESS
from benchmarks.script import Failed
from benchmarks.servers import CHANNEL, Server, Setting, write_tokens
from benchmarks.usage import usage

WARM_UP_SECONDS = 0.5
POLL_SECONDS = 0.1
QUIET_SECONDS = 3.0
DRAIN_SECONDS = 60.0


class Scenario(msgspec.Struct, frozen=True):
    """So many subscribers, evenly on so many channels, and so many envelopes a second over all
    channels, in bursts of `burst`."""

    subscribers: int
    rate: float
    burst: int = 1
    channels: int = 1

    def __str__(self) -> str:
        channels = f" of {self.channels:,} channels" if self.channels > 1 else ""
        bursts = f" in bursts of {self.burst}" if self.burst > 1 else ""
        return f"{self.subscribers:,} subscribers{channels}, {self.rate:,.0f}/s{bursts}"


class Delivery(msgspec.Struct, frozen=True):
    """One scenario on one fresh server.

    CPU time is that of one delivery. `busy` is the server's share of its core while it was
    published to; above 0.9 it fell behind or nearly so, and the delays tell of the queue rather
    than of the server. The delays are from the broker's clock in the envelope to the receipt.
    `lost` is the share of deliveries that never came.
    """

    per_second: float
    cpu_us: float
    system_us: float
    busy: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    lost: float
    load_busy: float
    publisher_busy: float


def measure(name: str, scenario: Scenario, seconds: float, core: int) -> Delivery:
    """Start the contender, subscribe, publish, and see what the deliveries cost it."""
    with subscribed(CONTENDERS[name].start, scenario, (core,)) as session:
        session.warm_up()
        measured = session.measure(scenario.rate, seconds)
    if name.startswith(LOSSLESS) and measured.lost:
        raise Failed(f"{name}, {scenario}: {measured.lost:.2%} of all updates never came")
    return measured


@contextlib.contextmanager
def subscribed(
    start: Callable[[Setting], AbstractContextManager[Server]],
    scenario: Scenario,
    cores: Sequence[int],
) -> Iterator[Session]:
    """A fresh server with all subscribers of the scenario, which are where the caller is."""
    with tempfile.TemporaryDirectory(prefix="tapecast-") as folder:
        tokens = write_tokens(Path(folder, "tokens"), scenario.subscribers)
        with servers.setting(Path(folder), cores, tokens) as at, start(at) as server:
            plan = server.plan(
                scenario.subscribers,
                channel=CHANNEL,
                channels=scenario.channels,
                tokens=tokens,
                latency=True,
                spin_us=load.spin_us(*cores),
            )
            with load.hold(plan) as held:
                if held.storm.failures:
                    raise Failed(f"{held.storm.failures}, first: {held.storm.first_failure}")
                yield Session(scenario, at, server, held)


@dataclass(frozen=True)
class Session:
    """A server and its subscribers: publishes to them, and measures."""

    scenario: Scenario
    at: Setting
    server: Server
    held: load.Held

    def publish(self, rate: float, seconds: float) -> publisher.Published:
        """Publish for so long, from a process of its own."""
        burst, channels = self.scenario.burst, self.scenario.channels
        return publisher.run(publisher.Plan(self.at.redis, CHANNEL, rate, burst, seconds, channels))

    def warm_up(self) -> None:
        """Publish for a moment, and wait until it was received."""
        self.drain(self.publish(self.scenario.rate, WARM_UP_SECONDS))

    def expected(self, published: publisher.Published) -> int:
        """How many updates all subscribers together should receive."""
        return published.envelopes * self.scenario.subscribers // self.scenario.channels

    def drain(self, published: publisher.Published) -> tuple[load.Report, int]:
        """Wait until everything arrived, or nothing does any more: the window until now, and the
        updates after it."""
        window = self.held.window()
        late, last = 0, time.monotonic()
        give_up_at = last + DRAIN_SECONDS
        while window.updates + late < self.expected(published) and (
            last + QUIET_SECONDS > time.monotonic() < give_up_at
        ):
            time.sleep(POLL_SECONDS)
            if updates := self.held.window().updates:
                late, last = late + updates, time.monotonic()
        return window, late

    def measure(self, rate: float, seconds: float) -> Delivery:
        """Publish, and see what the deliveries cost; raises Failed where there were none."""
        pid = self.server.pid
        before = usage(pid)
        published = self.publish(rate, seconds)
        during = usage(pid)
        window, late = self.drain(published)
        after = usage(pid)
        updates = window.updates + late
        expected = self.expected(published)
        if window.delay_us is None or updates > expected:
            raise Failed(
                f"{self.scenario}: expected {expected} updates, got {updates}: "
                f"{window.failures}, first: {window.first_failure}"
            )
        return Delivery(
            per_second=updates / published.seconds,
            cpu_us=(after.cpu_seconds - before.cpu_seconds) * 1e6 / updates,
            system_us=(after.system_seconds - before.system_seconds) * 1e6 / updates,
            busy=(during.cpu_seconds - before.cpu_seconds) / published.seconds,
            p50_ms=window.delay_us.p50 / 1000,
            p99_ms=window.delay_us.p99 / 1000,
            p999_ms=window.delay_us.p999 / 1000,
            lost=1 - updates / expected,
            load_busy=window.cpu_seconds / published.seconds,
            publisher_busy=published.cpu_seconds / published.seconds,
        )
