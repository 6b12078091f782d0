"""A channel's state, folded from changes with every byte of its data kept.

What `state` folds is decoded, for who shows it; here a number keeps its digits, for who publishes
it again or has to say exactly what was shown.
"""

from __future__ import annotations

from collections import deque

import msgspec

from hub.protocol.frames import snapshot_rows
from hub.protocol.streams import MAX_HISTORY, Kind

NOTHING = b"null"


class Entry(msgspec.Struct, frozen=True):
    """One entry of a log, as a snapshot has it."""

    seq: int
    event: str
    ts: int
    data: msgspec.Raw


class Changes(msgspec.Struct, frozen=True):
    """The data of a table's update."""

    upsert: dict[str, msgspec.Raw]
    delete: list[str]


class _Rows(msgspec.Struct):
    rows: dict[str, msgspec.Raw]


class Entries(msgspec.Struct, frozen=True):
    """The data of a log's snapshot."""

    entries: list[Entry]


read_changes = msgspec.json.Decoder(Changes).decode
read_entries = msgspec.json.Decoder(Entries).decode
_read_rows = msgspec.json.Decoder(_Rows).decode
_encode = msgspec.json.encode


class Folded:
    """The value, the rows or the newest entries; `history` bounds a log's.

    Its methods raise msgspec.DecodeError for data that is of another kind.
    """

    def __init__(self, kind: Kind, history: int = MAX_HISTORY) -> None:
        self.kind = kind
        self.value = NOTHING
        self.rows: dict[str, bytes] = {}
        self.entries: deque[Entry] = deque(maxlen=history)

    def restart(self, kind: Kind, data: bytes) -> None:
        """Take a snapshot's data in place of what there is."""
        self.kind = kind
        match kind:
            case Kind.VALUE:
                self.value = data
            case Kind.TABLE:
                self.rows = {key: bytes(row) for key, row in _read_rows(data).rows.items()}
            case Kind.LOG:
                self.entries.clear()
                self.entries.extend(read_entries(data).entries)

    def apply(self, seq: int, event: str, ts: int, data: bytes) -> None:
        """Take the next change."""
        match self.kind:
            case Kind.VALUE:
                self.value = data
            case Kind.TABLE:
                changes = read_changes(data)
                self.rows.update((key, bytes(row)) for key, row in changes.upsert.items())
                for key in changes.delete:
                    self.rows.pop(key, None)
            case Kind.LOG:
                self.entries.append(Entry(seq, event, ts, msgspec.Raw(data)))

    def snapshot(self) -> bytes:
        """The data of a snapshot."""
        match self.kind:
            case Kind.VALUE:
                return self.value
            case Kind.TABLE:
                return snapshot_rows(self.rows)
            case Kind.LOG:
                return _encode(Entries(list(self.entries)))
