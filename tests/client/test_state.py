"""A channel's state, folded from frames."""

from __future__ import annotations

from typing import Any

import msgspec

from hub.client.frames import Cause, Frame, Reset, decode_frame
from hub.client.state import Entry, LogState, TableState, ValueState, state_of
from hub.protocol import frames
from hub.protocol.envelope import Foreign
from hub.protocol.position import Position
from hub.protocol.streams import Kind
from tests.support.fakehub import Tape

RESET = Reset(channel="c", cause=Cause.MISSED, last=Position("e1", 1, "t"))
FOREIGN = frames.foreign("c", Foreign("message", b'{"upsert":{"x":1},"delete":[]}'), 1)


def read(text: bytes) -> Frame:
    """The frame of a text that carries data."""
    frame: Any = decode_frame(text)
    return frame  # type: ignore[no-any-return]


def test_value_is_the_newest() -> None:
    """A value's state is the last data, of a snapshot or of an update."""
    tape, state = Tape("c"), ValueState()
    assert state.value is None
    state.apply(read(tape.snapshot({"balance": "1"})))
    assert state.value == {"balance": "1"}
    state.apply(read(tape.write({"balance": "2"})))
    state.apply(RESET)
    state.apply(read(FOREIGN))
    assert state.value == {"balance": "2"}


def test_table_takes_rows_and_gives_them_up() -> None:
    """A table's rows are set, changed and deleted by key; a snapshot replaces all of them."""
    tape, state = Tape("c"), TableState()
    state.apply(read(tape.snapshot({"rows": {"a": 1, "b": 2}})))
    state.apply(read(tape.write({"upsert": {"b": 3, "c": 4}, "delete": ["a", "never"]})))
    state.apply(RESET)
    state.apply(read(FOREIGN))
    assert state.rows == {"b": 3, "c": 4}
    state.apply(read(tape.snapshot({"rows": {}})))
    assert state.rows == {}


def test_log_keeps_the_newest_entries() -> None:
    """A log's state is its newest entries, in order and bounded."""
    state = LogState(history=2)
    entries = [{"seq": 7, "event": "made", "ts": 5, "data": "x"}]
    data = msgspec.json.encode({"entries": entries})
    state.apply(read(frames.snapshot("c", Position("e1", 7, "ab"), 5, data)))
    assert list(state.entries) == [Entry(7, "made", 5, "x")]
    tape = Tape("c")
    tape.position = Position("e1", 7, "ab")
    state.apply(read(tape.write("y")))
    state.apply(RESET)
    state.apply(read(tape.write("z")))
    state.apply(read(FOREIGN))
    assert [entry.seq for entry in state.entries] == [8, 9]


def test_state_follows_the_kind() -> None:
    """Each kind has its state."""
    types = [type(state_of(kind)) for kind in (Kind.VALUE, Kind.TABLE, Kind.LOG)]
    assert types == [ValueState, TableState, LogState]
