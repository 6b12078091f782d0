"""Frames as lines."""

from __future__ import annotations

import json

import pytest

from hub.cli.lines import compact, json_line, printable, readable_line
from hub.client import Cause, Frame, Recovered, Reset, Snapshot, StateChanged, Update
from hub.protocol.frames import ChannelState
from hub.protocol.position import Position

AT = Position("e", 7, "t7")
SNAPSHOT = Snapshot(
    channel="status",
    position=AT,
    ts=1_700_000_000_000_000,
    text=b'{"channel":"status","type":"snapshot","data":{"up":true}}',
)
UPDATE = Update(
    channel="status",
    event="status",
    position=AT,
    prev=4,
    skipped=2,
    ts=1_700_000_000_000_000,
    text=b'{"channel":"status","type":"update","data":{"price":1.10}}',
)
FOREIGN = Update(
    channel="notes", event="note", position=None, prev=None, ts=0, text=b'{\n"data": "a\\nb"\n}'
)


@pytest.mark.parametrize("frame", [SNAPSHOT, UPDATE])
def test_a_frame_of_the_hub_is_a_line_unchanged(frame: Snapshot | Update) -> None:
    """Not a digit of a price is written anew."""
    assert json_line(frame) == frame.text


def test_a_foreign_frame_over_several_lines_becomes_one() -> None:
    """Whoever reads a frame a line can rely on it."""
    assert json_line(FOREIGN) == b'{"data":"a\\nb"}'


@pytest.mark.parametrize(
    ("frame", "line"),
    [
        (
            Reset(channel="c", cause=Cause.MISSED, last=AT),
            {"type": "reset", "cause": "missed", "last": {"epoch": "e", "seq": 7, "tag": "t7"}},
        ),
        (
            Reset(channel="c", cause=Cause.HISTORY, last=AT),
            {"type": "reset", "cause": "history", "last": {"epoch": "e", "seq": 7, "tag": "t7"}},
        ),
        (
            Recovered(channel="c", since=AT),
            {"type": "recovered", "since": {"epoch": "e", "seq": 7, "tag": "t7"}},
        ),
        (
            StateChanged(channel="c", state=ChannelState.STALE, since=5),
            {"type": "channel", "state": "stale", "since": 5},
        ),
    ],
)
def test_what_the_client_announces_is_a_line_too(frame: Frame, line: dict[str, object]) -> None:
    """A program that reads the lines hears of every reset and recovery."""
    assert json.loads(json_line(frame)) == {"channel": "c", **line}


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (SNAPSHOT, ' status #7 snapshot {"up": true}'),
        (UPDATE, ' status #7 status (2 skipped) {"price": 1.1}'),
        (FOREIGN, ' notes live only note "a\\nb"'),
        (Reset(channel="c", cause=Cause.MISSED, last=AT), " c #7 reset: what was missed could not"),
        (
            Reset(channel="c", cause=Cause.HISTORY, last=AT),
            " c #7 reset: the channel's history was",
        ),
        (Recovered(channel="c", since=AT), " c #7 recovered: what was missed follows"),
        (StateChanged(channel="c", state=ChannelState.STALE, since=5), " stale since "),
    ],
)
def test_a_frame_is_readable_in_one_line(frame: Frame, said: str) -> None:
    """Time, channel, seq, event, data."""
    line = readable_line(frame)
    assert said in line
    assert line[2] == line[5] == ":"
    assert "\n" not in line


def test_an_empty_channels_snapshot_is_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no time of its own, and was not made at midnight."""
    monkeypatch.setattr("hub.cli.lines.clock", lambda ts: "now" if ts is None else "then")
    empty = Snapshot(channel="c", position=Position("", 0, ""), ts=0, text=b'{"data": null}')
    assert readable_line(empty) == "now c #0 snapshot null"


def test_what_was_published_cannot_steer_the_terminal() -> None:
    """Escape sequences come out as harmless marks, wherever they were put."""
    assert (
        printable("a\x1b[31mb\x9bc\nd")
        == "a\N{REPLACEMENT CHARACTER}[31mb\N{REPLACEMENT CHARACTER}c\N{REPLACEMENT CHARACTER}d"
    )
    assert printable("Zürich 東京 €") == "Zürich 東京 €"
    assert "\x1b" not in compact("\x1b")
