"""producers/buffer.py: order, conflation and the bound."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hub.protocol.publication import (
    AppendEntry,
    Change,
    PatchRows,
    ReplaceRows,
    SetValue,
    Touch,
)
from hub.protocol.streams import Kind
from producers.buffer import Added, MemoryBuffer, Waiting, conflate

KINDS: dict[type, Kind] = {
    SetValue: Kind.VALUE,
    AppendEntry: Kind.LOG,
    PatchRows: Kind.TABLE,
    ReplaceRows: Kind.TABLE,
}


def waiting(channel: str, change: Change, ticket: str = "", **fields: Any) -> Waiting[str]:
    kind = KINDS.get(type(change), Kind.VALUE)
    return Waiting(channel, kind, f"event {ticket}", change, tickets=[ticket], **fields)


def entry(channel: str, ticket: str) -> Waiting[str]:
    return waiting(channel, AppendEntry(ticket.encode()), ticket)


def drain(buffer: MemoryBuffer[str]) -> list[Waiting[str]]:
    return buffer.take(10_000, 1 << 30)


def test_log_entries_keep_their_order() -> None:
    """Entries never conflate, and leave in the order in which they came."""
    buffer = MemoryBuffer[str]()
    for ticket in "abc":
        new = entry("agent", ticket)
        assert buffer.add(new) == Added(new)
    assert [each.tickets for each in drain(buffer)] == [["a"], ["b"], ["c"]]
    assert len(buffer) == 0
    assert buffer.size_bytes == 0


def test_a_value_supersedes_the_one_that_waits() -> None:
    """The newest value travels, in the older one's turn; the older one's caller is told."""
    buffer = MemoryBuffer[str]()
    buffer.add(waiting("portfolio", SetValue(b"1"), "a", lease_ms=500))
    buffer.add(entry("agent", "x"))
    assert buffer.add(waiting("portfolio", SetValue(b"22"), "b")).superseded == ["a"]
    first, second = drain(buffer)
    assert first == waiting("portfolio", SetValue(b"22"), "b", lease_ms=500)
    assert second.tickets == ["x"]
    assert buffer.size_bytes == 0


def test_channels_do_not_conflate_with_each_other() -> None:
    """Another channel's value is another value."""
    buffer = MemoryBuffer[str]()
    buffer.add(waiting("portfolio:a", SetValue(b"1"), "a"))
    assert buffer.add(waiting("portfolio:b", SetValue(b"2"), "b")).superseded == []
    assert len(drain(buffer)) == 2


def test_what_was_taken_is_left_alone() -> None:
    """A value on its way may have happened: a newer one waits behind it."""
    buffer = MemoryBuffer[str]()
    buffer.add(waiting("portfolio", SetValue(b"1"), "a"))
    (taken,) = drain(buffer)
    assert buffer.add(waiting("portfolio", SetValue(b"2"), "b")).superseded == []
    assert taken.change == SetValue(b"1")
    assert drain(buffer)[0].change == SetValue(b"2")


def test_a_list_supersedes_lists_and_patches() -> None:
    """A table's full list takes the place of whatever waits for it."""
    buffer = MemoryBuffer[str]()
    buffer.add(waiting("positions", PatchRows({"a": b"1"}, ("b",)), "p"))
    assert buffer.add(waiting("positions", ReplaceRows({"c": b"2"}), "r")).superseded == ["p"]
    assert drain(buffer)[0].change == ReplaceRows({"c": b"2"})


def test_patches_merge() -> None:
    """Both callers of merged patches get the answer of the one that travels."""
    buffer = MemoryBuffer[str]()
    buffer.add(waiting("positions", PatchRows({"a": b"1", "b": b"1"}), "p"))
    added = buffer.add(waiting("positions", PatchRows({"c": b"2"}, ("a",)), "q"))
    assert added.superseded == []
    (merged,) = drain(buffer)
    assert merged.tickets == ["p", "q"]
    assert merged.change == PatchRows({"b": b"1", "c": b"2"}, ("a",))


def test_touches() -> None:
    """A touch says nothing that a waiting publish doesn't say, but for the lease."""
    buffer = MemoryBuffer[str]()
    buffer.add(waiting("portfolio", Touch(), "t"))
    assert buffer.add(waiting("portfolio", SetValue(b"1"), "v")).superseded == []
    buffer.add(waiting("portfolio", Touch(), "u", lease_ms=900))
    (one,) = drain(buffer)
    assert one.change == SetValue(b"1")
    assert (one.tickets, one.event, one.lease_ms) == (["t", "v", "u"], "event v", 900)


def test_a_touch_before_an_entry() -> None:
    """An entry that took the place of a touch is as safe as any entry."""
    buffer = MemoryBuffer[str](max_publishes=1)
    touch = Waiting("agent", Kind.LOG, "touch", Touch(), tickets=["t"])
    buffer.add(touch)
    assert buffer.add(entry("agent", "a")).standing is touch
    assert buffer.add(waiting("portfolio", SetValue(b"1"), "v")).standing is None
    assert drain(buffer)[0].tickets == ["t", "a"]


def test_full_of_values() -> None:
    """The oldest value is given up for a log entry, since a newer value will come."""
    buffer = MemoryBuffer[str](max_publishes=2)
    buffer.add(waiting("portfolio:a", SetValue(b"1"), "a"))
    buffer.add(waiting("portfolio:b", SetValue(b"1"), "b"))
    added = buffer.add(entry("agent", "x"))
    assert added.standing is not None
    assert [each.tickets for each in added.given_up] == [["a"]]
    assert [each.tickets for each in drain(buffer)] == [["b"], ["x"]]


