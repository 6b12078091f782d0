"""What is known of a channel before its first publish."""

from __future__ import annotations

from typing import Any

import pytest

from hub.protocol.streams import KNOWN, UNCONFIGURED, Kind, Stream, stream_options


def test_known_streams_have_their_kinds() -> None:
    """The streams of a trading desk are known from the start."""
    assert {name: stream.kind.value for name, stream in KNOWN.items()} == {
        "portfolio": "value",
        "positions": "table",
        "decisions": "log",
        "agent": "log",
        "status": "value",
        "health": "value",
        "alerts": "log",
        "commands": "log",
    }


def test_options_are_those_of_the_stream() -> None:
    """All channels of a stream share its options; a stream nobody configured is a log."""
    assert stream_options("positions:acct-7") is KNOWN["positions"]
    assert stream_options("elsewhere:1") is UNCONFIGURED
    assert UNCONFIGURED.kind is Kind.LOG
    mine = {"elsewhere": Stream(Kind.VALUE, deadline_seconds=1.5)}
    assert stream_options("elsewhere:1", mine).kind is Kind.VALUE


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"history": 0}, "history: expected 1 to 300"),
        ({"history": 301}, "history: expected 1 to 300"),
        ({"history": 50, "keep": 49}, r"keep: expected at least history \(50\)"),
        ({"keys_keep": 0}, "keys_keep: expected at least 1"),
        ({"deadline_seconds": 0}, "deadline_seconds: expected more than 0"),
        ({"deadline_seconds": float("nan")}, "deadline_seconds: expected more than 0"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    """An option out of its bounds says which, and what was expected."""
    with pytest.raises(ValueError, match=message):
        Stream(**options)
