"""The shapes of old dashboards, of whatever was published."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.server.legacy import shapes
from hub.server.legacy.shapes import decode, encode, number
from producers import events
from producers.encoding import encode as published
from producers.events import Alert, OodaState, Payload, ProcessState
from tests.server.legacy.samples import (
    DECISION,
    OLD_DECISION,
    OLD_PORTFOLIO,
    OLD_POSITION,
    PORTFOLIO,
    POSITION,
    STATUS,
    changed,
)

TS = 1_700_000_000_123_456
ISO = "2023-11-14T22:13:20.123456Z"


def as_published(payload: object) -> Any:
    """What a channel carries of a payload."""
    return decode(published(payload))


def as_read(shape: object) -> Any:
    """What a dashboard reads of a shape."""
    return json.loads(encode(shape))


# Numbers


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("10000.00", b"10000.00"),
        ("-0.10", b"-0.10"),
        ("0", b"0"),
        ("9007199254740993.000000001", b"9007199254740993.000000001"),
        ("+1.5", b"1.5"),
        (".5", b"0.5"),
        ("007", b"7"),
        ("1e3", b"1E+3"),
        ("1.0E-7", b"1.0E-7"),
    ],
)
def test_a_number_keeps_its_digits(text: str, literal: bytes) -> None:
    """What is text in a channel is a literal of JSON, with nothing rounded."""
    assert encode(number(text)) == literal
    assert Decimal(literal.decode()) == Decimal(text)


@pytest.mark.parametrize(
    "value",
    ["NaN", "Infinity", "-inf", "1e400", "1e999999", "", " 1", "1_000", "0x10", "\u0661", "1,5",
     "-", True, None, [], {}],
)  # fmt: skip
def test_what_is_no_number_is_none(value: object) -> None:
    """A wrong number on a screen is worse than none; 1e400 is Infinity to JavaScript."""
    assert number(value) is None


@given(st.decimals(allow_nan=False, allow_infinity=False) | st.integers())
def test_any_number_survives(value: Decimal | int) -> None:
    """Within what JSON readers hold every number is read as it was published."""
    found = number(str(value))
    if found is None:
        assert abs(Decimal(value).adjusted()) >= 308
    else:
        assert found == decode(encode(found)) == value


def test_money_is_known_by_the_names_of_the_payloads() -> None:
    """Every field of a payload that holds money becomes a number in events too; but what a rule
    measured, whose names are anybody's and which old dashboards know nothing of."""
    money = {
        field.name
        for payload in vars(events).values()
        if isinstance(payload, type) and issubclass(payload, Payload) and payload is not Alert
        for field in msgspec.structs.fields(payload)
        if field.type in (Decimal, Decimal | None)
    }
    assert money == shapes.MONEY


# States


def test_payloads_in_their_shapes() -> None:
    """What producers publish, as old dashboards read it."""
    assert as_read(shapes.portfolio(as_published(PORTFOLIO))) == OLD_PORTFOLIO
    assert as_read(shapes.position("p-1", as_published(POSITION))) == OLD_POSITION
    assert as_read(shapes.decision(as_published(DECISION), TS)) == OLD_DECISION


def test_what_is_missing_is_taken_from_elsewhere() -> None:
    """A row without an id has its key, a decision without a time that of its publish; what was
    carried out is looked for where decision files have it."""
    assert shapes.position("k", {})["id"] == "k"
    found = shapes.decision({"id": "d"}, TS)
    assert (found["timestamp"], found["execution_result"]) == (ISO, None)
    result = {"order_id": "o-1", "status": "filled", "price": "1.50"}
    for place in ("extra", "metadata"):
        found = shapes.decision({"id": "d", place: {"execution_result": result}}, TS)
        assert as_read(found["execution_result"]) == {**result, "price": 1.5}


@pytest.mark.parametrize(
    ("state", "ooda", "expected"),
    [
        ("STARTING", "IDLE", ("starting", None, "transitioning", False)),
        ("RUNNING", "IDLE", ("running", "IDLE", "ready", True)),
        ("RUNNING", "EXECUTION", ("running", "EXECUTION", "active", True)),
        ("PAUSED", "IDLE", ("running", "IDLE", "ready", False)),
        ("STOPPED", "IDLE", ("stopped", None, "offline", False)),
        ("FAILED", "IDLE", ("error", None, "error", False)),
    ],
)
def test_the_states_of_an_agent(state: str, ooda: str, expected: tuple[object, ...]) -> None:
    """Each state of a process has one of the old names; a paused agent does not trade."""
    status = changed(STATUS, state=ProcessState(state), ooda_state=OodaState(ooda))
    found = shapes.agent_status(as_published(status))
    names = ("state", "agent_ooda_state", "unified_status", "is_operational")
    assert tuple(found[name] for name in names) == expected
    assert found["config"]["paused"] is (state == "PAUSED")
    assert found["status_description"]


