"""Frames as lines: one JSON object each for programs, one readable line each for people."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec

from hub.client import Frame, Recovered, Reset, Snapshot, StateChanged, Update
from hub.protocol.position import Position

NO_POSITION = "live only"


def json_line(frame: Frame) -> bytes:
    """A frame as one line of JSON: as the hub sent it, or as the client announced it."""
    match frame:
        case Snapshot(text=text) | Update(text=text):
            # A foreign publisher may have broken its JSON over lines.
            return msgspec.json.format(text, indent=-1) if b"\n" in text else text
        case Reset(channel=channel, cause=cause, last=last):
            return _encode(channel, "reset", cause=cause.value, last=last)
        case Recovered(channel=channel, since=position):
            return _encode(channel, "recovered", since=position)
        case StateChanged(channel=channel, state=state, since=since):
            return _encode(channel, "channel", state=str(state), since=since)


def readable_line(frame: Frame) -> str:
    """A frame as one line: time, channel, where it stands, what happened."""
    match frame:
        case Snapshot():
            where, what = f"#{frame.position.seq}", f"snapshot {compact(frame.data)}"
        case Update():
            where = f"#{frame.position.seq}" if frame.position else NO_POSITION
            skipped = f" ({frame.skipped} skipped)" if frame.skipped else ""
            what = f"{frame.event}{skipped} {compact(frame.data)}"
        case Reset():
            where, what = _at(frame.last), f"reset: {why(frame)}; a snapshot follows"
        case Recovered():
            where, what = _at(frame.since), "recovered: what was missed follows"
        case StateChanged():
            where, what = "", f"{frame.state} since {clock(frame.since)}"
    # An empty channel's snapshot is of no time, and of now for who reads it.
    ts = (frame.ts or None) if isinstance(frame, Snapshot | Update) else None
    return printable(f"{clock(ts)} {frame.channel} {where} {what}")


def why(reset: Reset) -> str:
    """A reset's cause, as somebody would say it."""
    return {
        "history": "the channel's history was lost or forked",
        "missed": "what was missed could not be had",
    }[reset.cause.value]


def clock(ts: int | None) -> str:
    """The local time of day of microseconds since the epoch; of now where None."""
    moment = datetime.now(UTC) if ts is None else datetime.fromtimestamp(ts / 1e6, UTC)
    return moment.astimezone().strftime("%H:%M:%S")


def compact(value: Any) -> str:
    """JSON data in as few characters as it takes to read it."""
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def printable(text: str) -> str:
    """`text` without what would steer a terminal: what was published may come from anywhere."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def _at(position: Position) -> str:
    return f"#{position.seq}"


def _encode(channel: str, type: str, **fields: Any) -> bytes:
    return msgspec.json.encode({"channel": channel, "type": type, **fields})
