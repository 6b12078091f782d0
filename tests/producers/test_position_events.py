"""producers/position_events.py: what happened between two lists."""

from __future__ import annotations

from decimal import Decimal

from producers.encoding import encode
from producers.events import Event, TradingPosition
from producers.position_events import position_events
from tests.producers.payloads import position


def rows(*positions: TradingPosition) -> dict[str, bytes]:
    return {each.id: encode(each) for each in positions}


def events(before: dict[str, bytes], after: dict[str, bytes]) -> list[tuple[Event, str]]:
    return [(each.event, each.position_id) for each in position_events(before, after)]


def test_opened_and_closed() -> None:
    """A new row is opened, a missing one closed, with the row as it was last."""
    before, after = rows(position("a", size=Decimal(3))), rows(position("b"))
    closed, opened = position_events(before, after)
    assert (closed.event, closed.position_id) == (Event.POSITION_CLOSED, "a")
    assert closed.row["size"] == "3"
    assert (opened.event, opened.position_id) == (Event.POSITION_OPENED, "b")


def test_marks_are_no_update() -> None:
    """What the market moves is no event of the position."""
    moved = position(
        "a",
        current_price=Decimal(101),
        unrealized_pnl=Decimal("0.5"),
        unrealized_pnl_pct=Decimal(1),
    )
    assert events(rows(position("a")), rows(moved)) == []


def test_updates() -> None:
    """Anything else that changed is."""
    changed = position("a", size=Decimal(1))
    assert events(rows(position("a")), rows(changed)) == [(Event.POSITION_UPDATED, "a")]


def test_same_list() -> None:
    """The same list again is no event, whatever its rows are."""
    strange = {"a": b'"not a position"'}
    assert events(strange, strange) == []
    assert events(strange, {"a": b"[]"}) == [(Event.POSITION_UPDATED, "a")]
