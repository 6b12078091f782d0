"""producers/pauses.py: how long a source that failed is left alone."""

from __future__ import annotations

import pytest

from producers.errors import SourceError
from producers.pauses import LONGEST_BUSY_SECONDS, Pauses, retry_after


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0), ("1.5", 1.5), (None, 5.0), ("", 5.0), ("soon", 5.0), ("nan", 5.0), ("-1", 5.0),
        ("Wed, 01 Jan 2020 00:00:00 GMT", 0.0), ("Fri, 01 Jan 2100 00:00:00 GMT", 3600.0),
        ("9" * 400, LONGEST_BUSY_SECONDS), ("99999999999999", LONGEST_BUSY_SECONDS),
    ],
)  # fmt: skip
def test_retry_after(header: str | None, seconds: float) -> None:
    """Seconds or a date; what is neither is as long as the source says, and nothing is for ever."""
    assert retry_after(header, 5.0) == seconds


def test_a_source_that_is_well_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pauses grow on, until it was well for as long as the last one was; it was tried again
    twice a second for ever."""
    clock = [100.0]
    monkeypatch.setattr("producers.pauses.time.monotonic", lambda: clock[0])
    pauses = Pauses(1.0, 8.0)
    found = []
    for seconds in (0.5, 0.5, 3.9, 8.0, 0.5):
        found.append((pauses.failed(SourceError("x")).at_most, pauses.is_well(), pauses.is_well()))
        clock[0] += seconds
    assert found == [(1.0, 1, 0), (2.0, 2, 0), (4.0, 3, 0), (8.0, 4, 0), (1.0, 1, 0)]
