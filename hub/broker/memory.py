"""Channels in this process's memory: for tests and for embedding, gone when it ends."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha1, sha256

import msgspec
from broadcaster import Event

from hub.broker.base import Broker, Link
from hub.broker.handover import HandOver, Route
from hub.protocol import codes
from hub.protocol.agent_commands import check_publishable
from hub.protocol.channels import check_channel, check_event
from hub.protocol.envelope import Envelope, Lease, encode_envelope, encode_lease
from hub.protocol.errors import KindMismatchError, PayloadError, ProtocolError
from hub.protocol.payload import MAX_DATA_BYTES
from hub.protocol.position import Position
from hub.protocol.publication import (
    AppendEntry,
    PatchRows,
    Publication,
    Receipt,
    ReplaceRows,
    SetValue,
    Touch,
)
from hub.protocol.reading import ChannelReading
from hub.protocol.scripts import ANSWERS_KEPT, ANSWERS_SECONDS
from hub.protocol.streams import KNOWN, Kind, Stream, stream_options

HAND_OVER_BYTES = 16 * 1024 * 1024
"""What may wait for `next_published`. A channel that finds it full loses its messages, and says
`Link.RESTORED` when there is room."""


class MemoryBroker(Broker):
    """What the scripts do in Redis, in plain Python. Nothing here awaits between check and act."""

    def __init__(
        self, *, streams: Mapping[str, Stream] = KNOWN, hand_over_bytes: int = HAND_OVER_BYTES
    ) -> None:
        self._streams = streams
        self._channels: dict[str, _Channel] = {}
        self._claims: OrderedDict[tuple[str, str], tuple[bytes, float]] = OrderedDict()
        """What was asked for and until when it is known, by channel and producer."""
        self._routes: dict[str, Route] = {}
        self._hand_over = HandOver(hand_over_bytes)
        self._overflowed: dict[str, Route] = {}
        self._connected = False

    async def connect(self) -> None:
        self._connected = True

    async def disconnect(self) -> None:
        self._connected = False

    async def subscribe(self, group: str) -> None:
        if group not in self._routes:
            self._routes[check_channel(group)] = Route(group, self._hand_over.put)

    async def unsubscribe(self, group: str) -> None:
        route = self._routes.pop(group, None)
        if route is not None:
            route.held = False
            self._overflowed.pop(group, None)

    async def publish(self, channel: str, message: bytes) -> None:
        self._say(check_channel(channel), message)

    async def next_published(self) -> Event:
        channel, message = await self._hand_over.take()
        if self._overflowed and self._hand_over.roomy:
            for route in self._overflowed.values():
                self._hand_over.put(route, Link.RESTORED)
            self._overflowed.clear()
        # Broadcast hands a message through as it is; only its annotation says str.
        return Event(channel, message)  # type: ignore[arg-type]

    async def store(self, publications: Sequence[Publication]) -> list[Receipt | Exception]:
        return [self._store(publication) for publication in publications]

    async def claim(self, channel: str, producer: str, asked: bytes) -> bool:
        now = time.monotonic()
        while self._claims and next(iter(self._claims.values()))[1] < now:
            self._claims.popitem(last=False)
        claim = (sha256(asked).digest(), now + ANSWERS_SECONDS)
        known, _ = self._claims.setdefault((check_channel(channel), producer), claim)
        return known == claim[0]

    async def read(
        self, channel: str, since: int | None, limit: int, *, state: bool = True
    ) -> ChannelReading:
        found = self._channels.get(check_channel(channel))
        if found is None:
            return ChannelReading.empty(channel)
        if since is None:
            entries = list(found.entries)[-limit:] if limit else []
        else:
            entries = [entry for entry in found.entries if entry.seq > since][:limit]
        return ChannelReading(
            channel=channel,
            position=found.position,
            kind=found.kind,
            value=found.value if state else None,
            rows=dict(found.rows) if state else {},
            entries=tuple(entries),
            lease_ms=found.lease_ms,
            lease_left_ms=found.lease_left_ms(),
        )

    async def heads(self, channels: Sequence[str]) -> list[Position | None]:
        found = [self._channels.get(check_channel(channel)) for channel in channels]
        return [channel.position if channel else None for channel in found]

    async def channels(self) -> list[str]:
        return sorted(self._channels)

    @property
    def delivering(self) -> bool:
        return self._connected

    def _store(self, publication: Publication) -> Receipt | Exception:
        try:
            _check(publication)
            channel = self._channel(publication)
        except ProtocolError as error:
            return error
        known = channel.answer(publication)
        if known is not None:
            return msgspec.structs.replace(known, duplicate=True)
        old_lease_ms = channel.lease_ms
        channel.renew(publication.lease_ms)
        receipt, envelope = channel.apply(publication)
        if envelope is not None:
            self._say(publication.channel, envelope.payload)
        if envelope is None or publication.lease_ms not in (0, old_lease_ms):
            renewed = Lease(channel.lease_ms, channel.position)
            self._say(publication.channel, encode_lease(renewed))
        channel.remember(publication, receipt)
        return receipt

    def _channel(self, publication: Publication) -> _Channel:
        channel = self._channels.get(publication.channel)
        if channel is None:
            options = stream_options(publication.channel, self._streams)
            channel = _Channel(publication.channel, publication.kind, options)
            self._channels[publication.channel] = channel
        if channel.kind is not publication.kind:
            raise KindMismatchError(
                f"{publication.channel} is a {channel.kind}, not a {publication.kind}; "
                "a channel keeps the kind of its first publish"
            )
        return channel

    def _say(self, channel: str, message: bytes) -> None:
        route = self._routes.get(channel)
        if route is None or channel in self._overflowed:
            return
        if self._hand_over.full:
            self._overflowed[channel] = route
        else:
            route.take(route, message)


@dataclass
class _Channel:
    """One channel's whole state; the fields are those of `hub.protocol.keys`."""

    name: str
    kind: Kind
    options: Stream
    position: Position = field(default_factory=lambda: Position(secrets.token_urlsafe(6), 0, ""))
    value: bytes | None = None
    rows: dict[str, bytes] = field(default_factory=dict)
    entries: deque[Envelope] = field(init=False)
    keyed: dict[str, tuple[bytes, Position]] = field(default_factory=dict)
    """Digest and position of the last entry under each key, the oldest first."""
    lease_ms: int = 0
    until: float = 0.0
    """Seconds, monotonic: when the lease ends."""
    answers: OrderedDict[str, _Answers] = field(default_factory=OrderedDict)
    """By producer, the longest silent first."""

    def __post_init__(self) -> None:
        self.entries = deque(maxlen=self.options.keep)

    def lease_left_ms(self) -> int | None:
        return round((self.until - time.monotonic()) * 1000) if self.lease_ms else None

    def renew(self, lease_ms: int) -> None:
        self.lease_ms = lease_ms or self.lease_ms
        self.until = time.monotonic() + self.lease_ms / 1000

    def answer(self, publication: Publication) -> Receipt | None:
        """What this publish was answered before."""
        known = self.answers.get(publication.producer)
        if known is None or isinstance(publication.change, Touch):
            return None
        return known.receipts.get(publication.n)

    def remember(self, publication: Publication, receipt: Receipt) -> None:
        if isinstance(publication.change, Touch):
            return
        now = time.monotonic()
        known = self.answers.setdefault(publication.producer, _Answers())
        self.answers.move_to_end(publication.producer)
        known.receipts[publication.n] = receipt
        known.receipts.pop(publication.n - ANSWERS_KEPT, None)
        known.until = now + ANSWERS_SECONDS
        while next(iter(self.answers.values())).until < now:
            self.answers.popitem(last=False)

    def apply(self, publication: Publication) -> tuple[Receipt, Envelope | None]:
        """Carry out a change; the envelope is None where it changes nothing."""
        match publication.change:
            case SetValue(data):
                if data == self.value:
                    return self._unchanged(), None
                self.value = data
                return self._append(publication.event, data)
            case AppendEntry() as change:
                return self._append_entry(publication.event, change)
            case ReplaceRows(rows):
                return self._change_rows(
                    publication.event, rows, [key for key in self.rows if key not in rows]
                )
            case PatchRows(upsert, delete):
                return self._change_rows(
                    publication.event, upsert, [key for key in set(delete) if key in self.rows]
                )
            case Touch():
                return self._unchanged(), None

    def _append_entry(self, event: str, change: AppendEntry) -> tuple[Receipt, Envelope | None]:
        if not change.key:
            return self._append(event, change.data)
        digest = sha1(change.data, usedforsecurity=False).digest()
        before = self.keyed.get(change.key)
        if before is not None and before[0] == digest:
            return Receipt(before[1], unchanged=True), None
        if before is not None and change.changed_event:
            event = change.changed_event
        receipt, envelope = self._append(event, change.data)
        self.keyed.pop(change.key, None)
        self.keyed[change.key] = (digest, receipt.position)
        if len(self.keyed) > self.options.keys_keep:
            del self.keyed[next(iter(self.keyed))]
        return receipt, envelope

    def _change_rows(
        self, event: str, rows: dict[str, bytes], delete: list[str]
    ) -> tuple[Receipt, Envelope | None]:
        upsert = {key: row for key, row in rows.items() if self.rows.get(key) != row}
        if not upsert and not delete:
            return self._unchanged(), None
        delete.sort(key=str.encode)
        inserted = tuple(key for key in upsert if key not in self.rows)
        updated = tuple(key for key in upsert if key in self.rows)
        self.rows.update(upsert)
        for key in delete:
            del self.rows[key]
        raw = {key: msgspec.Raw(row) for key, row in upsert.items()}
        data = msgspec.json.encode({"upsert": raw, "delete": delete})
        receipt, envelope = self._append(event, data)
        return msgspec.structs.replace(
            receipt, inserted=inserted, updated=updated, deleted=tuple(delete)
        ), envelope

    def _append(self, event: str, data: bytes) -> tuple[Receipt, Envelope]:
        ts = time.time_ns() // 1000
        envelope = encode_envelope(self.name, event, self.position, ts, data)
        self.entries.append(envelope)
        self.position = envelope.position
        return Receipt(self.position), envelope

    def _unchanged(self) -> Receipt:
        return Receipt(self.position, unchanged=True)


