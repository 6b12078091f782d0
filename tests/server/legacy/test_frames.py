"""What frames for old dashboards look like."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.protocol import codes
from hub.server.legacy.frames import REFUSED, close_number, encode_event, error, own


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, {"event": "e", "data": {}}),
        ({"a": 1}, {"event": "e", "data": {"a": 1}, "a": 1}),
        ({"data": 2}, {"event": "e", "data": {"data": 2}}),
        ({"event": "x", "a": 1}, {"event": "e", "data": {"event": "x", "a": 1}, "a": 1}),
        ([1], {"event": "e", "data": [1]}),
        ("text", {"event": "e", "data": "text"}),
        (None, {"event": "e", "data": None}),
    ],
)
def test_fields_are_repeated(data: Any, expected: dict[str, Any]) -> None:
    """At the top stand the fields of an object, and `event` and `data` win."""
    assert json.loads(encode_event("e", data)) == expected


@given(
    st.dictionaries(
        st.sampled_from(["event", "data", "a", 'quo"te']) | st.text(max_size=3),
        st.integers() | st.text(max_size=3) | st.none(),
        max_size=4,
    )
)
def test_no_name_occurs_twice(data: dict[str, Any]) -> None:
    """What JSON readers make of two fields of one name is up to them."""
    names: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names[:] = [name for name, _ in pairs]
        return dict(pairs)

    found = json.loads(encode_event("e", data), object_pairs_hook=note)
    assert len(names) == len(set(names))
    assert found == {**data, "event": "e", "data": data}


def test_a_frame_of_its_own_is_its_own_translation() -> None:
    """What is made for old dashboards passes the dialect as it is."""
    frame = own("pong", {})
    assert frame.translated == (frame,)
    assert json.loads(error("m", action="start").payload)["data"] == {
        "message": "m",
        "action": "start",
    }


def test_refusals_have_the_old_code() -> None:
    """Whoever may not come in, or has lost the right, is closed with the code after which the old
    dashboard asks for another token; after any other it comes back."""
    refusals = {code for code in codes.TABLE if close_number(code) == REFUSED}
    assert refusals == {codes.UNAUTHORIZED, codes.AUTH_TIMEOUT, codes.FORBIDDEN}
    others = [code for code in codes.TABLE if code not in refusals]
    assert [close_number(code) for code in others] == [code.number for code in others]
