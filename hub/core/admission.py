"""What is let through from the broker to subscribers.

Publishers check their data, but anybody with access to Redis can call the script, or write to a
key by hand. An entry whose place in the chain is proved and whose data must not reach a screen
keeps its place and loses its data: subscribers see no hole, and no wrong number.
"""

from __future__ import annotations

import msgspec

from hub.protocol.envelope import Envelope
from hub.protocol.errors import PayloadError
from hub.protocol.payload import MAX_DATA_BYTES, parse
from hub.protocol.streams import Kind

NOTHING = b"null"
NO_ROWS = b'{"upsert":{},"delete":[]}'

# The script writes the rows it was given between braces, keys and commas of its own.
_MAX_BYTES = 2 * MAX_DATA_BYTES


class RowChanges(msgspec.Struct, forbid_unknown_fields=True):
    """The data of a table's entry."""

    upsert: dict[str, msgspec.Raw]
    delete: list[str]


decode_rows = msgspec.json.Decoder(RowChanges).decode


def admit(entry: Envelope, kind: Kind) -> Envelope:
    """The entry itself where its data may be shown, else the same entry without its data."""
    if is_sound(entry.data):
        if kind is not Kind.TABLE:
            return entry
        try:
            decode_rows(entry.data)
        except msgspec.DecodeError:
            pass
        else:
            return entry
    data = NO_ROWS if kind is Kind.TABLE else NOTHING
    payload = entry.payload[: -len(entry.data) - 1] + data + b"}"
    return Envelope(entry.channel, entry.event, entry.position, entry.ts, data, payload)


def is_sound(data: bytes) -> bool:
    """Whether data from the broker may reach a subscriber."""
    try:
        parse(data, max_bytes=_MAX_BYTES)
    except PayloadError:
        return False
    return True
