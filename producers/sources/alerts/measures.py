"""What a rule finds in a channel: a value to compare, or that there is none. Pure.

Money is exact; what a payload does not say, says as something else, or says of another time than
now is not known. A table is measured row by row.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec

from producers.sources.alerts.conditions import (
    EXACT,
    Value,
    comparable,
    number,
    per_cent,
    spelled,
)
from producers.sources.alerts.rules import Drawdown, Events, Exposure, Field, Rule, Window
from producers.sources.paths import look_up

SECOND_US: Final = 1_000_000
_HOURS: Final[Mapping[Window, int]] = {"hour": 1, "day": 24, "week": 7 * 24}
# The epoch began on a Thursday; weeks begin on Monday.
_MONDAY_US: Final = 4 * 24 * 3600 * SECOND_US


class Memory(msgspec.Struct, frozen=True, omit_defaults=True):
    """What has to be remembered to measure. peak: the highest of a `period`; times: of the newest
    events, in microseconds."""

    peak: Decimal | None = None
    period: int = 0
    times: tuple[int, ...] = ()


class Found(NamedTuple):
    """What was measured. value: None where it is not known; detail: the same for people."""

    value: Value | None
    detail: str


UNKNOWN: Final = Found(None, "not known")


def measure(rule: Rule, content: Any, memory: Memory, now: int) -> tuple[Found, Memory]:
    """What a value, or one row of a table, says to a rule; and what to remember of it."""
    match rule:
        case Drawdown():
            return _drawdown(rule, content, memory, now)
        case Exposure():
            return _exposure(rule, content), memory
        case Field():
            value = comparable(look_up(content, rule.field), rule.condition.limit)
            if value is None:
                return UNKNOWN, memory
            return Found(value, f"{rule.field} is {spelled(value)}"), memory
    raise AssertionError(f"{rule} does not measure a content")


def count(rule: Events, memory: Memory, now: int) -> tuple[Found, Memory]:
    """How many events there were in the time that counts, up to the rule's count."""
    begin = now - round(rule.within_seconds * SECOND_US)
    times = tuple(each for each in memory.times if each > begin)
    found = Found(Decimal(len(times)), f"{len(times)} within {rule.within_seconds:g} s")
    return found, msgspec.structs.replace(memory, times=times)


def with_event(rule: Events, memory: Memory, at: int) -> Memory:
    """Remember one more event."""
    return msgspec.structs.replace(memory, times=(*memory.times, at)[-rule.count :])


def _drawdown(rule: Drawdown, content: Any, memory: Memory, now: int) -> tuple[Found, Memory]:
    equity = number(look_up(content, rule.field))
    if equity is None:
        return UNKNOWN, memory
    period = _period(rule.window, now)
    peak = equity
    # Of a time before, where a clock went back, it counts too.
    if memory.peak is not None and memory.period >= period:
        peak, period = max(equity, memory.peak), memory.period
    memory = msgspec.structs.replace(memory, peak=peak, period=period)
    if peak <= 0:
        return UNKNOWN, memory
    below = per_cent(EXACT.subtract(peak, equity), peak)
    return Found(below, f"{rule.field} {spelled(equity)}, peak {spelled(peak)}"), memory


def _exposure(rule: Exposure, content: Any) -> Found:
    exposure = number(look_up(content, rule.field))
    if exposure is None:
        return UNKNOWN
    said = f"{rule.field} {spelled(exposure)}"
    if rule.of == "amount":
        return Found(exposure, said)
    equity = number(look_up(content, rule.equity_field))
    if equity is None or equity <= 0:
        return UNKNOWN
    return Found(per_cent(exposure, equity), f"{said}, {rule.equity_field} {spelled(equity)}")


def _period(window: Window, now: int) -> int:
    """The number of the hour, day or week in UTC that a time is in."""
    if window == "start":
        return 0
    begin = _MONDAY_US if window == "week" else 0
    return (now - begin) // (_HOURS[window] * 3600 * SECOND_US)
