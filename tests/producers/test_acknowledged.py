"""producers/acknowledged.py: what is kept, for how long, and what shows that history was lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.protocol.payload import MAX_DATA_BYTES
from hub.protocol.position import Position
from hub.protocol.publication import (
    AppendEntry,
    Change,
    PatchRows,
    Publication,
    Receipt,
    ReplaceRows,
    SetValue,
    Touch,
)
from hub.protocol.streams import Kind
from producers import acknowledged
from producers.acknowledged import KEPT_SECONDS, Acknowledged, holds
from tests.producers.test_buffer import KINDS, ROWS, TABLE_CHANGES, apply


def publication(channel: str, change: Change, n: int = 1, **fields: int) -> Publication:
    kind = KINDS.get(type(change), Kind.VALUE)
    return Publication(channel, kind, "event", change, "p", n, **fields)


def entry(n: int) -> Publication:
    return publication("log", AppendEntry(b"%d" % n), n)


def at(seq: int, epoch: str = "e", tag: str = "") -> Position:
    return Position(epoch, seq, tag or f"{seq:08x}")


def numbers(memory: Acknowledged, channel: str = "log") -> list[int]:
    return [each.publication.n for each in memory.entries([channel])[channel]]


def state(memory: Acknowledged, channel: str) -> list[Change]:
    return [each.change for each in memory.state(channel)]


def test_entries_are_kept_for_a_while() -> None:
    """Those of so many seconds before the last one, however long ago that was."""
    memory = Acknowledged()
    for n in range(10):
        assert memory.note(entry(n), Receipt(at(n + 1)), now=KEPT_SECONDS * n / 5)
    memory.break_off(["log"])
    assert numbers(memory) == [4, 5, 6, 7, 8, 9]


def test_entries_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten where they are too many bytes."""
    monkeypatch.setattr(acknowledged, "KEPT_BYTES", 5_000)
    memory = Acknowledged()
    for n in range(100):
        memory.note(entry(n), Receipt(at(n + 1)), now=0.0)
    memory.break_off(["log"])
    assert numbers(memory) == list(range(91, 100))


def test_entries_that_were_there_are_not_kept() -> None:
    """An entry that equals an older one stored nothing that could be lost by itself."""
    memory = Acknowledged()
    memory.note(entry(1), Receipt(at(1)), now=0.0)
    assert memory.note(entry(2), Receipt(at(1), unchanged=True), now=0.0)
    memory.break_off(["log"])
    assert numbers(memory) == [1]


def test_entries_of_the_history_that_goes_on_are_not_lost() -> None:
    """Where an answer shows that history was lost, what that answer is for is not."""
    memory = Acknowledged()
    for n in (1, 2, 3):
        memory.note(entry(n), Receipt(at(n)), now=0.0)
    assert not memory.note(entry(4), Receipt(at(1, epoch="f")), now=0.0)
    assert memory.note(entry(5), Receipt(at(2, epoch="f")), now=0.0)
    assert numbers(memory) == [1, 2, 3]
    assert memory.heads() == {"log": at(2, epoch="f")}


def test_entries_that_are_published_again_are_forgotten() -> None:
    """Until they are acknowledged anew."""
    memory = Acknowledged()
    for n in (1, 2, 3):
        memory.note(entry(n), Receipt(at(n)), now=0.0)
    memory.break_off(["log"])
    memory.forget(memory.entries(["log"])["log"][1:])
    assert numbers(memory) == [1]
    assert memory.heads() == {}
    assert memory.note(entry(2), Receipt(at(2, tag="other")), now=0.0)
    assert numbers(memory) == [1]
    memory.break_off(["log"])
    assert numbers(memory) == [1, 2]


@pytest.mark.parametrize(
    ("change", "receipt", "goes_on"),
    [
        (AppendEntry(b"1"), Receipt(at(11)), True),
        (AppendEntry(b"1"), Receipt(at(15)), True),
        (AppendEntry(b"1"), Receipt(at(10)), False),
        (AppendEntry(b"1"), Receipt(at(5)), False),
        (AppendEntry(b"1"), Receipt(at(11, epoch="f")), False),
        (AppendEntry(b"1"), Receipt(at(5), duplicate=True), True),
        (AppendEntry(b"1"), Receipt(at(5), unchanged=True), True),
        (AppendEntry(b"1"), Receipt(at(5, epoch="f"), unchanged=True), False),
        (SetValue(b"1"), Receipt(at(10), unchanged=True), True),
        (SetValue(b"1"), Receipt(at(10, tag="other"), unchanged=True), False),
        (SetValue(b"1"), Receipt(at(9), unchanged=True), False),
        (Touch(), Receipt(at(12), unchanged=True), True),
        (Touch(), Receipt(at(9), unchanged=True), False),
    ],
)
def test_answers_that_show_a_lost_history(change: Change, receipt: Receipt, goes_on: bool) -> None:
    """After an acknowledged position, what may be answered and what may not."""
    memory = Acknowledged()
    memory.note(publication("c", change), Receipt(at(10)), now=0.0)
    assert memory.note(publication("c", change), receipt, now=0.0) is goes_on


