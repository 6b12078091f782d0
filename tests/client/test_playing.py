"""What of a recording is published, and in which order."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from hub.client import Cause
from hub.client.playing import Act, Cue, Cues, LeftOut, act_of, spell_change
from hub.client.recording import RecordingError, Reset, Row, Snapshot, Update
from hub.protocol.errors import PayloadError
from hub.protocol.position import Position
from hub.protocol.publication import AppendEntry, PatchRows, ReplaceRows, SetValue, Touch
from hub.protocol.streams import Kind


def snapshot(
    channel: str, kind: Kind, seq: int, ts: int, data: bytes, epoch: str = "e"
) -> Snapshot:
    return Snapshot(at=0, channel=channel, kind=kind, epoch=epoch, seq=seq, tag="", ts=ts,
                    data=msgspec.Raw(data))  # fmt: skip


def update(channel: str, seq: int | None, ts: int, data: bytes) -> Update:
    return Update(at=0, channel=channel, event=f"e{ts}", ts=ts, epoch="e", seq=seq,
                  data=msgspec.Raw(data))  # fmt: skip


def played(rows: Sequence[Row]) -> list[Act]:
    """What a recording publishes, in its own order."""
    cues = Cues()
    return [act_of(cue, row) for at, row in enumerate(rows) for cue in cues.take(row, at)]


def brief(acts: Sequence[Act]) -> list[tuple[int, str, bytes]]:
    """Number, event and data."""
    return [(act.cue.n, act.event, act.data) for act in acts]


def test_a_value_or_table_begins_with_its_state() -> None:
    """An empty table too, as the other one may not be empty; an empty value is nothing."""
    rows: list[Row] = [
        snapshot("v", Kind.VALUE, 3, 30, b'{"a":1.10}'),
        update("v", 4, 40, b"2"),
        snapshot("t", Kind.TABLE, 0, 0, b'{"rows":{}}'),
        snapshot("w", Kind.VALUE, 0, 0, b"null"),
        update("w", 1, 50, b"1"),
    ]
    acts = played(rows)
    assert brief(acts) == [
        (1, "snapshot", b'{"a":1.10}'), (2, "e40", b"2"), (1, "snapshot", b'{"rows":{}}'),
        (1, "e50", b"1"),
    ]  # fmt: skip
    assert [act.cue.whole for act in acts] == [True, False, True, False]


def test_a_log_begins_with_its_first_change() -> None:
    """Of a later snapshot the entries are played that were not recorded before."""
    entries = b'{"entries":[%b]}'
    entry = b'{"seq":%d,"event":"x","ts":%d,"data":%d}'
    rows: list[Row] = [
        snapshot("l", Kind.LOG, 1, 10, entries % (entry % (1, 10, 1))),
        update("l", 2, 20, b"2"),
        Reset(at=0, channel="l", cause=Cause.HISTORY, last=Position("e", 2, "")),
        snapshot("l", Kind.LOG, 4, 40, entries % b",".join(
            entry % (n, 10 * n, n) for n in (2, 3, 4)), "f"),
        update("l", 5, 50, b"5"),
    ]  # fmt: skip
    assert brief(played(rows)) == [
        (1, "e20", b"2"),
        (2, "x", b"3"),
        (3, "x", b"4"),
        (4, "e50", b"5"),
    ]
    assert [act.cue.when for act in played(rows)] == [20, 30, 40, 50]


def test_a_clock_that_was_set_back_changes_no_order() -> None:
    """A channel's changes are never before one another."""
    rows: list[Row] = [
        snapshot("v", Kind.VALUE, 1, 30, b"1"), update("v", 2, 40, b"2"), update("v", 3, 35, b"3"),
    ]  # fmt: skip
    assert [act.cue.when for act in played(rows)] == [30, 40, 40]


def test_what_makes_no_sense_is_refused() -> None:
    """An update before any snapshot, a log that has no entries, a table that has no rows."""
    with pytest.raises(RecordingError, match="expected a snapshot"):
        played([update("v", 2, 40, b"2")])
    with pytest.raises(RecordingError, match="l #3"):
        played([snapshot("l", Kind.LOG, 3, 30, b"1")])
    (act,) = played([snapshot("t", Kind.TABLE, 3, 30, b"1")])
    with pytest.raises(PayloadError, match="data of a table"):
        act.changes(1000)
    with pytest.raises(PayloadError, match="data of a table"):
        LeftOut(act)
    (act,) = played([snapshot("v", Kind.VALUE, 3, 30, b'{"equity":"NaN"}')])
    with pytest.raises(PayloadError, match="finite"):
        act.changes(1000)


def act(kind: Kind, data: bytes, *, whole: bool = False) -> Act:
    return Act(Cue(0, "c", kind, 1, 0, whole=whole), "e", data)


def test_each_kind_changes_as_it_did() -> None:
    """Byte for byte."""
    assert act(Kind.VALUE, b'{"b": 1.10}').changes(10) == [SetValue(b'{"b": 1.10}')]
    assert act(Kind.LOG, b"1.10").changes(10) == [AppendEntry(b"1.10")]
    patch = b'{"upsert":{"a":{"size":1.10}},"delete":["b"]}'
    changed = act(Kind.TABLE, patch).changes(10)
    assert changed == [PatchRows({"a": b'{"size":1.10}'}, ("b",))]
    assert [spell_change(change) for change in changed] == [patch]
    assert spell_change(SetValue(b"1.10")) == spell_change(AppendEntry(b"1.10")) == b"1.10"
    with pytest.raises(AssertionError):
        spell_change(Touch())


def test_a_large_state_is_published_in_parts() -> None:
    """None larger than may be published, and the first takes away what is not in it."""
    data = b'{"rows":{%b}}' % b",".join(b'"k%d":%d' % (n, n) for n in range(100))
    parts = act(Kind.TABLE, data, whole=True).changes(200)
    assert isinstance(parts[0], ReplaceRows)
    assert all(isinstance(part, PatchRows) for part in parts[1:])
    assert all(len(spell_change(part)) < 250 for part in parts)
    rows: dict[str, bytes] = {}
    for part in parts:
        rows |= part.rows if isinstance(part, ReplaceRows) else part.upsert  # type: ignore[union-attr]
    assert rows == {f"k{n}": b"%d" % n for n in range(100)}
    assert act(Kind.TABLE, b'{"rows":{}}', whole=True).changes(200) == [ReplaceRows({})]


def test_what_is_left_out_is_a_state() -> None:
    """With the digits that it had, and the number of the last change in it."""
    first, *others = played([
        snapshot("t", Kind.TABLE, 3, 30, b'{"rows":{"a":1.10,"b":2}}'),
        update("t", 4, 40, b'{"upsert":{"c":3.30},"delete":["b"]}'),
        snapshot("t", Kind.TABLE, 9, 50, b'{"rows":{"a":1.10}}'),
        update("t", 10, 60, b'{"upsert":{"d":4},"delete":[]}'),
    ])  # fmt: skip
    left = LeftOut(first)
    left.add(others[0])
    assert left.act().data == b'{"rows":{"a":1.10,"c":3.30}}'
    for other in others[1:]:
        left.add(other)
    state = left.act()
    assert state.data == b'{"rows":{"a":1.10,"d":4}}'
    assert (state.cue.n, state.cue.whole, state.event) == (4, True, "snapshot")
