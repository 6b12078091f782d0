"""What is compared, and how: exact numbers, text and truth; never a float, never a guess.

A condition is met at its limit and is over at another, so that a value that trembles at the limit
does not fire again and again. Between the two nothing changes.
"""

from __future__ import annotations

import enum
import operator
import re
from collections.abc import Callable, Mapping
from decimal import Context, Decimal
from typing import Any, Final, TypeAlias

import msgspec

Value: TypeAlias = Decimal | str | bool
"""What can be compared."""

EXACT: Final = Context(prec=200)
"""Of our own: what somebody set for their thread must not round an amount."""

MAX_EXPONENT: Final = 60

_NUMBER: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
_ORDER: Final = frozenset(_COMPARE) - {"==", "!="}


class Verdict(enum.Enum):
    """What a look at a value says of a condition."""

    MET = "met"
    BETWEEN = "between"
    """Neither met nor over."""
    OVER = "over"
    UNKNOWN = "unknown"
    """There is no value to compare, or it is not known to be of now."""
    GONE = "gone"
    """What it was about is not there any more: a row that was deleted."""


class Condition(msgspec.Struct, frozen=True):
    """`value OP limit`; it is over when `value OP clear` does not hold.

    clear: None where that is the limit itself. Raises ValueError where the two contradict.
    """

    op: str
    limit: Value
    clear: Decimal | None = None

    def __post_init__(self) -> None:
        if self.op not in _COMPARE:
            raise ValueError(f"op: expected one of {' '.join(_COMPARE)}, got {self.op!r}")
        for name, given in (("limit", self.limit), ("clear", self.clear)):
            if isinstance(given, Decimal) and number(given) is None:
                raise ValueError(f"{name}: expected a finite number, got {given}")
        if self.op in _ORDER and not isinstance(self.limit, Decimal):
            raise ValueError(f"limit: expected a number for {self.op}, got {self.limit!r}")
        if self.clear is None:
            return
        if not isinstance(self.limit, Decimal) or self.op not in _ORDER:
            raise ValueError(f"clear: expected none with {self.op}, got {self.clear}")
        is_above = self.op.startswith(">")
        if self.clear > self.limit if is_above else self.clear < self.limit:
            side = "at most" if is_above else "at least"
            raise ValueError(f"clear: expected {side} the limit, {self.limit}, got {self.clear}")

    def judge(self, value: Value | None) -> Verdict:
        """What a value says."""
        if value is None or type(value) is not type(self.limit):
            return Verdict.UNKNOWN
        holds = _COMPARE[self.op]
        if holds(value, self.limit):
            return Verdict.MET
        over = self.limit if self.clear is None else self.clear
        return Verdict.BETWEEN if holds(value, over) else Verdict.OVER


def number(value: Any) -> Decimal | None:
    """A number as JSON has it, or money as it travels: as text; None for anything else, and for
    what is beyond all amounts."""
    match value:
        case bool():
            return None
        case int() if value.bit_length() <= 200:
            found = Decimal(value)
        case Decimal() if value.is_finite():
            found = value
        case str() if len(value) <= 100 and _NUMBER.fullmatch(value):
            found = Decimal(value)
        case _:
            return None
    is_amount = (
        abs(found.adjusted()) <= MAX_EXPONENT and -int(found.as_tuple().exponent) <= MAX_EXPONENT
    )
    return found if is_amount else None


def comparable(value: Any, limit: Value) -> Value | None:
    """A value as something of the limit's kind; None where it is none."""
    if isinstance(limit, Decimal):
        return number(value)
    return value if type(value) is type(limit) else None


def per_cent(part: Decimal, whole: Decimal) -> Decimal:
    """How much of the whole a part is; both finite, the whole more than 0."""
    return EXACT.divide(EXACT.multiply(part, Decimal(100)), whole)


def spelled(value: Value | None, digits: int = 8) -> str:
    """A value for people: at most so many digits after the point, none that say nothing."""
    if isinstance(value, Decimal):
        text = format(rounded(value, digits), "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, bool):
        return "true" if value else "false"
    return "unknown" if value is None else value


def rounded(value: Decimal, digits: int = 8) -> Decimal:
    """A value with at most so many digits after the point."""
    if -digits <= int(value.as_tuple().exponent):
        return value
    return value.quantize(Decimal(1).scaleb(-digits), context=EXACT)
