from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hub.protocol import codes
from hub.server.metrics import Gauges, Metrics, expose

GAUGES = Gauges(connections=3, feeds=2, stale_channels=1, delivering=True, draining=False)


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
        ("received", "tapecast_envelopes_received_total"),
        ("rejected", "tapecast_envelopes_rejected_total"),
        ("duplicates", "tapecast_envelopes_duplicate_total"),
        ("readings", "tapecast_feed_readings_total"),
        ("silent_losses", "tapecast_feed_silent_losses_total"),
        ("resets", "tapecast_feed_resets_total"),
        ("published", "tapecast_publishes_total"),
        ("publishes_refused", "tapecast_publishes_refused_total"),
    ],
)
def test_each_count_is_a_counter(attribute: str, name: str) -> None:
    """What is added to an attribute is what the next scrape shows."""
    metrics = Metrics()
    assert value(expose(metrics, GAUGES), name) == 0
    setattr(metrics, attribute, 41)
    assert value(expose(metrics, GAUGES), name) == 41


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
    text = expose(metrics, GAUGES)
    name = "tapecast_connections_closed_total"
    assert value(text, name, code="4508", reason="too_slow") == 2
    assert value(text, name, code="1012", reason="restart") == 1


def test_refusals_are_counted_apart_from_closes() -> None:
    """A connection that was never let in is no closed connection."""
    metrics = Metrics()
    metrics.refused(codes.UNAUTHORIZED)
    text = expose(metrics, GAUGES)
    name = "tapecast_connections_refused_total"
    assert value(text, name, code="4401", reason="unauthorized") == 1
    assert not [s for s in samples(text) if s[0] == "tapecast_connections_closed_total"]


def test_gauges_show_the_moment() -> None:
    """Gauges are what the hub looked like at the scrape; yes is 1."""
    text = expose(Metrics(), GAUGES)
    assert value(text, "tapecast_connections") == 3
    assert value(text, "tapecast_feeds") == 2
    assert value(text, "tapecast_stale_channels") == 1
    assert value(text, "tapecast_delivering") == 1
    assert value(text, "tapecast_draining") == 0
