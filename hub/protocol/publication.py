"""What a publisher hands to the broker, and what it is answered."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from hub.protocol.errors import PayloadError
from hub.protocol.payload import canonical, parse
from hub.protocol.position import Position
from hub.protocol.streams import Kind

_encode = msgspec.json.Encoder(order="sorted", decimal_format="number").encode


class SetValue(msgspec.Struct, frozen=True, gc=False):
    """The whole new value of a `value` channel, as JSON."""

    data: bytes


class ReplaceRows(msgspec.Struct, frozen=True):
    """All rows that a `table` channel has from now on, each as JSON; others are deleted."""

    rows: dict[str, bytes]


class PatchRows(msgspec.Struct, frozen=True):
    """Rows of a `table` channel to set, each as JSON, and keys to delete. No key is in both."""

    upsert: dict[str, bytes]
    delete: tuple[str, ...] = ()


class AppendEntry(msgspec.Struct, frozen=True, gc=False):
    """One entry of a `log` channel, as JSON.

    With a `key`, an entry whose data equals the last one under that key is not published again,
    and one whose data differs is published under the event `changed_event` (or the same event).
    """

    data: bytes
    key: str = ""
    changed_event: str = ""


class Touch(msgspec.Struct, frozen=True):
    """Nothing new: renews the channel's lease, so that a quiet market is not a dead producer."""


Change: TypeAlias = SetValue | ReplaceRows | PatchRows | AppendEntry | Touch


class Publication(msgspec.Struct, frozen=True, gc=False):
    """One publish.

    (producer, n) is its id: sent again with the same id, it is answered as the first time.
    lease_ms: the channel is stale when so long has passed without a publish; 0 leaves the
    channel's lease as it is.
    """

    channel: str
    kind: Kind
    event: str
    change: Change
    producer: str
    n: int
    lease_ms: int = 0


class Receipt(msgspec.Struct, frozen=True):
    """The broker's answer to a publish.

    position: where the change stands; for an unchanged one, where the state it equals stands.
    duplicate: this id had been answered before, and nothing was done now.
    inserted, updated, deleted: keys of a table's rows that this publish changed.
    """

    position: Position
    unchanged: bool = False
    duplicate: bool = False
    inserted: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()


def change_from_json(kind: Kind, data: bytes | str) -> Change:
    """Read published JSON from outside as a change of a channel of `kind`.

    A table takes `{"rows": {...}}` for all of it or `{"upsert": {...}, "delete": [...]}` for a
    part. Raises PayloadError.
    """
    if kind is Kind.VALUE:
        return SetValue(canonical(data))
    if kind is Kind.LOG:
        return AppendEntry(canonical(data))
    return table_change(parse(data))


def table_change(value: Any) -> ReplaceRows | PatchRows:
    """Read a decoded table change; raises PayloadError that says what it looks like."""
    match value:
        case {"rows": dict(rows)} if len(value) == 1:
            return ReplaceRows({_check_key(key): _encode(row) for key, row in rows.items()})
        case dict() if value and value.keys() <= {"upsert", "delete"}:
            upsert, delete = value.get("upsert", {}), value.get("delete", [])
            if isinstance(upsert, dict) and isinstance(delete, list):
                deleted = tuple(_check_key(key) for key in delete)
                if both := upsert.keys() & set(deleted):
                    raise PayloadError(f"rows both upserted and deleted: {sorted(both)[:5]}")
                rows = {_check_key(key): _encode(row) for key, row in upsert.items()}
                return PatchRows(rows, deleted)
    raise PayloadError(
        'a table expects {"rows": {key: row}} or {"upsert": {key: row}, "delete": [key]}'
    )


def _check_key(key: Any) -> str:
    if isinstance(key, str) and 1 <= len(key.encode()) <= 255:
        return key
    raise PayloadError(f"expected row keys to be strings of 1 to 255 bytes, got {key!r:.80}")
