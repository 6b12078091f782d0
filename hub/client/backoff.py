"""How long to wait before the next attempt."""

from __future__ import annotations

from collections.abc import Callable


def full_jitter(
    attempt: int, *, min_seconds: float, max_seconds: float, random: Callable[[], float]
) -> float:
    """Seconds to wait after `attempt` failures in a row, counted from 0.

    Anywhere between nothing and a bound that doubles from `min_seconds` up to `max_seconds`, so
    that clients that lost the same hub do not come back in the same moment. `random` gives
    fractions from 0 to 1.
    """
    # 2^64 passes any bound of use, and stays a float.
    return random() * min(max_seconds, min_seconds * 2.0 ** min(attempt, 64))