HEAD = at(10)


@pytest.mark.parametrize(
    ("position", "head", "found", "held"),
    [
        (at(10), HEAD, at(10), True),
        (at(5), HEAD, at(5), True),
        (at(5), HEAD, at(5, tag="other"), False),
        (at(5), HEAD, None, True),
        (at(10), HEAD, None, True),
        (at(10, tag="other"), HEAD, None, False),
        (at(11), HEAD, None, False),
        (at(5), at(10, epoch="f"), at(5), False),
        (at(5), None, None, False),
    ],
)
def test_what_a_channel_still_has(
    position: Position, head: Position | None, found: Position | None, held: bool
) -> None:
    """Told by its head and by what stands at the position; a log that was trimmed lost nothing."""
    assert holds(position, head, found) is held


def test_the_state_of_a_value() -> None:
    """The last value, under its event, with the channel's lease."""
    memory = Acknowledged()
    memory.note(publication("c", SetValue(b"1"), lease_ms=500), Receipt(at(1)), now=0.0)
    memory.note(publication("c", SetValue(b"2")), Receipt(at(2)), now=0.0)
    memory.note(publication("c", Touch()), Receipt(at(2), unchanged=True), now=0.0)
    [last] = memory.state("c")
    assert (last.change, last.event, last.lease_ms) == (SetValue(b"2"), "event", 500)


def test_the_state_of_a_log() -> None:
    """A log has none."""
    memory = Acknowledged()
    memory.note(entry(1), Receipt(at(1)), now=0.0)
    assert state(memory, "log") == []


def test_rows_of_which_others_may_have_more() -> None:
    """Who never published a whole table publishes what it knows of it: its rows, and those that it
    deleted last."""
    memory = Acknowledged()
    for n, change in enumerate(
        (
            PatchRows({"a": b"1", "b": b"2"}),
            PatchRows({"c": b"3"}, ("a", "x")),
            PatchRows({"x": b"4"}),
        )
    ):
        memory.note(publication("t", change), Receipt(at(n + 1)), now=0.0)
    assert state(memory, "t") == [PatchRows({"b": b"2", "c": b"3", "x": b"4"}, ("a",))]


def test_deleted_rows_are_bounded() -> None:
    """Rows that come and go for months leave no trace."""
    memory = Acknowledged()
    for n in range(3_000):
        memory.note(publication("t", PatchRows({}, (str(n),))), Receipt(at(n + 1)), now=0.0)
    [change] = state(memory, "t")
    assert isinstance(change, PatchRows)
    assert change.delete == tuple(str(n) for n in range(2_000, 3_000))


def test_a_table_too_large_for_one_publish() -> None:
    """It is published in parts that each are small enough."""
    rows = {f"{n:04}": b"x" * 1_000 for n in range(600)}
    memory = Acknowledged()
    for n in range(0, 600, 100):
        part = {f"{m:04}": rows[f"{m:04}"] for m in range(n, n + 100)}
        change: Change = PatchRows(part) if n else ReplaceRows(part)
        memory.note(publication("t", change), Receipt(at(n + 1)), now=0.0)
    changes = state(memory, "t")
    assert isinstance(changes[0], ReplaceRows)
    built: dict[str, bytes] = {"stale": b"0"}
    for change in changes:
        built = apply(built, change)
        sent = change.rows if isinstance(change, ReplaceRows) else change.upsert  # type: ignore[union-attr]
        assert sum(len(key) + len(row) for key, row in sent.items()) < MAX_DATA_BYTES
    assert built == rows


@given(ROWS, st.lists(TABLE_CHANGES, max_size=8))
def test_rows_end_as_they_were_published(first: dict[str, bytes], changes: list[Change]) -> None:
    """Whatever was published of a table, its state leads a table that lost it all to the same
    rows."""
    memory = Acknowledged()
    rows: dict[str, bytes] = {}
    for n, change in enumerate([ReplaceRows(first), *changes]):
        memory.note(publication("t", change), Receipt(at(n + 1)), now=0.0)
        rows = apply(rows, change)
    [whole] = state(memory, "t")
    assert apply({"stale": b"0"}, whole) == rows
