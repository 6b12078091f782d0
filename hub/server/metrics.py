"""What a hub counts, and how Prometheus reads it.

The fan-out must not pay for being measured: counts are plain integers that their owners add to,
and they become samples only when somebody scrapes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hub.protocol.codes import Code

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_COUNTS = {
    "accepted": ("connections_accepted", "Connections whose handshake was completed."),
    "delivered": ("frames_delivered", "Updates handed to a transport, one a subscriber."),
    "received": ("envelopes_received", "What the broker delivered to feeds."),
    "rejected": ("envelopes_rejected", "What the broker delivered and no publish script wrote."),
    "duplicates": ("envelopes_duplicate", "Envelopes that a feed had applied before."),
    "readings": ("feed_readings", "Readings of a channel from the broker, the first ones too."),
    "silent_losses": ("feed_silent_losses", "Quiet feeds that the broker was found ahead of."),
    "resets": (
        "feed_resets",
        "Histories that were lost or forked, so that subscribers began anew.",
    ),
    "published": ("publishes", "Publishes over the socket or HTTP that the broker took."),
    "publishes_refused": ("publishes_refused", "Publishes over the socket or HTTP that failed."),
}
"""Attribute of Metrics -> name and help of its counter."""


class Metrics:
    """The counts of one hub since it started. Whoever sees a thing happen adds to its count."""

    __slots__ = (*_COUNTS, "closes", "refusals")

    accepted: int
    delivered: int
    received: int
    rejected: int
    duplicates: int
    readings: int
    silent_losses: int
    resets: int
    published: int
    publishes_refused: int

    def __init__(self) -> None:
        for name in _COUNTS:
            setattr(self, name, 0)
        self.closes: Counter[Code] = Counter()
        self.refusals: Counter[Code] = Counter()

    def closed(self, code: Code) -> None:
        """A connection was closed by the hub, or is known to be gone."""
        self.closes[code] += 1

    def refused(self, code: Code) -> None:
        """A connection was not let in."""
        self.refusals[code] += 1


class Gauges(NamedTuple):
    """What a hub looks like at the moment of a scrape."""

    connections: int
    feeds: int
    stale_channels: int
    delivering: bool
    draining: bool


_GAUGES = {
    "connections": "Connections that are open.",
    "feeds": "Channels that this hub keeps a live copy of.",
    "stale_channels": "Live copies whose producer missed its deadline.",
    "delivering": "1 while what the hub publishes to itself through the broker comes back.",
    "draining": "1 once the hub is about to end.",
}


class _Scrape(Collector):
    """One moment of a hub as Prometheus' samples."""

    def __init__(self, metrics: Metrics, gauges: Gauges) -> None:
        self._metrics = metrics
        self._gauges = gauges

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
        for name, text in _GAUGES.items():
            value = float(getattr(self._gauges, name))
            yield GaugeMetricFamily(f"tapecast_{name}", text, value=value)


def _by_code(name: str, text: str, counts: Counter[Code]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=["code", "reason"])
    for code, count in sorted(counts.items()):
        family.add_metric([str(code.number), code.name], count)
    return family


def expose(metrics: Metrics, gauges: Gauges) -> bytes:
    """The answer to a scrape, of type `CONTENT_TYPE`: this hub's samples and its process's."""
    # A registry of its own: several hubs in one process must not share one.
    registry = CollectorRegistry()
    registry.register(_Scrape(metrics, gauges))
    ProcessCollector(registry=registry)
    return generate_latest(registry)
