"""One published change with its position: what travels through the broker and, unchanged, in a
WebSocket text frame.

The publish script writes the fields in one order, so the head is read by one regular expression
and the data is never decoded on the way to a subscriber.
"""

from __future__ import annotations

import re

import msgspec

from hub.protocol.agent_commands import is_commands
from hub.protocol.errors import EnvelopeError, PayloadError
from hub.protocol.payload import parse
from hub.protocol.position import Position, chain_tag

_encode = msgspec.json.Encoder(decimal_format="number").encode

_HEAD = re.compile(
    r'\{"channel":"([a-z0-9_.:-]{1,255})","type":"update","event":"([A-Za-z0-9_.:-]{1,64})",'
    r'"epoch":"([A-Za-z0-9_-]{1,32})","seq":([1-9][0-9]{0,15}),"tag":"([0-9a-f]{8})",'
    r'"ts":([0-9]{1,16}),"data":'
)
_HEAD_BYTES = 512
"""More than the longest head has."""


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """A published change. `payload` is the whole JSON text, `data` its data alone; `ts` is the
    broker's clock in microseconds since the epoch (UTC)."""

    channel: str
    event: str
    position: Position
    ts: int
    data: bytes
    payload: bytes

    @property
    def seq(self) -> int:
        return self.position.seq

    def follows(self, position: Position) -> bool:
        """Whether this is the very next entry after `position`, proved by its tag."""
        mine = self.position
        return (
            mine.seq == position.seq + 1
            and mine.epoch == position.epoch
            and mine.tag
            == chain_tag(position.tag, mine.epoch, mine.seq, self.event, self.ts, self.data)
        )


def encode_envelope(channel: str, event: str, prev: Position, ts: int, data: bytes) -> Envelope:
    """The envelope of a change that follows `prev`; the publish script builds the same bytes."""
    seq = prev.seq + 1
    tag = chain_tag(prev.tag, prev.epoch, seq, event, ts, data)
    head = (
        f'{{"channel":"{channel}","type":"update","event":"{event}","epoch":"{prev.epoch}",'
        f'"seq":{seq},"tag":"{tag}","ts":{ts},"data":'
    )
    payload = b"%b%b}" % (head.encode(), data)
    return Envelope(channel, event, Position(prev.epoch, seq, tag), ts, data, payload)


def decode_envelope(channel: str, payload: bytes) -> Envelope:
    """Read the head of an envelope of `channel`; the data is left as it is.

    Raises EnvelopeError for anything that the publish script cannot have written. Whether the data
    is what was published is proved by `Envelope.follows`.
    """
    envelope = claimed_envelope(channel, payload)
    if envelope is None:
        raise EnvelopeError(f"expected an envelope of {channel}, got {payload[:120]!r}")
    return envelope


def claimed_envelope(channel: str, payload: bytes) -> Envelope | None:
    """The same for bytes from pub/sub, which may be anything: None for what does not claim to be an
    envelope, as a foreign publish does not."""
    # Latin-1 has a character for each byte, and the head is ASCII: decoded once, not by groups.
    head = _HEAD.match(payload[:_HEAD_BYTES].decode("latin-1"))
    if head is None:
        return None
    name, event, epoch, seq, tag, ts = head.groups()
    if name != channel:
        raise EnvelopeError(f"expected an envelope of {channel}, got one of {name}")
    if not payload.endswith(b"}"):
        raise EnvelopeError(f"expected an envelope of {channel}, got {payload[:120]!r}")
    position = Position(epoch, int(seq), tag)
    return Envelope(channel, event, position, int(ts), payload[head.end() : -1], payload)


class Foreign(msgspec.Struct, frozen=True):
    """A bare PUBLISH by somebody who knows no script: fanned out live, without a position."""

    event: str
    data: bytes


def decode_foreign(channel: str, payload: bytes) -> Foreign:
    """Read JSON that was published by hand; `{"event": ..., "data": ...}` names its event.

    Raises EnvelopeError for what must not reach a subscriber: also where commands travel, since it
    would look like a command's end and be none.
    """
    if is_commands(channel):
        raise EnvelopeError("foreign publish refused: commands have their steps by scripts alone")
    try:
        value = parse(payload)
    except PayloadError as error:
        raise EnvelopeError(f"foreign publish refused: {error.message}") from None
    match value:
        case {"event": str(event), "data": data} if re.fullmatch(r"[A-Za-z0-9_.:-]{1,64}", event):
            return Foreign(event, _encode(data))
    return Foreign("message", _encode(value))


class Lease(msgspec.Struct, frozen=True):
    """What the publish script says on pub/sub when a producer is alive and nothing changed."""

    lease_ms: int
    position: Position


_LEASE = re.compile(rb"~([0-9]{1,12}) ([A-Za-z0-9_-]{1,32}) ([0-9]{1,16}) ([0-9a-f]*)")


def decode_lease(payload: bytes) -> Lease | None:
    """Read a renewal of a channel's lease, or None where the bytes are no such thing."""
    match = _LEASE.fullmatch(payload)
    if match is None:
        return None
    lease_ms, epoch, seq, tag = match.groups()
    return Lease(int(lease_ms), Position(epoch.decode(), int(seq), tag.decode()))


def encode_lease(lease: Lease) -> bytes:
    """The bytes that `decode_lease` reads; the publish script builds the same."""
    at = lease.position
    return f"~{lease.lease_ms} {at.epoch} {at.seq} {at.tag}".encode()
