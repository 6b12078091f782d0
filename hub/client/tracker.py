"""One subscription's place in its channel, as the client sees it. No I/O.

Rules:
1. Between asking and the answer, nothing of the channel counts: it belongs to an older
   subscription.
2. After the answer either what was missed follows (`recovered`), or a snapshot. A position that was
   held and could not be recovered is given up and announced as a Reset, before the snapshot.
3. An update counts when it follows the position: same epoch, and `prev` at or before it. One at or
   before the position is a duplicate and is dropped. Any other is a hole: ask again from the
   position.
4. A head that a heartbeat names, and that is not reached by the next one, is a hole too.
5. A hole at the position where one was found already, with nothing received in between, can't be
   mended by asking from there: ask for a snapshot, and announce it.
6. An empty channel stands at seq 0 and its history has no name; the first entry of any epoch
   follows it.
"""

from __future__ import annotations

import enum

from hub.client.frames import (
    Cause,
    Frame,
    Recovered,
    Reset,
    ResetNotice,
    Snapshot,
    StateChanged,
    SubscribeResult,
    Update,
)
from hub.protocol.frames import ChannelState
from hub.protocol.position import Position
from hub.protocol.streams import Kind

_EMPTY = Position("", 0, "")


class Stage(enum.Enum):
    """What a tracker waits for."""

    IDLE = enum.auto()
    """To be asked for: no connection, or the application is too slow."""
    ASKED = enum.auto()
    """The answer to its subscribe."""
    BEHIND = enum.auto()
    """A snapshot."""
    FOLLOWING = enum.auto()
    """The next update."""
    HOLE = enum.auto()
    """To be asked for again: something is missing."""


class Tracker:
    """A channel, where the subscription stands in it, and what it waits for."""

    __slots__ = (
        "_hole_at",
        "_overdue",
        "_since",
        "channel",
        "interval_ms",
        "kind",
        "position",
        "stage",
        "state",
    )

    def __init__(self, channel: str, *, interval_ms: int = 0, since: Position | None = None):
        self.channel = channel
        self.interval_ms = interval_ms
        self.position = since
        self.kind: Kind | None = None
        self.state = ChannelState.LIVE
        self.stage = Stage.IDLE
        self._since: Position | None = None
        self._hole_at: Position | None = None
        # The head that the last heartbeat named, where it was not reached then.
        self._overdue: int | None = None

    def ask(self) -> Position | None:
        """Begin, or begin again; returns the position to ask from, None for a snapshot."""
        found_before = self._hole_at is not None and self._hole_at == self.position
        self._since = None if self.stage is Stage.HOLE and found_before else self.position
        if self.stage is Stage.HOLE:
            self._hole_at = self.position
        self.stage = Stage.ASKED
        self._overdue = None
        return self._since

    def rest(self) -> None:
        """Wait to be asked for: what comes of the channel meanwhile does not count."""
        self.stage = Stage.IDLE

    def answer(self, result: SubscribeResult) -> list[Frame]:
        """Take the answer to the subscribe; returns what the application must hear."""
        self.kind = result.known_kind or self.kind
        frames: list[Frame] = []
        if self.state is ChannelState.STALE and not result.stale:
            self.state = ChannelState.LIVE
            frames.append(StateChanged(channel=self.channel, state=self.state, since=None))
        if result.recovered and self._since is not None:
            self.stage = Stage.FOLLOWING
            return [*frames, Recovered(channel=self.channel, since=self._since)]
        self.stage = Stage.BEHIND
        return [*frames, *self._give_up(Cause.MISSED)]

    def receive(self, frame: Snapshot | Update | StateChanged | ResetNotice) -> list[Frame]:
        """Take a frame of the channel; returns what the application must hear, in order.

        Afterwards the stage may be HOLE.
        """
        if self.stage is Stage.IDLE or self.stage is Stage.ASKED:
            return []
        match frame:
            case Update():
                return self._update(frame)
            case Snapshot():
                return self._snapshot(frame)
            case ResetNotice():
                self.kind = frame.kind or self.kind
                self.stage = Stage.BEHIND
                return self._give_up(Cause.HISTORY)
            case StateChanged():
                known, self.state = self.state, frame.state
                return [frame] if frame.state is not known else []

    def heartbeat(self, head: int) -> None:
        """Compare the hub's head with the position; afterwards the stage may be HOLE."""
        if self.stage is not Stage.FOLLOWING or self.position is None:
            return
        seq, overdue = self.position.seq, self._overdue
        if overdue is not None and seq < overdue:
            self.stage = Stage.HOLE
        else:
            self._overdue = head if seq < head else None

    def _update(self, update: Update) -> list[Frame]:
        at, position, prev = self.position, update.position, update.prev
        if position is None or prev is None:
            return [update] if self.stage is Stage.FOLLOWING else []
        if self.stage is not Stage.FOLLOWING or at is None:
            return []
        if not _one_history(at, position) or prev > at.seq:
            self.stage = Stage.HOLE
            return []
        if position.seq <= at.seq:
            return []
        self.position = position
        return [update]

    def _snapshot(self, snapshot: Snapshot) -> list[Frame]:
        at, position = self.position, snapshot.position
        frames: list[Frame] = []
        if self.stage is Stage.FOLLOWING and at is not None:
            # A value or table that nobody announced anew was conflated into its whole state; of
            # a log that would be a loss.
            conflated = self.kind in (Kind.VALUE, Kind.TABLE) and _one_history(at, position)
            if not conflated or position.seq < at.seq:
                frames += self._give_up(Cause.MISSED)
        self.stage = Stage.FOLLOWING
        self.position = position
        return [*frames, snapshot]

    def _give_up(self, cause: Cause) -> list[Frame]:
        # From here on only a snapshot will do, also on another connection.
        last, self.position = self.position, None
        return [] if last is None else [Reset(channel=self.channel, cause=cause, last=last)]


def _one_history(at: Position, later: Position) -> bool:
    return later.epoch == at.epoch or at == _EMPTY
