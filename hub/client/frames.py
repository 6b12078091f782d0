"""What a subscription yields, and how the hub's text frames are read.

The data of a frame is decoded when somebody asks for it: who relays or prints frames takes `text`.
"""

from __future__ import annotations

import enum
from functools import cached_property
from typing import Annotated, Any, TypeAlias

import msgspec

from hub.protocol.frames import ChannelState
from hub.protocol.position import Position
from hub.protocol.streams import Kind


class _OnlyData(msgspec.Struct):
    data: Any = None


_decode_data = msgspec.json.Decoder(_OnlyData).decode


class _Carrier(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A frame that carries data. text: the JSON as the hub sent it; ts: microseconds, UTC."""

    channel: str
    ts: int
    text: bytes

    @cached_property
    def data(self) -> Any:
        """The decoded data: JSON's own types, money as the strings that the hub sends."""
        return _decode_data(self.text).data


class Snapshot(_Carrier, frozen=True, kw_only=True):
    """The whole state at a position; it replaces whatever was known before."""

    position: Position


class Update(_Carrier, frozen=True, kw_only=True):
    """One change, or after conflation one that stands for several.

    position: None for a foreign publish, which is live only.
    prev: the seq that it follows; None for a foreign publish.
    skipped: how many changes were conflated into this one, itself not counted.
    """

    event: str
    position: Position | None
    prev: int | None
    skipped: int = 0


class Cause(enum.StrEnum):
    """Why what was known of a channel no longer holds."""

    HISTORY = "history"
    """The channel's history was lost or forked; it begins anew."""
    MISSED = "missed"
    """What lies between the last frame and now could not be had."""


class Reset(msgspec.Struct, frozen=True, kw_only=True):
    """Continuity ends here; a snapshot follows. last: where the subscription had been."""

    channel: str
    cause: Cause
    last: Position


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """The subscription was away and goes on from `since`: what was missed follows, all of it."""

    channel: str
    since: Position


class StateChanged(msgspec.Struct, frozen=True, kw_only=True):
    """The channel's producer missed its deadline (`stale`) or is back (`live`).

    since: microseconds since the epoch (UTC); None where it came back while nobody looked.
    """

    channel: str
    state: ChannelState
    since: int | None


Frame: TypeAlias = Snapshot | Update | Reset | Recovered | StateChanged
"""What a subscription yields."""


class Welcome(msgspec.Struct, frozen=True):
    """The connection may go on."""

    session: str
    heartbeat_ms: int
    version: str


class Heartbeat(msgspec.Struct, frozen=True):
    """The hub lives; `heads` says where each subscribed channel stands."""

    ts: int
    heads: dict[str, int]


class ResetNotice(msgspec.Struct, frozen=True):
    """The hub begins a channel anew, and says its kind; the snapshot follows."""

    channel: str
    kind: Kind | None = None


class Notice(msgspec.Struct, frozen=True):
    """The hub announces something about itself, such as its shutdown."""

    code: str


class Answer(msgspec.Struct, frozen=True):
    """The reply to a command that was carried out; `result` is JSON."""

    id: int
    result: bytes


class Denial(msgspec.Struct, frozen=True):
    """The reply to a command that was not; without `id`, to a text that was none."""

    id: int | None
    code: int
    message: str


class SubscribeResult(msgspec.Struct, frozen=True):
    """What the reply to a subscribe says. position: the head, or where the snapshot stands."""

    channel: str
    epoch: str
    seq: int
    tag: str
    recovered: bool
    kind: str = ""
    stale: bool = False

    @property
    def known_kind(self) -> Kind | None:
        """The channel's kind, None for one that this client does not know."""
        return _known_kind(self.kind)


class SentCommand(msgspec.Struct, frozen=True):
    """What the reply to a command says of it."""

    id: str
    state: str = ""


class PublishResult(msgspec.Struct, frozen=True):
    """What the reply to a publish says."""

    channel: str
    epoch: str
    seq: int
    tag: str
    unchanged: bool = False
    command: SentCommand | None = None


Received: TypeAlias = (
    Snapshot | Update | StateChanged | ResetNotice | Welcome | Heartbeat | Notice | Answer | Denial
)


class _Error(msgspec.Struct):
    code: int
    message: str = ""


class _Text(msgspec.Struct):
    """The union of all frames' fields but `data`, which is read when asked for."""

    type: str = ""
    channel: str = ""
    event: str = ""
    epoch: str = ""
    seq: int | None = None
    tag: str = ""
    ts: int = 0
    prev: int | None = None
    skipped: int = 0
    state: str = ""
    kind: str = ""
    since: int = 0
    heads: dict[str, int] = {}
    session: str = ""
    heartbeat_ms: Annotated[int, msgspec.Meta(ge=1)] = 5000
    version: str = ""
    code: str = ""
    id: int | None = None
    result: msgspec.Raw = msgspec.Raw()
    error: _Error | None = None


_decode_text = msgspec.json.Decoder(_Text).decode


def decode_frame(text: bytes) -> Received | None:
    """Read one text frame of the hub; None for a type that this client does not know.

    Raises msgspec.DecodeError for what no hub sends.
    """
    it = _decode_text(text)
    match it.type:
        case "update":
            prev = it.prev if it.prev is not None or it.seq is None else it.seq - 1
            return Update(
                channel=it.channel,
                event=it.event,
                position=None if it.seq is None else Position(it.epoch, it.seq, it.tag),
                prev=prev,
                skipped=it.skipped,
                ts=it.ts,
                text=text,
            )
        case "snapshot":
            position = Position(it.epoch, it.seq or 0, it.tag)
            return Snapshot(channel=it.channel, position=position, ts=it.ts, text=text)
        case "heartbeat":
            return Heartbeat(it.ts, it.heads)
        case "channel":
            return _decode_state(it)
        case "welcome":
            return Welcome(it.session, it.heartbeat_ms, it.version)
        case "notice":
            return Notice(it.code)
        case "":
            return _decode_reply(it)
    return None


def _decode_state(it: _Text) -> StateChanged | ResetNotice | None:
    match it.state:
        case ChannelState.RESET:
            return ResetNotice(it.channel, _known_kind(it.kind))
        case ChannelState.LIVE | ChannelState.STALE:
            return StateChanged(channel=it.channel, state=ChannelState(it.state), since=it.since)
    return None


def _decode_reply(it: _Text) -> Answer | Denial | None:
    if it.error is not None:
        return Denial(it.id, it.error.code, it.error.message)
    if it.id is not None:
        return Answer(it.id, bytes(it.result))
    return None


def _known_kind(name: str) -> Kind | None:
    return Kind(name) if name in list(Kind) else None
