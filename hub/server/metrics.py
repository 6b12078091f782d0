"""What a hub counts, and how Prometheus reads it.

The fan-out must not pay for being measured: counts are plain integers that their owners add to,
and they become samples only when somebody scrapes.

A scrape is answered for all workers of the hub, whichever of them it reached: counts are their
sums, and what only makes sense of one process carries the label `worker`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from hub.protocol.codes import TABLE, Code
from hub.server.lag import BOUNDS_US, Lag

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_COUNTS = {
    "accepted": ("connections_accepted", "Connections whose handshake was completed."),
    "delivered": ("frames_delivered", "Updates handed to a transport, one a subscriber."),
    "delivered_bytes": (
        "bytes_delivered",
        "Bytes handed on by fan-outs: payloads, as they are uncompressed.",
    ),
    "conflated": ("updates_conflated", "Updates skipped for a newer state, one a subscriber."),
    "received": ("envelopes_received", "What the broker delivered to feeds."),
    "rejected": ("envelopes_rejected", "What the broker delivered and no publish script wrote."),
    "duplicates": ("envelopes_duplicate", "Envelopes that a feed had applied before."),
    "readings": ("feed_readings", "Readings of a channel from the broker, the first ones too."),
    "silent_losses": ("feed_silent_losses", "Quiet feeds that the broker was found ahead of."),
    "resets": (
        "feed_resets",
        "Histories that were lost or forked, so that subscribers began anew.",
    ),
    "reconnects": ("broker_reconnects", "Links for pub/sub that replaced one that was lost."),
    "published": ("publishes", "Publishes over the socket or HTTP that the broker took."),
    "publishes_refused": ("publishes_refused", "Publishes over the socket or HTTP that failed."),
    "commanded": ("commands", "Commands to agents that the broker took."),
    "commands_refused": ("commands_refused", "Commands to agents that failed, or were denied."),
    "starts": ("worker_starts", "Workers that were started, those that replaced another too."),
}
"""Attribute of Metrics -> name and help of its counter."""


class Metrics:
    """The counts of one hub since it started. Whoever sees a thing happen adds to its count."""

    __slots__ = (*_COUNTS, "closes", "lag", "refusals")

    accepted: int
    delivered: int
    delivered_bytes: int
    conflated: int
    received: int
    rejected: int
    duplicates: int
    readings: int
    silent_losses: int
    resets: int
    reconnects: int
    published: int
    publishes_refused: int
    commanded: int
    commands_refused: int
    starts: int

    SIZE = len(_COUNTS) + 2 * len(TABLE) + Lag.SIZE

    def __init__(self) -> None:
        for name in _COUNTS:
            setattr(self, name, 0)
        self.closes: Counter[Code] = Counter()
        self.refusals: Counter[Code] = Counter()
        self.lag = Lag()

    def closed(self, code: Code) -> None:
        """A connection was closed by the hub, or is known to be gone."""
        self.closes[code] += 1

    def refused(self, code: Code) -> None:
        """A connection was not let in."""
        self.refusals[code] += 1

    def numbers(self) -> list[int]:
        """All counts, `SIZE` of them, in an order that is the same in every worker."""
        by_code = [counts[code] for counts in (self.closes, self.refusals) for code in TABLE]
        return [*(getattr(self, name) for name in _COUNTS), *by_code, *self.lag.numbers()]

    def add(self, numbers: Sequence[float]) -> None:
        """Add the `numbers` of others."""
        left = iter(numbers)
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + int(next(left)))
        for counts in (self.closes, self.refusals):
            # Without the zeros: a code that never came has no sample.
            counts.update({code: count for code in TABLE if (count := int(next(left)))})
        self.lag.add([int(number) for number in left])


class Gauges(NamedTuple):
    """What one worker looks like at a moment."""

    connections: float
    feeds: float
    stale_channels: float
    delivering: float
    draining: float
    failed_tasks: float


_GAUGES = {
    "connections": "Connections that are open.",
    "feeds": "Channels that the worker keeps a live copy of.",
    "stale_channels": "Live copies whose producer missed its deadline.",
    "delivering": "1 while what the worker publishes to itself through the broker comes back.",
    "draining": "1 once the worker is about to end.",
    "failed_tasks": "Parts of the worker that died; it is not ready from then on.",
}


class Worker(NamedTuple):
    """One process that serves the hub's port. reported_at: monotonic seconds, when the gauges were
    so."""

    pid: int
    reported_at: float
    gauges: Gauges


class _Scrape(Collector):
    """One moment of a hub as Prometheus' samples."""

    def __init__(self, metrics: Metrics, workers: Mapping[int, Worker]) -> None:
        self._metrics = metrics
        self._workers = workers

    def collect(self) -> Iterable[Metric]:
        for attribute, (name, text) in _COUNTS.items():
            value = getattr(self._metrics, attribute)
            yield CounterMetricFamily(f"tapecast_{name}", text, value=value)
        yield _by_code(
            "tapecast_connections_closed", "Closed connections, by code.", self._metrics.closes
        )
        yield _by_code(
            "tapecast_connections_refused", "Refused connections, by code.", self._metrics.refusals
        )
        yield _histogram(
            "tapecast_fanout_lag_seconds",
            "From a publish to its fan-out; only of envelopes that somebody heard.",
            self._metrics.lag,
        )
        for name, text in _GAUGES.items():
            family = GaugeMetricFamily(f"tapecast_{name}", text, labels=["worker"])
            for number, worker in self._workers.items():
                family.add_metric([str(number)], getattr(worker.gauges, name))
            yield family
        yield from _processes(self._workers)


def _by_code(name: str, text: str, counts: Counter[Code]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=["code", "reason"])
    for code, count in sorted(counts.items()):
        family.add_metric([str(code.number), code.name], count)
    return family


def _histogram(name: str, text: str, lag: Lag) -> HistogramMetricFamily:
    bounds = [*(str(bound / 1_000_000) for bound in BOUNDS_US), "+Inf"]
    buckets = list(zip(bounds, lag.cumulative(), strict=True))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=lag.sum_us / 1_000_000)


def _processes(workers: Mapping[int, Worker]) -> Iterable[Metric]:
    """What the system knows of each worker. Any of them may look at its siblings' entries in /proc,
    so nobody spends time on these until they are asked for."""
    families: dict[str, Metric] = {}
    for number, worker in workers.items():
        for metric in ProcessCollector(pid=partial(int, worker.pid), registry=None).collect():
            family = families.setdefault(
                metric.name, Metric(metric.name, metric.documentation, metric.type)
            )
            for sample in metric.samples:
                family.add_sample(sample.name, {"worker": str(number)}, sample.value)
    return families.values()


def expose(metrics: Metrics, workers: Mapping[int, Worker]) -> bytes:
    """The answer to a scrape, of type `CONTENT_TYPE`: the counts, and each worker by its number."""
    # A registry of its own: several hubs in one process must not share one.
    registry = CollectorRegistry()
    registry.register(_Scrape(metrics, workers))
    return generate_latest(registry)
