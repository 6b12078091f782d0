"""What a recording is: lines of JSON, in the order in which a recorder heard them.

Rules:
1. A line is one row, and a row is a frame as the hub sent it with `at`, the recorder's clock, in
   it. Its data is the hub's bytes, so money keeps the digits that it was published with.
2. Each run of a recorder begins with a row `recording`, which says the version of this format.
   Where a run ended by itself its last row is `end`; up to there, silence means that nothing
   happened. A run that was killed is known up to its last row.
3. A last line without its end was being written when the recorder was killed, and is not there.
4. A channel's rows stand in the channel's order. `ts`, the broker's clock, orders the rows of
   different channels; it rises with each publish, unless somebody sets it back.
5. What could not be had is a row `reset` before a snapshot; where a channel was away and nothing is
   missing, a row `recovered`. An update that says `skipped` stands for so many more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import msgspec

from hub.client.folding import Folded
from hub.client.frames import Cause
from hub.protocol.frames import ChannelState
from hub.protocol.position import Position
from hub.protocol.streams import Kind

VERSION = 1


class RecordingError(Exception):
    """What was read is no recording, or one that can't be used; the text says where and why."""


class _Row(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """at: when the recorder wrote it, in microseconds since the epoch (UTC)."""

    at: int


class Begin(_Row, frozen=True, kw_only=True, tag="recording"):
    """A run of a recorder begins. source: `hub` or `redis`; tapecast: the recorder's version."""

    version: int
    channels: tuple[str, ...]
    source: str
    tapecast: str


class End(_Row, frozen=True, kw_only=True, tag="end"):
    """The recorder was told to stop; nothing of its channels is missing up to here."""


class Snapshot(_Row, frozen=True, kw_only=True, tag="snapshot"):
    """The whole state at a position; kind: what the channel carries."""

    channel: str
    kind: Kind
    epoch: str
    seq: int
    tag: str
    ts: int
    data: msgspec.Raw

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.seq, self.tag)


class Update(_Row, frozen=True, kw_only=True, tag="update"):
    """One change; without `seq` a foreign publish, at no position."""

    channel: str
    event: str
    ts: int
    epoch: str = ""
    seq: int | None = None
    tag: str = ""
    prev: int | None = None
    skipped: int = 0
    data: msgspec.Raw

    @property
    def position(self) -> Position | None:
        return None if self.seq is None else Position(self.epoch, self.seq, self.tag)


class Reset(_Row, frozen=True, kw_only=True, tag="reset"):
    """Continuity ends after `last`; a snapshot follows."""

    channel: str
    cause: Cause
    last: Position


class Recovered(_Row, frozen=True, kw_only=True, tag="recovered"):
    """The recorder was away and missed nothing: what came after `since` follows."""

    channel: str
    since: Position


class Turned(_Row, frozen=True, kw_only=True, tag="channel"):
    """The channel became stale or live; since: microseconds, None where that is not known."""

    channel: str
    state: ChannelState
    since: int | None = None


def resumed(channel: str, kind: Kind, since: Position, at: int) -> Recovered | Snapshot:
    """The row of a channel that was away and is of `kind` now.

    Of one that nothing had been published to, only its stream's name had said the kind: so that is
    said anew, with the nothing that it began with.
    """
    if since.seq:
        return Recovered(at=at, channel=channel, since=since)
    data = msgspec.Raw(Folded(kind).snapshot())
    return Snapshot(at=at, channel=channel, kind=kind, epoch="", seq=0, tag="", ts=0, data=data)


Row: TypeAlias = Begin | End | Snapshot | Update | Reset | Recovered | Turned

_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(Row).decode


class _OnlyData(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"null")


_decode_data = msgspec.json.Decoder(_OnlyData).decode


def data_of(text: bytes) -> msgspec.Raw:
    """The data of a hub's text frame, byte for byte, on one line."""
    data = _decode_data(text).data
    return msgspec.Raw(msgspec.json.format(data, indent=-1)) if b"\n" in bytes(data) else data


def encode_row(row: Row) -> bytes:
    """The row as one line, with its end."""
    return _encode(row) + b"\n"


def decode_row(line: bytes) -> Row:
    """Read one line. Raises RecordingError."""
    try:
        row: Row = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordingError(f"expected a row of a recording: {error}") from None
    if isinstance(row, Begin) and row.version > VERSION:
        raise RecordingError(
            f"expected a recording of version {VERSION} at most, got {row.version}: "
            "a newer Tapecast reads it"
        )
    return row


def read_rows(lines: Iterable[bytes]) -> Iterator[Row]:
    """The rows of a recording's lines; a last line that lacks its end is left out.

    Raises RecordingError that names the line.
    """
    began = False
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):
            break
        try:
            row = decode_row(line)
        except RecordingError as error:
            raise RecordingError(f"line {number}: {error}") from None
        began = began or isinstance(row, Begin)
        if not began:
            raise RecordingError('line 1: expected {"type":"recording",...}: is it a recording?')
        yield row


class Places:
    """Where each channel of a recording stands: what a recorder that goes on begins with."""

    def __init__(self) -> None:
        self.positions: dict[str, Position] = {}
        self.kinds: dict[str, Kind] = {}

    def take(self, row: Row) -> None:
        """Take the recording's next row."""
        match row:
            case Snapshot():
                self.positions[row.channel] = row.position
                self.kinds[row.channel] = row.kind
            case Update(position=Position() as position):
                self.positions[row.channel] = position
            case Reset():
                # The snapshot that should follow is missing where the recorder was killed here.
                self.positions.pop(row.channel, None)
