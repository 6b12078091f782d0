"""What sessions say, as the old server would have said it.

A dialect stands before the medium that writes to a kind of connections: frames of the protocol go
in, frames for old dashboards come out, each made once for all who hear it.

Rules:
1. Of a channel with a state (a value or a table), whatever is said of it leads to the whole state
   as its feed has it now. So a frame that was late, conflated or lost changes nothing, and neither
   does one that only says that the channel is stale.
2. Each entry of a log is one event. What a log held when it was joined is not told again: old
   dashboards ask for that over HTTP, and would show it twice. A view that `recalls` is told the
   newest decision.
3. When a log begins a new history, the entries are told that are newer than what was told before.
4. The agent's own log repeats each decision; those are left out.
5. What shows that a connection lives has no translation: see `hub.server.legacy.heartbeats`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from hub.core.feed import Feed
from hub.core.frame import Frame
from hub.core.medium import Medium
from hub.core.registry import Registry
from hub.protocol.channels import stream_of
from hub.protocol.frames import ChannelState
from hub.protocol.position import Position
from hub.protocol.streams import Kind
from hub.server.legacy import frames, shapes, states
from hub.server.legacy.commands import COMPLETING
from hub.server.legacy.shapes import decode, iso

PONG: Final = frames.own("pong", {})


class View(NamedTuple):
    """What connections have in common that are told the same.

    channels: those that they follow, by stream; all of them may be read. recalls: whether the
    newest decision is told at first.
    """

    channels: Mapping[str, str]
    recalls: bool


class _Failure(msgspec.Struct, frozen=True):
    message: str


class _Result(msgspec.Struct, frozen=True):
    channel: str = ""


class _Said(msgspec.Struct, frozen=True):
    """The fields of any frame of the protocol that say what it is about."""

    id: int | None = None
    type: str = ""
    channel: str = ""
    event: str = ""
    ts: int = 0
    state: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")
    result: _Result | UnsetType = UNSET
    error: _Failure | UnsetType = UNSET


_decode_frame = msgspec.json.Decoder(_Said).decode

_Key: TypeAlias = tuple[tuple[Position, bool], ...]
_Frames: TypeAlias = tuple[Frame, ...]


class Dialect:
    """The translation for one view.

    told: of each log, the time of the newest entry that was told or passed over; the same for all
    dialects of a hub, as they share their frames.
    """

    def __init__(self, view: View, registry: Registry, told: dict[str, int]) -> None:
        self.view = view
        self._registry = registry
        self._told = told
        self._states: dict[str, tuple[_Key, _Frames]] = {}
        self._makers: Mapping[str, Callable[[Feed], Frame | None]] = {
            "portfolio": self._portfolio,
            "positions": self._positions,
            "status": self._status,
            "health": self._health,
        }

    def translate(self, said: Sequence[Frame]) -> list[Frame]:
        """The frames to send in place of these, in order; none for what old dashboards know
        nothing of."""
        found: list[Frame] = []
        for frame in said:
            translated = frame.translated
            found.extend(self._translate(frame) if translated is None else translated)
        return found

    def _translate(self, frame: Frame) -> _Frames:
        said = _decode_frame(frame.payload)
        if said.error is not UNSET:
            return (frames.error(said.error.message),)
        if said.result is not UNSET:
            return self._reply(said.id, said.result.channel)
        feed = self._feed(said.channel)
        if feed is None:
            # A heartbeat, a notice, a welcome.
            return ()
        if feed.kind is not Kind.LOG:
            told = self._state(feed)
            if said.state and stream_of(feed.channel) == "portfolio":
                # The status that was told last has the account's value, which is null while stale.
                told += self._state_of("status")
            return told
        # It means the same in every view, so the frame keeps it.
        frame.translated = self._log(feed, said)
        return frame.translated

    def _feed(self, channel: str) -> Feed | None:
        audience = self._registry.get(channel)
        return None if audience is None else audience.feed

    def _followed(self, stream: str) -> Feed | None:
        """The feed of a stream's channel; None where this view does not follow it."""
        return self._feed(self.view.channels.get(stream, ""))

    def _reply(self, id: int | None, channel: str) -> _Frames:
        """What a reply leads to: to a ping the pong, to a subscribe what no snapshot will say."""
        if not channel:
            return (PONG,)
        if self.view.recalls and stream_of(channel) == "decisions":
            return self._newest_decision(channel)
        return self._state_of("status") if id == COMPLETING else ()

    # States

    def _state_of(self, stream: str) -> _Frames:
        feed = self._followed(stream)
        return () if feed is None else self._state(feed)

    def _state(self, feed: Feed) -> _Frames:
        sources = [feed]
        if stream_of(feed.channel) == "status":
            sources += filter(None, (self._followed("portfolio"), self._followed("decisions")))
        key = tuple((source.position, source.stale) for source in sources)
        kept = self._states.get(feed.channel)
        if kept is None or kept[0] != key:
            maker = self._makers.get(stream_of(feed.channel))
            made = None if maker is None else maker(feed)
            kept = self._states[feed.channel] = (key, () if made is None else (made,))
        return kept[1]

    def _portfolio(self, feed: Feed) -> Frame | None:
        # Without an account there is no number to show, and 0 would be one.
        shape = states.portfolio(feed)
        return None if shape["balance"] is None else frames.own("portfolio_update", shape)

    def _positions(self, feed: Feed) -> Frame:
        shape: dict[str, Any] = {"positions": states.positions(feed)}
        if (silence := states.silence(feed)) is not None:
            shape["error"] = silence
        return frames.own("positions_update", shape)

    def _status(self, feed: Feed) -> Frame:
        account, log = self._followed("portfolio"), self._followed("decisions")
        return frames.own("status", states.agent_status(feed, account, log))

    def _health(self, feed: Feed) -> Frame | None:
        value = states.value_of(feed)
        if value is None:
            return None
        shape = shapes.health(value, timestamp=iso(feed.ts), error=states.silence(feed))
        return frames.own("health", shape)

    # Logs

    def _log(self, feed: Feed, said: _Said) -> _Frames:
        if said.type == "update":
            return self._tell(feed.channel, said.event, said.ts, said.data)
        if said.state == ChannelState.RESET:
            return self._begin_anew(feed)
        if said.type == "snapshot":
            self._note(feed.channel, said.ts)
        return ()

    def _begin_anew(self, feed: Feed) -> _Frames:
        told = self._told.get(feed.channel, 0)
        lost = frames.error(
            f"{feed.channel}: its history was lost and begins anew; events may be missing"
        )
        newer = [entry for entry in states.entries_of(feed) if entry.ts > told]
        events = [self._tell(feed.channel, each.event, each.ts, each.data) for each in newer]
        return (lost, *(frame for told in events for frame in told))

    def _tell(self, channel: str, event: str, ts: int, data: msgspec.Raw) -> _Frames:
        self._note(channel, ts)
        value = decode(data)
        # A hub says null of what must not be shown.
        if value is None or (stream_of(channel) == "agent" and event in shapes.DECISIONS):
            return ()
        return (frames.own(event, shapes.happened(event, value, ts)),)

    def _newest_decision(self, channel: str) -> _Frames:
        feed = self._feed(channel)
        made = None if feed is None else states.newest_decision(states.entries_of(feed))
        return () if made is None else (frames.own("decision_made", made),)

    def _note(self, channel: str, ts: int) -> None:
        self._told[channel] = max(ts, self._told.get(channel, 0))


class Translated:
    """A medium whose connections speak a dialect."""

    def __init__(self, medium: Medium, dialect: Dialect) -> None:
        self._medium = medium
        self._dialect = dialect

    def spell(self, frames: Sequence[Frame]) -> Sequence[Any]:
        return self._medium.spell(self._dialect.translate(frames))

    def fan_out(self, frames: Sequence[Frame], sinks: Sequence[Any]) -> None:
        if said := self._dialect.translate(frames):
            self._medium.fan_out(said, sinks)
