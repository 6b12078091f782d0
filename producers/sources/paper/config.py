"""What of the paper agent can be changed while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from producers.errors import CommandFailed


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """min_confidence: below it no position is opened, 0 to 100. stop_loss_pct: a loss beyond it
    closes a position, below 0. equity_share: of the equity, what a position may cost."""

    min_confidence: int = 55
    stop_loss_pct: Decimal = Decimal("-1.5")
    equity_share: Decimal = Decimal("0.25")


def changed(config: Config, fields: Mapping[str, Any]) -> Config:
    """The settings with those that are named changed, all of them or none. Raises CommandFailed
    that says what was expected."""
    unknown = sorted(fields.keys() - _READ.keys())
    if unknown:
        raise CommandFailed(f"unknown setting {unknown[0]}. Known are: {', '.join(_READ)}.")
    read = {name: _READ[name](name, value) for name, value in fields.items()}
    return msgspec.structs.replace(config, **read)


def _confidence(name: str, value: Any) -> int:
    if type(value) is int and 0 <= value <= 100:
        return value
    raise CommandFailed(f"{name}: expected a whole number from 0 to 100, got {value!r:.40}")


def _stop_loss(name: str, value: Any) -> Decimal:
    number = _decimal(value)
    if number is not None and -100 <= number < 0:
        return number
    raise CommandFailed(f"{name}: expected a number from -100 to below 0, got {value!r:.40}")


def _share(name: str, value: Any) -> Decimal:
    number = _decimal(value)
    if number is not None and 0 < number <= 1:
        return number
    raise CommandFailed(f"{name}: expected a number above 0 and up to 1, got {value!r:.40}")


def _decimal(value: Any) -> Decimal | None:
    """A finite number, from a number or a string: money travels as strings."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


_READ: Final[Mapping[str, Callable[[str, Any], int | Decimal]]] = {
    "min_confidence": _confidence,
    "stop_loss_pct": _stop_loss,
    "equity_share": _share,
}
