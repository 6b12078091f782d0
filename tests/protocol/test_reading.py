"""What is missed between two positions, and its proof."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.protocol.envelope import Envelope, encode_envelope
from hub.protocol.position import Position
from hub.protocol.reading import ChannelReading, leading_to_head, missed
from hub.protocol.streams import Kind


def chain(length: int, epoch: str = "e1", mark: int = 0) -> list[Envelope]:
    """Entries that follow one another from the beginning; `mark` makes another content."""
    at, entries = Position(epoch, 0, ""), []
    for n in range(length):
        entry = encode_envelope("a", "set", at, mark, b"%d" % n)
        entries.append(entry)
        at = entry.position
    return entries


def reading(entries: list[Envelope], head: Position | None = None) -> ChannelReading:
    """A log that has these entries."""
    return ChannelReading("a", head or entries[-1].position, Kind.LOG, entries=tuple(entries))


def test_an_empty_channel_has_neither_head_nor_kind() -> None:
    """Nothing was published, so nothing can be said to follow anything."""
    empty = ChannelReading.empty("a")
    assert (empty.position, empty.kind, empty.rows, empty.entries) == (None, None, {}, ())
    assert missed(empty, Position("e1", 0, "")) is None


@given(st.integers(1, 12), st.data())
def test_what_follows_a_position_is_found(length: int, data: st.DataObject) -> None:
    """From any position of the history, exactly the entries after it are missed."""
    entries = chain(length)
    positions = [Position("e1", 0, ""), *(entry.position for entry in entries)]
    at = data.draw(st.integers(0, length))
    first = data.draw(st.integers(0, at))
    assert missed(reading(entries[first:], entries[-1].position), positions[at]) == tuple(
        entries[at:]
    )


@pytest.mark.parametrize(
    ("entries", "since"),
    [
        (chain(3), Position("e0", 1, chain(3)[0].position.tag)),
        (chain(3), Position("e1", 1, "00000000")),
        (chain(3), Position("e1", 9, "00000000")),
        (chain(3)[1:], Position("e1", 0, "")),
        ([chain(3)[0], chain(3)[2]], Position("e1", 0, "")),
        ([chain(3)[0], *chain(3, mark=1)[1:]], chain(3)[0].position),
    ],
    ids=["another epoch", "a fork", "the future", "trimmed", "a hole", "replaced entries"],
)
def test_what_cannot_be_proved_is_not_given(entries: list[Envelope], since: Position) -> None:
    """Where the chain does not lead from the position to the head, nothing is said to be missed."""
    assert missed(reading(entries), since) is None


def test_entries_that_do_not_reach_the_head_prove_nothing() -> None:
    """An answer that was cut short is not taken for the whole."""
    entries = chain(3)
    assert missed(reading(entries[:2], entries[2].position), Position("e1", 0, "")) is None


@pytest.mark.parametrize(
    ("entries", "head", "expected"),
    [
        (chain(3), chain(3)[2].position, chain(3)),
        ([], Position("e1", 0, ""), []),
        (chain(3), Position("e1", 4, "00000000"), []),
        ([chain(4)[0], *chain(4)[2:]], chain(4)[3].position, chain(4)[2:]),
        ([*chain(2, mark=1), *chain(4)[2:]], chain(4)[3].position, chain(4)[2:]),
    ],
    ids=["a whole chain", "nothing", "a head that is not there", "a hole", "a fork"],
)
def test_the_newest_entries_that_lead_to_the_head_are_kept(
    entries: list[Envelope], head: Position, expected: list[Envelope]
) -> None:
    """Of entries with a hole or a fork among them, those after it lead to the head."""
    assert leading_to_head(reading(entries, head)) == expected
