from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hub.core.frame import Frame
from hub.protocol import codes
from hub.server.metrics import Gauges, Metrics, Worker, expose

GAUGES = Gauges(3, 2, 1, delivering=True, draining=False, failed_tasks=0)
WORKERS = {0: Worker(os.getpid(), 0.0, GAUGES)}


def samples(text: bytes) -> Iterator[tuple[str, dict[str, str], float]]:
    """Name, labels and value of each sample of an exposition."""
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def value(text: bytes, name: str, **labels: str) -> float:
    """The value of the one sample with this name and these labels."""
    found = [value for known, given, value in samples(text) if (known, given) == (name, labels)]
    assert len(found) == 1, f"{name}{labels}: {found}"
    return found[0]


@pytest.mark.parametrize(
    ("attribute", "name"),
    [
        ("accepted", "tapecast_connections_accepted_total"),
        ("delivered", "tapecast_frames_delivered_total"),
        ("delivered_bytes", "tapecast_bytes_delivered_total"),
        ("conflated", "tapecast_updates_conflated_total"),
        ("received", "tapecast_envelopes_received_total"),
        ("rejected", "tapecast_envelopes_rejected_total"),
        ("duplicates", "tapecast_envelopes_duplicate_total"),
        ("readings", "tapecast_feed_readings_total"),
        ("silent_losses", "tapecast_feed_silent_losses_total"),
        ("resets", "tapecast_feed_resets_total"),
        ("reconnects", "tapecast_broker_reconnects_total"),
        ("published", "tapecast_publishes_total"),
        ("publishes_refused", "tapecast_publishes_refused_total"),
        ("starts", "tapecast_worker_starts_total"),
    ],
)
def test_each_count_is_a_counter(attribute: str, name: str) -> None:
    """What is added to an attribute is what the next scrape shows."""
    metrics = Metrics()
    assert value(expose(metrics, WORKERS), name) == 0
    setattr(metrics, attribute, 41)
    assert value(expose(metrics, WORKERS), name) == 41


def test_an_unknown_count_cannot_be_added_to() -> None:
    """A misspelled count is an error, not a count that nobody ever sees."""
    with pytest.raises(AttributeError):
        Metrics().acepted = 1  # type: ignore[attr-defined]


def test_closes_are_counted_by_code() -> None:
    """Each code has its own sample, with its number and name."""
    metrics = Metrics()
    metrics.closed(codes.TOO_SLOW)
    metrics.closed(codes.TOO_SLOW)
    metrics.closed(codes.RESTART)
    text = expose(metrics, WORKERS)
    name = "tapecast_connections_closed_total"
    assert value(text, name, code="4508", reason="too_slow") == 2
    assert value(text, name, code="1012", reason="restart") == 1


def test_refusals_are_counted_apart_from_closes() -> None:
    """A connection that was never let in is no closed connection."""
    metrics = Metrics()
    metrics.refused(codes.UNAUTHORIZED)
    text = expose(metrics, WORKERS)
    name = "tapecast_connections_refused_total"
    assert value(text, name, code="4401", reason="unauthorized") == 1
    assert not [s for s in samples(text) if s[0] == "tapecast_connections_closed_total"]


def test_the_lag_is_a_histogram_in_seconds() -> None:
    """Buckets are cumulative, and each bound belongs to its bucket."""
    metrics = Metrics()
    frames = [Frame(b"", 10_000_000 - lag) for lag in (250, 251, 2_000_000, 60_000_000)]
    metrics.lag.observe(frames, 10.0)
    text = expose(metrics, WORKERS)
    name = "tapecast_fanout_lag_seconds"
    for bound, count in (("0.00025", 1), ("0.0005", 2), ("1.0", 2), ("2.5", 3), ("+Inf", 4)):
        assert value(text, f"{name}_bucket", le=bound) == count
    assert value(text, f"{name}_count") == 4
    assert value(text, f"{name}_sum") == pytest.approx(62.000501)


def test_gauges_show_the_moment() -> None:
    """Gauges are what each worker looked like at the scrape; yes is 1."""
    text = expose(Metrics(), {**WORKERS, 3: Worker(os.getpid(), 0.0, GAUGES._replace(feeds=9))})
    assert value(text, "tapecast_connections", worker="0") == 3
    assert value(text, "tapecast_feeds", worker="0") == 2
    assert value(text, "tapecast_feeds", worker="3") == 9
    assert value(text, "tapecast_stale_channels", worker="0") == 1
    assert value(text, "tapecast_delivering", worker="0") == 1
    assert value(text, "tapecast_draining", worker="0") == 0
    assert value(text, "tapecast_failed_tasks", worker="0") == 0


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_each_workers_process_is_shown() -> None:
    """CPU time and memory are a worker's own; of one that has just gone there are none."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        workers = {**WORKERS, 1: Worker(other.pid, 0.0, GAUGES)}
        text = expose(Metrics(), workers)
        mine, others = (
            value(text, "process_resident_memory_bytes", worker=number) for number in "01"
        )
        assert 0 < others != mine > 0
        assert value(text, "process_cpu_seconds_total", worker="0") > 0
        assert value(text, "process_open_fds", worker="1") > 0
    names = {(name, labels["worker"]) for name, labels, _ in samples(expose(Metrics(), workers))
             if name.startswith("process_")}  # fmt: skip
    assert {number for _, number in names} == {"0"}


def test_counts_are_added_to_those_of_others() -> None:
    """Every count travels as numbers, and comes out as it was."""
    metrics, total = Metrics(), Metrics()
    metrics.accepted = 2
    metrics.starts = 1
    metrics.closed(codes.TOO_SLOW)
    metrics.refused(codes.FORBIDDEN)
    metrics.lag.observe([Frame(b"", 1_000_000)], 1.003)
    assert len(metrics.numbers()) == Metrics.SIZE
    for _ in range(2):
        total.add(metrics.numbers())
    assert (total.accepted, total.starts, total.delivered) == (4, 2, 0)
    assert total.closes == {codes.TOO_SLOW: 2}
    assert total.refusals == {codes.FORBIDDEN: 2}
    assert (total.lag.cumulative()[-1], total.lag.sum_us) == (2, 6_000)
