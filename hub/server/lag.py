"""How old updates are when they are handed to sockets: a histogram.

It is added to once for an envelope, however many connections hear it. The time of the publish is
the broker's, that of the fan-out this machine's, so their clocks' difference is in it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final

from hub.core.frame import Frame

BOUNDS_US: Final = (
    *(250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000),
    *(1_000_000, 2_500_000, 5_000_000, 10_000_000),
)
"""The buckets' upper bounds in microseconds, inclusive; one without a bound comes after them."""


class Lag:
    """The counts of each bucket by itself, and the sum of all lags."""

    __slots__ = ("counts", "sum_us")

    SIZE = len(BOUNDS_US) + 2

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_US) + 1)
        self.sum_us = 0

    def observe(self, frames: Iterable[Frame], now: float) -> None:
        """The envelopes in `frames` were fanned out. now: Unix seconds."""
        now_us = round(now * 1_000_000)
        for frame in frames:
            lag_us = now_us - frame.published_at
            self.counts[bisect_left(BOUNDS_US, lag_us)] += 1
            # The broker's clock may be ahead of this one, and sums must not fall.
            if lag_us > 0:
                self.sum_us += lag_us

    def cumulative(self) -> list[int]:
        """How many were at most as late as each bound; the last is all of them."""
        return list(accumulate(self.counts))

    def numbers(self) -> list[int]:
        """All counts and the sum, `SIZE` of them."""
        return [*self.counts, self.sum_us]

    def add(self, numbers: Sequence[int]) -> None:
        """Add the `numbers` of others."""
        *counts, sum_us = numbers
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, counts, strict=True)]
        self.sum_us += sum_us
