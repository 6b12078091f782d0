"""producers/events.py: payloads that can't hold wrong money."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from producers.encoding import encode
from producers.errors import InvalidPayload
from producers.events import (
    Action,
    Alert,
    AlertState,
    Decision,
    Portfolio,
    Severity,
    Side,
    Totals,
    TradingPosition,
)
from tests.producers.payloads import decision, portfolio, position

MONEY = [
    "balance",
    "equity",
    "available",
    "exposure",
    "realized_pnl",
    "unrealized_pnl",
]


@pytest.mark.parametrize("field", MONEY)
@pytest.mark.parametrize("bad", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_no_money_that_is_no_number(field: str, bad: str) -> None:
    """NaN and infinity are refused in every amount, naming it."""
    with pytest.raises(InvalidPayload, match=rf"Portfolio\.{field}"):
        portfolio(**{field: Decimal(bad)})


@pytest.mark.parametrize("wrong", [1, 1.5, "1"])
def test_money_is_decimal(wrong: Any) -> None:
    """A float or int in place of a Decimal is refused: on the wire it would be no string."""
    with pytest.raises(InvalidPayload, match="expected a Decimal"):
        portfolio(balance=wrong)


def test_nested_money() -> None:
    """The same holds where a payload is a part of another."""
    with pytest.raises(InvalidPayload, match=r"Totals\.realized_pnl"):
        Totals(realized_pnl=Decimal("NaN"))


def test_money_is_a_string_on_the_wire() -> None:
    """Amounts travel as strings, and read back equal."""
    sent = portfolio(balance=Decimal("10000.10"))
    assert b'"balance":"10000.10"' in encode(sent)
    assert msgspec.json.decode(encode(sent), type=Portfolio) == sent


def test_what_a_platform_does_not_say_is_null() -> None:
    """An amount that nobody knows is none; what makes an account or a position must be known."""
    unknown = portfolio(realized_pnl=None, exposure=None)
    assert b'"realized_pnl":null' in encode(unknown)
    held = position("p", current_price=None, opened_at=None)
    assert b'"current_price":null' in encode(held)
    with pytest.raises(InvalidPayload, match="expected a Decimal"):
        portfolio(equity=None)
    with pytest.raises(InvalidPayload, match="expected a Decimal"):
        position("p", entry_price=None)


def test_enums_and_times_on_the_wire() -> None:
    """Sides travel by name, times in UTC, and a position reads back equal."""
    sent = position("p1", side=Side.SHORT)
    assert b'"side":"SHORT"' in encode(sent)
    assert b'"opened_at":"2025-01-02T03:04:05Z"' in encode(sent)
    assert msgspec.json.decode(encode(sent), type=TradingPosition) == sent


def test_times_have_a_zone() -> None:
    """A time without a zone is refused: nobody could say when that was."""
    with pytest.raises(InvalidPayload, match="opened_at: expected a time with a zone"):
        position("p1", opened_at=datetime(2025, 1, 2))  # noqa: DTZ001


def test_names_are_of_those_that_there_are() -> None:
    """A side or a mode that nobody knows is refused; one that is known may be a plain string."""
    assert position("p1", side="SHORT").side == Side.SHORT
    with pytest.raises(InvalidPayload, match="side: expected one of LONG, SHORT"):
        position("p1", side="long")


@pytest.mark.parametrize("confidence", [-1, 101, float("nan")])
def test_confidence_is_a_percentage(confidence: float) -> None:
    """Confidence is 0 to 100."""
    with pytest.raises(InvalidPayload, match="0 to 100"):
        decision("d1", confidence=confidence)


def test_decisions_have_an_id() -> None:
    """A decision without an id could not be published once."""
    with pytest.raises(InvalidPayload, match="an id"):
        decision("")


def test_decision_defaults() -> None:
    """What a decision does not say is null, and it is not executed."""
    sent = Decision(id="d", asset_pair="BTCUSD", action=Action.HOLD)
    assert msgspec.json.decode(encode(sent)) == {
        "id": "d",
        "asset_pair": "BTCUSD",
        "action": "HOLD",
        "confidence": None,
        "reasoning": None,
        "entry_price": None,
        "size": None,
        "executed": False,
        "provider": None,
        "timestamp": None,
        "metadata": {},
        "extra": {},
    }


def test_payloads_are_frozen() -> None:
    """A payload that was checked can't be changed afterwards."""
    sent = decision("d", timestamp=datetime(2025, 1, 1, tzinfo=UTC))
    with pytest.raises(AttributeError):
        sent.executed = True  # type: ignore[misc]


def test_what_a_rule_says_of_an_alert() -> None:
    """An alert says whether it begins or ends where a rule made it, and reads back equal."""
    said = Alert(severity=Severity.INFO, title="t")
    assert b'"state":null' in encode(said)
    fired = Alert(severity=Severity.INFO, title="t", state=AlertState.FIRING, value=Decimal("5.0"))
    assert b'"value":"5.0"' in encode(fired)
    assert [msgspec.json.decode(encode(each), type=Alert) for each in (said, fired)] == [
        said,
        fired,
    ]
    wrong: Any = "burning"
    with pytest.raises(InvalidPayload, match=r"Alert\.state: expected one of firing, resolved"):
        Alert(severity=Severity.INFO, title="t", state=wrong)
