"""Tests of hub.core.state."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hub.core.ring import Ring
from hub.core.state import State, TableState, ValueState, state_of
from hub.protocol.reading import ChannelReading
from hub.protocol.streams import Kind
from tests.core.model_channel import ModelChannel

KEYS = st.sampled_from("abcd")
ROWS = st.dictionaries(KEYS, st.sampled_from((b"1", b"2")), max_size=3)


def ring_of(channel: ModelChannel, max_entries: int = 100) -> Ring:
    """A ring that holds a channel's newest entries."""
    ring = Ring(max_entries=max_entries, max_bytes=100_000, min_entries=1)
    for entry in channel.history:
        ring.append(entry)
    return ring


def shown(state: State) -> Any:
    """A snapshot's data."""
    return json.loads(state.snapshot())


def test_a_value_is_its_newest_data() -> None:
    """However far behind somebody is, the newest value is all there is to say."""
    channel = ModelChannel(Kind.VALUE)
    state = ValueState(b'"1"')
    state.apply(channel.put(b'"2"'))
    assert state.snapshot() == state.since(0) == b'"2"'


def test_a_value_without_sound_data_is_null() -> None:
    """A channel that is empty, or was poisoned, shows nothing."""
    assert ValueState(None).snapshot() == b"null"
    assert ValueState(b'"NaN"').snapshot() == b"null"


@given(
    changes=st.lists(st.tuples(ROWS, st.sets(KEYS, max_size=2)), max_size=12),
    read_at=st.integers(0, 12),
    max_entries=st.integers(1, 6),
)
def test_a_table_says_what_changed_since(
    changes: list[tuple[dict[str, bytes], set[str]]], read_at: int, max_entries: int
) -> None:
    """Whoever knows the rows at a seq that the ring reaches, or knows none as at the start, and
    takes the update since then, knows the rows; for anybody else there is no such update."""
    channel = ModelChannel(Kind.TABLE)
    ring, rows, state = ring_of(channel), [channel.visible], TableState({}, ring_of(channel))
    for seq, (upsert, delete) in enumerate(changes, 1):
        entry = channel.patch(upsert, tuple(delete - upsert.keys()))
        rows.append(channel.visible)
        if seq == read_at:
            ring = ring_of(channel, max_entries)
            state = TableState(dict(channel.read(None).rows), ring)
        elif seq > read_at:
            ring.append(entry)
            state.apply(entry)
    if len(changes) < read_at:
        return
    assert shown(state)["rows"] == channel.visible
    for seq, before in enumerate(rows):
        update = state.since(seq)
        assert (update is None) is (0 < seq < ring.floor_seq)
        if update is not None:
            change = json.loads(update)
            before.update(change["upsert"])
            for key in change["delete"]:
                before.pop(key, None)
            assert before == channel.visible


def test_a_table_says_no_more_than_changed() -> None:
    """A row that is as it was at a seq is in no update since."""
    channel = ModelChannel(Kind.TABLE)
    channel.patch({"a": b"1", "b": b"1"})
    channel.patch({"b": b"2"}, ("c",))
    update = TableState(dict(channel.read(None).rows), ring_of(channel)).since(1)
    assert update == b'{"upsert":{"b":2},"delete":["c"]}'


def test_rows_that_the_state_lacks_are_deleted() -> None:
    """A row that was spoiled in Redis by hand is shown to nobody, and taken from who had it."""
    channel = ModelChannel(Kind.TABLE)
    channel.patch({"c": b"1"})
    channel.patch({"a": b"1", "b": b"1"})
    state = TableState({"a": b'"NaN"', "b": b"1", "c": b"1"}, ring_of(channel))
    assert shown(state) == {"rows": {"b": 1, "c": 1}}
    assert state.since(1) == b'{"upsert":{"b":1},"delete":["a"]}'


def test_a_log_shows_its_newest_entries() -> None:
    """A log's snapshot is the end of its history; one update can't stand for several entries."""
    channel = ModelChannel(Kind.LOG)
    for data in (b"1", b"2", b"3"):
        channel.put(data)
    state = state_of(channel.read(None), Kind.LOG, 2, ring_of(channel))
    state.apply(channel.history[-1])
    assert [entry["data"] for entry in shown(state)["entries"]] == [2, 3]
    assert state.since(2) is None


def test_each_kind_has_its_state() -> None:
    """An empty channel shows null, no rows, or no entries."""
    ring = Ring(max_entries=1, max_bytes=1, min_entries=1)
    empty = ChannelReading.empty("portfolio")
    snapshots = {kind: shown(state_of(empty, kind, 50, ring)) for kind in Kind}
    assert snapshots == {Kind.VALUE: None, Kind.TABLE: {"rows": {}}, Kind.LOG: {"entries": []}}
