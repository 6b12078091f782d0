"""The body of a publish over HTTP."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from hub.protocol import codes
from hub.protocol.channels import check_event
from hub.protocol.errors import ChannelNameError, ProtocolError

MAX_BATCH = 1_000
"""Fewer than the broker remembers of one producer, so that a batch sent again is known whole."""


class Entry(msgspec.Struct, frozen=True):
    """One publish; `key` is that of `publication.AppendEntry`."""

    event: str
    data: msgspec.Raw
    key: Annotated[str, msgspec.Meta(max_length=255)] = ""


class Posted(msgspec.Struct, frozen=True):
    """What a body asks to publish. is_batch: the answer is a list too, though it have one entry."""

    entries: list[Entry]
    is_batch: bool


class _Object(msgspec.Struct, frozen=True):
    batch: list[Entry] | UnsetType = UNSET


_decode_entry = msgspec.json.Decoder(Entry).decode
_decode_list = msgspec.json.Decoder(list[Entry]).decode
_decode_object = msgspec.json.Decoder(_Object).decode


def read_posted(body: bytes) -> Posted:
    """Read `{"event", "data", "key"?}`, `{"batch": [...]}` or a list of entries.

    The data is not looked at: what it may be depends on the channel's kind. Raises ProtocolError,
    for a batch as a whole.
    """
    try:
        posted = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        expected = '{"event": ..., "data": ...} or {"batch": [...]}'
        raise ProtocolError(f"expected {expected}: {error}") from None
    count = len(posted.entries)
    if not count:
        raise ProtocolError("expected a batch of at least 1 entry")
    if count > MAX_BATCH:
        message = f"expected a batch of at most {MAX_BATCH} entries, got {count}"
        raise ProtocolError(message, code=codes.TOO_LARGE)
    for index, entry in enumerate(posted.entries):
        try:
            check_event(entry.event)
        except ChannelNameError as error:
            raise ProtocolError(f"entry {index}: {error.message}") from None
    return posted


def _decode(body: bytes) -> Posted:
    if body.lstrip()[:1] == b"[":
        return Posted(_decode_list(body), is_batch=True)
    batch = _decode_object(body).batch
    if batch is UNSET:
        return Posted([_decode_entry(body)], is_batch=False)
    return Posted(batch, is_batch=True)
