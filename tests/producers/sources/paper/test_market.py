"""producers/sources/paper/market.py: prices that walk, the same for the same seed."""

from __future__ import annotations

from decimal import Decimal

from producers.sources.paper.market import HISTORY, INSTRUMENTS, Instrument, Market


def walk(seed: int, steps: int) -> list[dict[str, Decimal]]:
    market, seen = Market(seed), []
    for _ in range(steps):
        market.step()
        seen.append(market.prices())
    return seen


def test_seeds() -> None:
    """The same seed gives the same prices, another one others."""
    assert walk(1, 50) == walk(1, 50)
    assert walk(1, 50) != walk(2, 50)


def test_prices_are_whole_ticks() -> None:
    """No rounding ever enters a price."""
    for prices in walk(3, 200):
        for instrument in INSTRUMENTS:
            assert prices[instrument.asset_pair] % instrument.tick == 0


def test_prices_stay_above_zero() -> None:
    """However wild the walk is, a price has a floor."""
    wild = Instrument("WILD", Decimal("0.01"), Decimal(1), start=100, swing=500)
    market = Market(1, [wild])
    lowest = market.price("WILD")
    for _ in range(500):
        market.step()
        lowest = min(lowest, market.price("WILD"))
    assert lowest == Decimal("0.25")


def test_history() -> None:
    """The last prices are kept, the newest last, and not without an end."""
    market = Market(1)
    for _ in range(2 * HISTORY):
        market.step()
    history = market.history("BTCUSD")
    assert len(history) == HISTORY
    assert history[-1] == market.price("BTCUSD")
