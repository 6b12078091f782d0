"""A channel's current state, folded from the frames of a subscription.

Frames without data (a reset, a recovery, staleness) change nothing, and neither does a foreign
publish: it has no place in the channel's history.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple, Protocol

from hub.client.frames import Frame, Snapshot, Update
from hub.protocol.position import Position
from hub.protocol.streams import MAX_HISTORY, Kind


class State(Protocol):
    """What the three kinds have in common."""

    def apply(self, frame: Frame) -> None:
        """Take the subscription's next frame."""


class ValueState:
    """The last value; None before there is one."""

    def __init__(self) -> None:
        self.value: Any = None

    def apply(self, frame: Frame) -> None:
        match frame:
            case Snapshot() | Update(position=Position()):
                self.value = frame.data


class TableState:
    """Rows by key."""

    def __init__(self) -> None:
        self.rows: dict[str, Any] = {}

    def apply(self, frame: Frame) -> None:
        match frame:
            case Snapshot(data={"rows": rows}):
                self.rows = dict(rows)
            case Update(position=Position(), data={"upsert": upsert, "delete": delete}):
                self.rows.update(upsert)
                for key in delete:
                    self.rows.pop(key, None)


class Entry(NamedTuple):
    """One entry of a log; ts in microseconds since the epoch (UTC)."""

    seq: int
    event: str
    ts: int
    data: Any


class LogState:
    """The newest entries, at most `history`."""

    def __init__(self, history: int = MAX_HISTORY) -> None:
        self.entries: deque[Entry] = deque(maxlen=history)

    def apply(self, frame: Frame) -> None:
        match frame:
            case Snapshot(data={"entries": entries}):
                self.entries.clear()
                for each in entries:
                    entry = Entry(each["seq"], each["event"], each["ts"], each["data"])
                    self.entries.append(entry)
            case Update(position=Position() as position, event=event, ts=ts):
                self.entries.append(Entry(position.seq, event, ts, frame.data))


def state_of(kind: Kind, history: int = MAX_HISTORY) -> State:
    """An empty state for a channel of this kind; `history` bounds a log's."""
    match kind:
        case Kind.VALUE:
            return ValueState()
        case Kind.TABLE:
            return TableState()
        case Kind.LOG:
            return LogState(history)
