"""producers/encoding.py: one spelling for equal payloads, and nothing untrue in it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.encoding import MAX_DEPTH, encode
from producers.errors import InvalidPayload
from producers.events import Action


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("0.0000001"), '"0.0000001"'),
        (Decimal("1E+2"), '"100"'),
        (Decimal("10.00"), '"10.00"'),
        (datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC), '"2025-01-02T03:04:05Z"'),
        (
            datetime(2025, 1, 2, 3, 4, 5, 60, tzinfo=timezone(timedelta(hours=2))),
            '"2025-01-02T01:04:05.000060Z"',
        ),
        (Action.BUY, '"BUY"'),
        ({"b": 1, "a": [True, None, 1.5]}, '{"a":[true,null,1.5],"b":1}'),
    ],
)
def test_spelling(value: object, text: str) -> None:
    """Money is a string in plain notation, a time is UTC with Z, keys are sorted."""
    assert encode(value).decode() == text


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (float("nan"), "payload"),
        ({"price": float("inf")}, "payload.price"),
        ([Decimal("NaN")], r"payload\[0\]"),
        (Decimal("Infinity"), "payload"),
        (Decimal("1E+100000"), "payload"),
        (datetime(2025, 1, 2), "payload"),  # noqa: DTZ001
        ({1: 2}, "payload"),
        (object(), "payload"),
        ("\ud800", "payload"),
        ({"n": 10**400}, "payload.n"),
        ({"n": 10**5000}, "payload.n"),
    ],
)
def test_refusals(value: object, where: str) -> None:
    """What JSON can't carry truthfully is refused, naming its place."""
    with pytest.raises(InvalidPayload, match=where):
        encode(value)


def test_depth() -> None:
    """Nesting is bounded, far before Python's own limit."""
    value: object = 1
    for _ in range(MAX_DEPTH + 1):
        value = [value]
    with pytest.raises(InvalidPayload, match="levels"):
        encode(value)


@given(st.decimals(min_value=-(10**12), max_value=10**12, places=9))
def test_decimals_keep_their_digits(value: Decimal) -> None:
    """A Decimal comes back with the same digits that it went with."""
    assert Decimal(json.loads(encode(value))).as_tuple() == value.as_tuple()


@given(st.dictionaries(st.text("abc"), st.integers()))
def test_equal_payloads_are_equal_bytes(payload: dict[str, int]) -> None:
    """The order in which a mapping was filled does not show."""
    assert encode(payload) == encode(dict(reversed(payload.items())))
