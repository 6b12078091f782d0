"""A market that exists only here: prices that walk at random, the same for the same seed.

Prices are counted in whole ticks, so that no rounding ever enters a price. Each instrument has a
slowly turning trend, so that an agent that follows momentum has something to find.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec


class Instrument(msgspec.Struct, frozen=True):
    """What is traded. `start` and `swing` (the spread of one step) are in ticks."""

    asset_pair: str
    tick: Decimal
    lot: Decimal
    start: int
    swing: int


INSTRUMENTS: Final = (
    Instrument("BTCUSD", Decimal("0.1"), Decimal("0.001"), start=873_050, swing=400),
    Instrument("ETHUSD", Decimal("0.01"), Decimal("0.01"), start=294_000, swing=180),
    Instrument("SOLUSD", Decimal("0.01"), Decimal("0.1"), start=12_400, swing=14),
)

HISTORY: Final = 64
_TREND_MEMORY: Final = 0.95
_TREND_SHARE: Final = 0.25


class _Walk:
    """One instrument's way."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.ticks = instrument.start
        self.trend = 0.0
        self.history: deque[Decimal] = deque([self.price], maxlen=HISTORY)

    @property
    def price(self) -> Decimal:
        return self.ticks * self.instrument.tick

    def step(self, rng: random.Random) -> None:
        swing = self.instrument.swing
        self.trend = _TREND_MEMORY * self.trend + rng.gauss(0, _TREND_SHARE * swing)
        # No price ever reaches zero, whatever the walk does.
        floor = self.instrument.start // 4
        self.ticks = max(floor, self.ticks + round(rng.gauss(self.trend, swing)))
        self.history.append(self.price)


class Market:
    """Prices of some instruments, moved by `step` alone."""

    def __init__(self, seed: int, instruments: Sequence[Instrument] = INSTRUMENTS) -> None:
        self._rng = random.Random(seed)
        self._walks = {each.asset_pair: _Walk(each) for each in instruments}
        self.instruments = tuple(instruments)

    def step(self) -> None:
        """Let time pass by one tick of the market."""
        for walk in self._walks.values():
            walk.step(self._rng)

    def price(self, asset_pair: str) -> Decimal:
        """The price now."""
        return self._walks[asset_pair].price

    def history(self, asset_pair: str) -> tuple[Decimal, ...]:
        """The last prices, at most `HISTORY`, the newest last."""
        return tuple(self._walks[asset_pair].history)

    def prices(self) -> dict[str, Decimal]:
        """All prices now."""
        return {asset_pair: walk.price for asset_pair, walk in self._walks.items()}