@dataclass
class _Answers:
    receipts: dict[int, Receipt] = field(default_factory=dict)
    until: float = 0.0


_CHANGES = {
    Kind.VALUE: (SetValue, Touch),
    Kind.TABLE: (ReplaceRows, PatchRows, Touch),
    Kind.LOG: (AppendEntry, Touch),
}


def _check(publication: Publication) -> None:
    """Refuse what the publish script refuses. Raises ProtocolError."""
    check_publishable(publication.channel)
    check_event(publication.event)
    change, kind = publication.change, publication.kind
    if not isinstance(change, _CHANGES[kind]) or publication.n < 0 or publication.lease_ms < 0:
        raise PayloadError(f"a publish of {type(change).__name__} to a {kind}")
    size = _size(change)
    if size > MAX_DATA_BYTES:
        raise PayloadError(
            f"expected at most {MAX_DATA_BYTES} bytes, got {size}", code=codes.TOO_LARGE
        )


def _size(change: SetValue | AppendEntry | ReplaceRows | PatchRows | Touch) -> int:
    match change:
        case SetValue(data):
            return len(data)
        case AppendEntry(data, key):
            return len(data) + len(key.encode())
        case ReplaceRows(rows):
            return _rows_size(rows)
        case PatchRows(upsert, delete):
            return _rows_size(upsert) + sum(len(key.encode()) for key in delete)
        case Touch():
            return 0


def _rows_size(rows: dict[str, bytes]) -> int:
    # The script is told their number too.
    return len(str(len(rows))) + sum(len(key.encode()) + len(row) for key, row in rows.items())
