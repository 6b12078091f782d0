"""What is let through from the broker to subscribers.

Publishers check their data, but anybody with access to Redis can call the script, or write to a
key by hand. An entry whose place in the chain is proved keeps it, so that subscribers see no hole,
and loses what must not reach a screen: a value or a log its data, a table the rows in question.
Who reads the state later gets the same.
"""

from __future__ import annotations

import msgspec

from hub.protocol import frames
from hub.protocol.envelope import Envelope
from hub.protocol.payload import MAX_DATA_BYTES, is_sound
from hub.protocol.streams import Kind

NOTHING = b"null"
NO_ROWS = b'{"upsert":{},"delete":[]}'

# The script writes the rows it was given between braces, keys and commas of its own.
_MAX_ROWS_BYTES = 2 * MAX_DATA_BYTES


class RowChanges(msgspec.Struct, forbid_unknown_fields=True):
    """The data of a table's entry."""

    upsert: dict[str, msgspec.Raw]
    delete: list[str]


decode_rows = msgspec.json.Decoder(RowChanges).decode


def admit(entry: Envelope, kind: Kind) -> Envelope:
    """The entry itself where its data may be shown, else the same entry without what may not.

    A row that may not be shown is deleted, as nobody can tell what it should have been.
    """
    if kind is Kind.TABLE:
        data = _admit_rows(entry.data)
    else:
        data = entry.data if is_sound(entry.data) else NOTHING
    if data is entry.data:
        return entry
    payload = entry.payload[: -len(entry.data) - 1] + data + b"}"
    return Envelope(entry.channel, entry.event, entry.position, entry.ts, data, payload)


def _admit_rows(data: bytes) -> bytes:
    if len(data) > _MAX_ROWS_BYTES:
        return NO_ROWS
    try:
        changes = decode_rows(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return NO_ROWS
    sound = {key: bytes(row) for key, row in changes.upsert.items() if is_sound(bytes(row))}
    if len(sound) == len(changes.upsert):
        return data
    return frames.update_rows(sound, [*changes.delete, *(changes.upsert.keys() - sound.keys())])
