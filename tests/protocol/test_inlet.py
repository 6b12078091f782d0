"""What an entry of an inlet may be, and how the scripts' answers are read."""

from __future__ import annotations

import pytest

from hub.protocol.errors import ProtocolError
from hub.protocol.inlet import (
    Buried,
    Fate,
    InletEntry,
    InletKeys,
    Taken,
    bury_call,
    parse_passed_on,
    parse_taken,
    pass_on_call,
    publication_of,
    read_entry,
    take_call,
)
from hub.protocol.position import Position
from hub.protocol.publication import AppendEntry, PatchRows, Receipt, SetValue
from hub.protocol.scripts import ANSWERS_KEPT
from hub.protocol.streams import UNCONFIGURED, Kind

KEYS = InletKeys("in", "g")


def fields(**given: str) -> list[bytes]:
    """Names and values by turns."""
    return [part.encode() for pair in given.items() for part in pair]


def test_an_entry_names_channel_event_and_data() -> None:
    """`id` and `key` may be there, and others are ignored."""
    given = fields(channel="c", event="e", data="1", trace="x")
    assert read_entry("1-0", given) == InletEntry("1-0", "c", "e", b"1")
    given += fields(id="o-1", key="k")
    assert read_entry("1-0", given) == InletEntry("1-0", "c", "e", b"1", "o-1", "k")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (fields(event="e", data="1"), "got no channel"),
        (fields(channel="c", data="1"), "got no event"),
        (fields(channel="c", event="e"), "got no data"),
        (fields(channel="C", event="e", data="1"), "expected a channel name"),
        (fields(channel="c", event="e e", data="1"), "expected an event name"),
        ([*fields(event="e", data="1"), b"channel", b"\xff"], "expected a channel name"),
        (fields(channel="c", event="e", data="1", id="x" * 256), "id: expected at most 255"),
        (fields(channel="c", event="e", data="1", key="x" * 256), "key: expected at most 255"),
    ],
)
def test_a_bad_entry_is_refused_with_the_reason(given: list[bytes], said: str) -> None:
    """It says what was expected."""
    with pytest.raises(ProtocolError, match=said):
        read_entry("1-0", given)


def test_the_change_follows_the_kind() -> None:
    """A value, an entry with or without its key, rows; what is no such thing is refused."""
    entry = InletEntry("17-3", "c", "e", b'{"b":1,"a":2}', key="k")
    assert publication_of(entry, Kind.VALUE, "g", 1).change == SetValue(b'{"a":2,"b":1}')
    log = publication_of(entry, Kind.LOG, "g", 1)
    assert log.change == AppendEntry(b'{"a":2,"b":1}', "k")
    keyless = InletEntry("17-3", "c", "e", b"1")
    assert publication_of(keyless, Kind.LOG, "g", 1).change == AppendEntry(b"1")
    rows = InletEntry("17-3", "c", "e", b'{"delete":["a"]}')
    assert publication_of(rows, Kind.TABLE, "g", 1).change == PatchRows({}, ("a",))
    with pytest.raises(ProtocolError, match="a table expects"):
        publication_of(entry, Kind.TABLE, "g", 1)


def test_a_publish_id_is_the_calls_own() -> None:
    """Not the entry's, which may be another inlet's too; and the broker remembers one of them."""
    entry = InletEntry("17-3", "c", "e", b"1")
    ids = [publication_of(entry, Kind.LOG, "g", fresh).n for fresh in (1, 2, 2**40 - 1)]
    assert len(set(ids)) == 3
    assert {id % ANSWERS_KEPT for id in ids} == {0}
    assert max(ids) < 2**53


def test_the_calls_name_their_keys() -> None:
    """Every key that a script touches is given to it."""
    call = take_call(KEYS, "t", 5000, "2-0", "1-0", 256, begun=True)
    assert call.keys == ("in", "in:g:lease")
    assert call.args == ("g", "active", "t", 5000, "2-0", "1-0", 256, "1")
    assert take_call(KEYS, "t", 5000, "2-0", "1-0", 256, begun=False).args[-1] == "0"
    entry = InletEntry("1-0", "c", "e", b"1", name="o-1")
    sure, unsure = (
        pass_on_call(KEYS, "t", entry, Kind.LOG, UNCONFIGURED, "epoch", 1, kind_is_sure=sure)
        for sure in (True, False)
    )
    assert [call.args[8] for call in (sure, unsure)] == ["1", "0"]
    call = sure
    assert call.keys[:5] == ("in", "in:g:lease", "in:g:ids", "in:dead", "tapecast:{c}:meta")
    assert call.args[:4] == ("g", "t", "1-0", "o-1")
    buried = bury_call(KEYS, "t", "1-0", "bad")
    assert buried.keys == call.keys[:4]
    assert "bad" in buried.args


def test_answers_are_read() -> None:
    """What was taken, and what became of an entry."""
    assert parse_taken([b"lost"]) is None
    entries = [[b"1-0", [b"a", b"b"]], [b"2-0", None]]
    assert parse_taken([b"taken", b"2-0", b"7", 3, entries]) == Taken(
        [("1-0", [b"a", b"b"]), ("2-0", None)], "2-0", 7, 3
    )
    assert parse_taken([b"taken", b"0-0", b"", 0, []]) == Taken([], "0-0", None, 0)
    for fate in Fate:
        assert parse_passed_on(fate.value.encode()) is fate
    assert parse_passed_on(b"buried for a reason") == Buried("for a reason")
    assert parse_passed_on(b"stored e 1 00 ") == Receipt(Position("e", 1, "00"))