def test_full_of_entries() -> None:
    """Entries that wait are never given up: the new publish is refused, and changes nothing."""
    buffer = MemoryBuffer[str](max_publishes=2)
    buffer.add(entry("agent", "x"))
    buffer.add(entry("agent", "y"))
    assert buffer.add(entry("agent", "z")).standing is None
    assert buffer.add(waiting("portfolio", SetValue(b"1"), "v")).standing is None
    assert [each.tickets for each in drain(buffer)] == [["x"], ["y"]]


def test_full_of_bytes() -> None:
    """The bound on bytes gives up as much as is needed, and holds for a value that grows."""
    buffer = MemoryBuffer[str](max_bytes=3_500)
    buffer.add(waiting("portfolio:a", SetValue(b"x" * 400), "a"))
    buffer.add(waiting("portfolio:b", SetValue(b"x" * 400), "b"))
    added = buffer.add(waiting("portfolio:b", SetValue(b"x" * 2_000), "c"))
    assert added.superseded == ["b"]
    assert [each.tickets for each in added.given_up] == [["a"]]
    assert buffer.add(waiting("portfolio:b", SetValue(b"x" * 4_000), "d")).standing is None
    assert [each.tickets for each in drain(buffer)] == [["c"]]


def test_rounds() -> None:
    """`take` keeps to its bounds, and takes one publish that alone is larger."""
    buffer = MemoryBuffer[str]()
    for ticket in "abc":
        buffer.add(waiting("agent", AppendEntry(b"x" * 1_000), ticket))
    assert [each.tickets for each in buffer.take(2, 1 << 20)] == [["a"], ["b"]]
    assert [each.tickets for each in buffer.take(2, 10)] == [["c"]]
    assert buffer.take(2, 10) == []


def test_kinds_do_not_conflate() -> None:
    """A publish of another kind, which Redis will refuse, takes nothing with it."""
    buffer = MemoryBuffer[str]()
    buffer.add(waiting("x", SetValue(b"1"), "a"))
    buffer.add(waiting("x", AppendEntry(b"2"), "b"))
    assert [each.tickets for each in drain(buffer)] == [["a"], ["b"]]


KEYS = st.sampled_from("abcd")
ROWS = st.dictionaries(KEYS, st.binary(max_size=2))


@st.composite
def patches(draw: st.DrawFn) -> PatchRows:
    upsert = draw(ROWS)
    delete = draw(st.lists(KEYS.filter(lambda key: key not in upsert), unique=True))
    return PatchRows(upsert, tuple(delete))


TABLE_CHANGES = patches() | ROWS.map(ReplaceRows)


def apply(rows: dict[str, bytes], change: Change) -> dict[str, bytes]:
    match change:
        case ReplaceRows(new):
            return dict(new)
        case PatchRows(upsert, delete):
            kept = {key: row for key, row in rows.items() if key not in delete}
            return {**kept, **upsert}
    raise AssertionError(change)


@given(ROWS, TABLE_CHANGES, TABLE_CHANGES)
def test_conflated_changes_end_the_same(
    rows: dict[str, bytes], older: Change, newer: Change
) -> None:
    """One change in place of two leads any table to the same rows."""
    both = conflate(older, newer)
    assert both is not None
    assert apply(rows, both) == apply(apply(rows, older), newer)
    if isinstance(both, PatchRows):
        assert not both.upsert.keys() & set(both.delete)
        assert len(both.delete) == len(set(both.delete))


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["log:a", "log:b", "value:a", "value:b", "table"]), st.integers(0, 2_000)
    )
    | st.integers(1, 3),
    max_size=60,
)


@given(OPERATIONS)
def test_every_ticket_has_one_end(operations: list[tuple[str, int] | int]) -> None:
    """Whatever comes and goes: each ticket leaves once, entries in order, within the bounds."""
    buffer = MemoryBuffer[str](max_publishes=5, max_bytes=6_000)
    made, ended, sent = [], Counter[str](), []
    for number, operation in enumerate(operations):
        if isinstance(operation, int):
            taken = buffer.take(operation, 10_000)
            sent += [each for each in taken if each.kind is Kind.LOG]
            ended.update(ticket for each in taken for ticket in each.tickets)
            continue
        channel, size = operation
        ticket = str(number)
        made.append(ticket)
        change: Change = SetValue(b"x" * size)
        if channel.startswith("log"):
            change = AppendEntry(b"x" * size)
        elif channel == "table":
            change = PatchRows({str(number % 3): b"x" * size})
        added = buffer.add(waiting(channel, change, ticket))
        if added.standing is None:
            ended[ticket] += 1
        ended.update(added.superseded)
        ended.update(ticket for each in added.given_up for ticket in each.tickets)
        assert all(each.kind is not Kind.LOG for each in added.given_up)
        assert len(buffer) <= 5
        assert buffer.size_bytes <= 6_000
    left = drain(buffer)
    sent += [each for each in left if each.kind is Kind.LOG]
    ended.update(ticket for each in left for ticket in each.tickets)
    assert ended == Counter(made)
    assert buffer.size_bytes == 0
    for channel in ("log:a", "log:b"):
        order = [int(each.tickets[0]) for each in sent if each.channel == channel]
        assert order == sorted(order)
