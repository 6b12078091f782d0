"""The newest entries of a channel, kept by the hub for those who missed a few."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice

from hub.protocol.envelope import Envelope
from hub.protocol.position import Position


class Ring:
    """A run of entries without a hole, from just after the floor to the newest.

    Bounded in entries and bytes, but never below `min_entries`, which a log's snapshot needs. The
    floor's tag is None where it was never known: before the oldest entry that was read.
    """

    __slots__ = ("_bytes", "_entries", "_max_bytes", "_max_entries", "_min_entries", "floor_seq",
                 "floor_tag")  # fmt: skip

    def __init__(self, *, max_entries: int, max_bytes: int, min_entries: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._min_entries = min_entries
        self._entries: deque[Envelope] = deque()
        self._bytes = 0
        self.floor_seq = 0
        self.floor_tag: str | None = ""

    @property
    def newest(self) -> Envelope | None:
        """The last entry, or None where the ring is empty."""
        return self._entries[-1] if self._entries else None

    def restart(self, head: Position, run: Iterable[Envelope]) -> None:
        """Begin anew with the entries that lead to `head`, oldest first, without a hole."""
        run = list(run)
        self._entries.clear()
        self._bytes = 0
        self.floor_seq = head.seq - len(run)
        self.floor_tag = "" if self.floor_seq == 0 else None if run else head.tag
        for entry in run:
            self.append(entry)

    def append(self, entry: Envelope) -> None:
        """Take the entry that follows the newest one; the caller has proved that it does."""
        entries = self._entries
        entries.append(entry)
        self._bytes += len(entry.payload)
        while len(entries) > self._min_entries and (
            len(entries) > self._max_entries or self._bytes > self._max_bytes
        ):
            oldest = entries.popleft()
            self._bytes -= len(oldest.payload)
            self.floor_seq, self.floor_tag = oldest.seq, oldest.position.tag

    def tag_at(self, seq: int) -> str | None:
        """The tag of the entry at `seq`, or None where the ring does not know it."""
        index = seq - self.floor_seq - 1
        if index == -1:
            return self.floor_tag
        if 0 <= index < len(self._entries):
            return self._entries[index].position.tag
        return None

    def after(self, seq: int) -> list[Envelope]:
        """The entries after `seq`, oldest first; `seq` is not below the floor."""
        assert seq >= self.floor_seq, f"entries after {seq} asked of a ring from {self.floor_seq}"
        return list(islice(self._entries, seq - self.floor_seq, None))

    def last(self, count: int) -> list[Envelope]:
        """The newest `count` entries, or as many as there are, oldest first."""
        return list(islice(self._entries, max(0, len(self._entries) - count), None))
