"""The current state of a channel, by kind: what a snapshot holds and what a conflated update says.

Rules:
1. A value is its newest data; whoever is behind by any number of entries needs that alone.
2. A table remembers at which seq each row was last set or deleted, as far back as the ring
   reaches; whoever is behind needs the rows changed since, and the deletes among them. At its
   start a table has no rows, so whoever stands there needs those that there are.
3. A log has no state but its entries; whoever is behind needs each of them.
"""

from __future__ import annotations

from itertools import chain
from typing import Protocol

from hub.core.admission import NOTHING, RowChanges, decode_rows
from hub.core.ring import Ring
from hub.protocol import frames
from hub.protocol.envelope import Envelope
from hub.protocol.payload import is_sound
from hub.protocol.reading import ChannelReading
from hub.protocol.streams import Kind


class State(Protocol):
    """What the three kinds have in common."""

    def apply(self, entry: Envelope) -> None:
        """Take an admitted entry that follows the ones before."""

    def snapshot(self) -> bytes:
        """The data of a snapshot."""

    def since(self, seq: int) -> bytes | None:
        """The data of one update that stands for all after `seq`; None where there can be none."""


class ValueState:
    """The last value counts."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes | None) -> None:
        self._data = NOTHING if data is None or not is_sound(data) else data

    def apply(self, entry: Envelope) -> None:
        self._data = entry.data

    def snapshot(self) -> bytes:
        return self._data

    def since(self, seq: int) -> bytes | None:
        return self._data


class TableState:
    """Rows by key, with the seq of each row's last change."""

    __slots__ = ("_changed_at", "_ring", "_rows")

    def __init__(self, rows: dict[str, bytes], ring: Ring) -> None:
        self._rows = {key: row for key, row in rows.items() if is_sound(row)}
        self._ring = ring
        # Rows set or deleted, in the order of their last change: the oldest come first.
        self._changed_at: dict[str, int] = {}
        for entry in ring.after(ring.floor_seq):
            self._note(decode_rows(entry.data), entry.seq)

    def apply(self, entry: Envelope) -> None:
        changes = decode_rows(entry.data)
        for key, row in changes.upsert.items():
            self._rows[key] = bytes(row)
        for key in changes.delete:
            self._rows.pop(key, None)
        self._note(changes, entry.seq)

    def _note(self, changes: RowChanges, seq: int) -> None:
        changed_at = self._changed_at
        for key in chain(changes.upsert, changes.delete):
            changed_at.pop(key, None)
            changed_at[key] = seq
        while changed_at and changed_at[oldest := next(iter(changed_at))] <= self._ring.floor_seq:
            del changed_at[oldest]

    def snapshot(self) -> bytes:
        return frames.snapshot_rows(self._rows)

    def since(self, seq: int) -> bytes | None:
        rows = self._rows
        if seq == 0:
            return frames.update_rows(rows, [])
        if seq < self._ring.floor_seq:
            return None
        changed = [key for key, at in self._changed_at.items() if at > seq]
        upsert = {key: rows[key] for key in changed if key in rows}
        return frames.update_rows(upsert, [key for key in changed if key not in rows])


class LogState:
    """Every entry counts."""

    __slots__ = ("_history", "_ring")

    def __init__(self, history: int, ring: Ring) -> None:
        self._history = history
        self._ring = ring

    def apply(self, entry: Envelope) -> None:
        """Nothing to keep beside the ring."""

    def snapshot(self) -> bytes:
        return frames.snapshot_entries(self._ring.last(self._history))

    def since(self, seq: int) -> bytes | None:
        return None


def state_of(reading: ChannelReading, kind: Kind, history: int, ring: Ring) -> State:
    """The state that a reading shows; `ring` holds the entries that lead to it."""
    if kind is Kind.VALUE:
        return ValueState(reading.value)
    if kind is Kind.TABLE:
        return TableState(reading.rows, ring)
    return LogState(history, ring)
