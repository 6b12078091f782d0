"""producers/sources/alerts/rules.py: what the file may say, and what is told where it is wrong."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from hub.protocol.streams import KNOWN
from producers.events import Severity
from producers.sources.alerts.conditions import Condition
from producers.sources.alerts.rules import Drawdown, Field, Rule, hold_us, read_rules

DRAWDOWN: dict[str, Any] = {"watch": "drawdown", "channel": "portfolio", "limit": 5}
FIELD: dict[str, Any] = {
    "watch": "field", "channel": "portfolio", "field": "available", "op": "<", "limit": 1000,
}  # fmt: skip
EVENTS: dict[str, Any] = {"watch": "events", "channel": "agent", "events": ["error"]}
STALENESS: dict[str, Any] = {"watch": "staleness", "channel": "portfolio", "seconds": 30}


def read(**given: Any) -> Rule:
    """The one rule that these fields make."""
    return read_rules({"mine": given}, "alerts", KNOWN)["mine"]


def test_what_is_given_and_what_is_not() -> None:
    """A rule needs what it watches and its limit; the rest has defaults."""
    rule = read(**DRAWDOWN)
    assert rule == Drawdown(channel="portfolio", limit=Decimal(5))
    assert (rule.severity, rule.sinks, hold_us(rule)) == (Severity.WARNING, None, 0)
    assert rule.condition == Condition(">=", Decimal(5))
    assert hold_us(read(**STALENESS)) == 30_000_000


@pytest.mark.parametrize("limit", [0.1, "0.1"])
def test_a_fraction_is_exact(limit: object) -> None:
    """What the file spells 0.1 is a tenth, and not the float nearest to it."""
    rule = read(**{**FIELD, "limit": limit})
    assert isinstance(rule, Field)
    assert rule.condition.limit == Decimal("0.1")
    assert read(**{**DRAWDOWN, "limit": limit}).condition.limit == Decimal("0.1")


def test_a_field_can_be_text_or_truth() -> None:
    """A state is compared by its name."""
    status = {**FIELD, "channel": "status", "op": "=="}
    assert read(**{**status, "limit": "FAILED"}).condition.limit == "FAILED"
    assert read(**{**status, "limit": True}).condition.limit is True


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({**DRAWDOWN, "watch": "drawdon"}, "watch: expected one of drawdown, .*, got 'drawdon'"),
        ({"channel": "portfolio"}, "watch: expected one of .*, got None"),
        ({**DRAWDOWN, "limt": 5}, "unknown field `limt`"),
        ({"watch": "drawdown", "channel": "portfolio"}, "missing required field `limit`"),
        ({**DRAWDOWN, "limit": "five"}, r"decimal.*limit"),
        ({**DRAWDOWN, "limit": "NaN"}, "limit: expected a finite number, got NaN"),
        ({**FIELD, "limit": 10**80}, "limit"),
        ({"watch": "exposure", "channel": "portfolio", "limit": "1e99"}, "a finite number, got"),
        ({**DRAWDOWN, "limit": 0}, "limit: expected more than 0 and at most 100, got 0"),
        ({**DRAWDOWN, "clear": 6}, "clear: expected at most the limit, 5, got 6"),
        ({**FIELD, "clear": 999}, "clear: expected at least the limit, 1000, got 999"),
        ({**FIELD, "op": "=<"}, "op: expected one of > >= < <= == !=, got '=<'"),
        ({**FIELD, "limit": "x"}, "limit: expected a number for <, got 'x'"),
        ({**FIELD, "op": "==", "clear": 3}, "clear: expected none with ==, got 3"),
        ({**FIELD, "limit": 1000.1234567890123}, "more of them go between quotes"),
        ({**FIELD, "channel": "agent"}, "expected a table or value, got agent, which is a log"),
        ({**FIELD, "channel": "Portfolio"}, "expected a channel pattern"),
        ({**FIELD, "channel": "*"}, r"expected the name of a stream, got \*"),
        ({**EVENTS, "channel": "alerts"}, "expected another than alerts"),
        ({**EVENTS, "channel": "portfolio"}, "expected a log, got portfolio, which is a value"),
        ({**EVENTS, "events": []}, "length >= 1"),
        ({**EVENTS, "events": ["no good"]}, "expected an event name"),
        ({**EVENTS, "count": 0}, ">= 1"),
        ({**STALENESS, "for_seconds": 3}, "for_seconds: expected none, since seconds says it"),
        ({**DRAWDOWN, "severity": "bad"}, "Invalid enum value 'bad'"),
        ({**DRAWDOWN, "repeat_seconds": 0}, ">= 1"),
        ({**DRAWDOWN, "title": "{chanel} is down"}, r"title: expected \{rule\}, .* got \{chanel\}"),
    ],
)  # fmt: skip
def test_a_bad_rule_is_told(given: dict[str, Any], told: str) -> None:
    """Which rule, what was expected and what was got."""
    with pytest.raises(ValueError, match=f"^rules.mine: .*{told}"):
        read(**given)


def test_a_name_is_a_name() -> None:
    """What stands in keys and incidents has a name without surprises."""
    with pytest.raises(ValueError, match=r"^rules\.a\|b: expected a name"):
        read_rules({"a|b": DRAWDOWN}, "alerts", KNOWN)
