from __future__ import annotations

from hub.core.frame import Frame
from hub.server.lag import BOUNDS_US, Lag

NOW = 1_800_000_000.0
NOW_US = 1_800_000_000_000_000


def lag_of(*lags_us: int) -> Lag:
    """What envelopes come to that were published so long ago."""
    lag = Lag()
    lag.observe([Frame(b"", NOW_US - each) for each in lags_us], NOW)
    return lag


def test_each_envelope_is_in_the_bucket_of_its_lag() -> None:
    """A lag of exactly a bound is within it; one above all bounds is in the last bucket."""
    lag = lag_of(*BOUNDS_US, BOUNDS_US[-1] + 1)
    assert lag.counts == [1] * (len(BOUNDS_US) + 1)
    assert lag.cumulative() == list(range(1, len(BOUNDS_US) + 2))
    assert lag.sum_us == sum(BOUNDS_US) + BOUNDS_US[-1] + 1


def test_a_publish_from_the_future_is_not_late() -> None:
    """Where the broker's clock is ahead the envelope counts, and the sum does not fall."""
    lag = lag_of(-5_000, 100)
    assert lag.counts[0] == 2
    assert lag.sum_us == 100


def test_lags_of_others_are_added() -> None:
    """What one worker counts is added to what another does, bucket by bucket."""
    total = lag_of(100, 3_000)
    total.add(lag_of(100, 40_000_000).numbers())
    assert len(total.numbers()) == Lag.SIZE
    assert total.cumulative()[0] == 2
    assert total.cumulative()[-1] == 4
    assert total.sum_us == 40_003_200
