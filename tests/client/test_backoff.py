"""How long a client waits before the next attempt."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub.client.backoff import full_jitter


@given(attempt=st.integers(0, 10_000), fraction=st.floats(0, 1))
def test_delay_stays_within_its_bound(attempt: int, fraction: float) -> None:
    """A delay is never negative and never above the largest, however many attempts failed."""
    delay = full_jitter(attempt, min_seconds=0.1, max_seconds=10.0, random=lambda: fraction)
    assert 0 <= delay <= 10.0


def test_bound_doubles_up_to_the_largest() -> None:
    """The bound of the jitter doubles with each failure, up to the largest."""
    bounds = [
        full_jitter(attempt, min_seconds=0.1, max_seconds=1.0, random=lambda: 1.0)
        for attempt in range(6)
    ]
    assert bounds == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_jitter_is_full() -> None:
    """The whole range from nothing to the bound is used."""
    halves = [
        full_jitter(3, min_seconds=0.1, max_seconds=10.0, random=lambda f=f: f)  # type: ignore[misc]
        for f in (0.0, 0.5)
    ]
    assert halves == [0.0, 0.4]
