"""What the paper agent makes of prices: it follows momentum, and cuts losses."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from producers.events import Action, Side
from producers.sources.paper.account import OpenPosition
from producers.sources.paper.config import Config

SHORT_WINDOW: Final = 5
LONG_WINDOW: Final = 20
STOP_LOSS_PCT: Final = Config().stop_loss_pct

# How far the short mean is from the long one, in millionths of it: nothing, and beyond doubt.
_NOISE: Final = 200
_CERTAIN: Final = 4_000


def momentum_ppm(history: tuple[Decimal, ...]) -> int:
    """How far the mean of the last prices is above the longer one, in millionths."""
    short = sum(history[-SHORT_WINDOW:], Decimal(0)) / SHORT_WINDOW
    long = sum(history[-LONG_WINDOW:], Decimal(0)) / LONG_WINDOW
    return int(1_000_000 * (short - long) / long)


def confidence_of(momentum: int) -> int:
    """50 for noise, 99 beyond doubt."""
    return 50 + min(49, 49 * abs(momentum) // _CERTAIN)


def decide(
    momentum: int, held: OpenPosition | None, pnl_pct: Decimal, stop: Decimal = STOP_LOSS_PCT
) -> tuple[Action, str]:
    """What to do, and why."""
    direction = Action.HOLD
    if abs(momentum) > _NOISE:
        direction = Action.BUY if momentum > 0 else Action.SELL
    seen = f"momentum {momentum / 10_000:+.3f} %"
    if held is None:
        if direction is Action.HOLD:
            return Action.HOLD, f"{seen} is noise"
        return direction, f"{seen}: follow it"
    closing = Action.SELL if held.side is Side.LONG else Action.BUY
    if pnl_pct <= stop:
        return closing, f"{held.side} at {pnl_pct} % is past the stop of {stop} %"
    if direction is closing:
        return closing, f"{seen} turned against the {held.side}"
    return Action.HOLD, f"{seen}: keep the {held.side}"
