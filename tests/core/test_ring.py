"""Tests of hub.core.ring."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.ring import Ring
from hub.protocol.envelope import Envelope
from hub.protocol.streams import Kind
from tests.core.model_channel import ModelChannel


def log_of(count: int, data: bytes = b"1") -> list[Envelope]:
    """So many entries of a log, from its start."""
    channel = ModelChannel(Kind.LOG)
    return [channel.put(data) for _ in range(count)]


@given(
    count=st.integers(0, 12),
    read=st.integers(0, 12),
    max_entries=st.integers(1, 6),
    min_entries=st.integers(1, 3),
    max_bytes=st.integers(1, 900),
)
def test_a_ring_is_the_newest_part_of_the_list(
    count: int, read: int, max_entries: int, min_entries: int, max_bytes: int
) -> None:
    """Whatever it began with, a ring holds the newest entries without a hole, within its bounds
    where its minimum allows, and knows the tag below them unless it was never told."""
    entries = log_of(count)
    first = max(0, count - read)
    ring = Ring(max_entries=max_entries, max_bytes=max_bytes, min_entries=min_entries)
    half = first + (count - first) // 2
    if half:
        ring.restart(entries[half - 1].position, entries[first:half])
    for entry in entries[half:]:
        ring.append(entry)

    kept = ring.after(ring.floor_seq)
    assert kept == entries[ring.floor_seq :]
    assert ring.newest == (kept[-1] if kept else None)
    assert ring.last(2) == kept[-2:]
    for entry in kept:
        assert ring.tag_at(entry.seq) == entry.position.tag
        assert ring.after(entry.seq) == entries[entry.seq :]
    assert ring.tag_at(count + 1) is None
    assert ring.tag_at(ring.floor_seq - 1) is None
    floor_tag = entries[ring.floor_seq - 1].position.tag if ring.floor_seq else ""
    assert ring.tag_at(ring.floor_seq) in (floor_tag, None)
    if len(kept) > min_entries:
        assert len(kept) <= max_entries
        assert sum(len(entry.payload) for entry in kept) <= max_bytes


def test_a_ring_without_entries_stands_at_the_head() -> None:
    """Where the broker has the head alone, the ring knows its tag and nothing before."""
    head = log_of(7)[-1].position
    ring = Ring(max_entries=5, max_bytes=1_000, min_entries=1)
    ring.restart(head, [])
    assert ring.tag_at(7) == head.tag
    assert ring.tag_at(6) is None


def test_the_tag_before_what_was_read_is_unknown() -> None:
    """Below the oldest entry that was read the ring proves nothing, except at the very start."""
    entries = log_of(3)
    ring = Ring(max_entries=5, max_bytes=1_000, min_entries=1)
    ring.restart(entries[-1].position, entries[1:])
    assert ring.tag_at(1) is None
    ring.restart(entries[-1].position, entries)
    assert ring.tag_at(0) == ""


def test_what_is_below_the_floor_is_never_asked_for() -> None:
    """To ask for entries that the ring let go is a mistake in the hub."""
    ring = Ring(max_entries=1, max_bytes=1_000, min_entries=1)
    for entry in log_of(3):
        ring.append(entry)
    with pytest.raises(AssertionError, match="entries after 1 asked of a ring from 2"):
        ring.after(1)