def test_every_state_of_a_process_has_a_name() -> None:
    """A state that this table does not know is an error, and so would be a healthy agent."""
    assert set(shapes._STATES) == set(ProcessState)
    unknown = shapes.agent_status({"state": "DANCING"})
    assert (unknown["state"], unknown["unified_status"]) == ("error", "error")


def test_a_paused_agent_is_told_so_however_it_is_said() -> None:
    """By the field alone too."""
    found = shapes.agent_status(as_published(changed(STATUS, paused=True)))
    assert found["config"]["paused"] is True
    assert (found["unified_status"], found["is_operational"]) == ("ready", False)


def test_the_configuration_of_an_agent() -> None:
    """What an agent publishes of it is shown; nothing is made up."""
    config = {"asset_pairs": ["BTCUSD", 7, "ETHUSD"], "autonomous": False}
    found = shapes.agent_status({"state": "RUNNING", "config": config})["config"]
    assert found == {"asset_pairs": ["BTCUSD", "ETHUSD"], "autonomous": False, "paused": False}


def test_the_profit_of_the_day_where_somebody_publishes_it() -> None:
    """It is a field of the account that not every producer has."""
    account = {"equity": "1.50", "daily_pnl": "-0.25", "positions_count": 2}
    found = as_read(shapes.agent_status({"state": "RUNNING"}, account=account))
    assert (found["portfolio_value"], found["daily_pnl"]) == (1.5, -0.25)
    assert found["active_positions"] == 2


# Events


def test_names_that_old_dashboards_look_for() -> None:
    """They stand beside what was published, and take the place of nothing."""
    step = {"from_state": "IDLE", "to_state": "PERCEPTION"}
    found = as_read(shapes.happened("state_transition", step, TS))
    assert found == {**step, "from": "IDLE", "to": "PERCEPTION", "timestamp": 1700000000.123456}
    trade = {"action": "BUY", "price": "1.50", "size": "2", "id": "7"}
    found = as_read(shapes.happened("trade_executed", trade, TS))
    assert found.items() >= {"side": "BUY", "entry_price": 1.5, "size": 2, "id": "7"}.items()
    kept = {"from": "x", "to": "y", "timestamp": 1, "message": "m", "side": "LONG"}
    for event in ("state_transition", "trade_executed", "error"):
        assert as_read(shapes.happened(event, kept, TS)).items() >= kept.items()
    assert shapes.happened("error", {}, TS)["message"]


def test_only_known_fields_become_numbers() -> None:
    """An id of digits stays text, at any depth."""
    data = {"id": "0012", "legs": [{"price": "1.10", "order": "7"}], "price": "no"}
    found = as_read(shapes.happened("other", data, TS))
    assert found["id"] == "0012"
    assert found["legs"] == [{"price": 1.1, "order": "7"}]
    assert found["price"] is None


NAMES = sorted(
    shapes.MONEY | {"id", "state", "ooda_state", "config", "totals", "components", "confidence",
                    "asset_pairs", "circuit_breakers", "extra", "metadata", "execution_result",
                    "trades", "paused", "timestamp", "side", "positions_count", "rows", "event",
                    "data"}
)  # fmt: skip
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(
        allow_nan=False,
        allow_infinity=False,
        min_value=Decimal("-1e300"),
        max_value=Decimal("1e300"),
    )
    | st.sampled_from(["NaN", "1.50", "RUNNING", "IDLE", "LONG", "", "\u00e9"])
    | st.text(max_size=5)
)
anything: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=12,
)
EVENTS = ["decision_made", "decision_updated", "position_opened", "position_closed",
          "state_transition", "trade_executed", "error", "alert", "x"]  # fmt: skip


@given(anything, anything, st.sampled_from(EVENTS))
def test_nothing_that_was_published_breaks_a_shape(data: Any, other: Any, event: str) -> None:
    """Whatever a producer writes, a fan-out goes on and sends JSON that every reader takes."""
    for shape in (
        shapes.portfolio(data),
        shapes.position("k", data),
        shapes.agent_status(data, account=other, decided=shapes.decision(other, TS)),
        shapes.health(data, timestamp=ISO, portfolio_balance=other),
        shapes.happened(event, data, TS),
    ):
        text = encode(shape)
        assert json.loads(text, parse_constant=pytest.fail) is not Ellipsis
