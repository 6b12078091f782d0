"""A hub's live copy of one channel.

Rules:
1. An entry is applied when it follows the feed's position, proved by its tag; nothing else moves
   the position but a reading.
2. An entry that the ring has under the same tag is a duplicate. Anything else that does not follow
   (a hole, another epoch, a tag that does not fit) breaks the feed: it must read the channel.
3. While a reading is under way entries are held back. The reading cannot be older than the feed
   then, so a head behind it is a rollback.
4. A reading that leads from the feed's position to its head without a hole is applied entry by
   entry. Where one does not, the channel is read from its newest entries, and that replaces the
   state: a reset, which subscribers are told of.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from hub.core.admission import admit
from hub.core.frame import Frame
from hub.core.ring import Ring
from hub.core.state import State, state_of
from hub.protocol import frames
from hub.protocol.envelope import Envelope
from hub.protocol.frames import ChannelState
from hub.protocol.position import Position
from hub.protocol.reading import ChannelReading, leading_to_head, missed
from hub.protocol.streams import MAX_HISTORY, Kind, Stream

NOWHERE = Position("", 0, "")
"""Where a channel stands that nothing was published to: its history has no name yet."""

RING_BYTES = 1024 * 1024
RING_ENTRIES = 1_000
MAX_HELD = 1_000
MAX_CATCH_UPS = 64
FIRST_READ_ENTRIES = MAX_HISTORY


class Outcome(enum.Enum):
    """What became of an entry that the broker delivered."""

    APPLIED = enum.auto()
    DUPLICATE = enum.auto()
    HELD = enum.auto()
    BROKEN = enum.auto()


class Loaded(NamedTuple):
    """What a reading changed.

    reset: the state was replaced. entries: what was applied, in order.
    again: read once more. The reading did not lead from the feed's position, or what was held back
        meanwhile does not follow.
    """

    reset: bool
    entries: list[Envelope]
    again: bool


class Resume(NamedTuple):
    """The answer to a client that returns. frames: what it missed, in order."""

    frames: list[Frame]


class Feed:
    """One channel: position, state, ring and freshness."""

    __slots__ = ("_anew", "_catch_ups", "_held", "_held_overflow", "_lease_seconds",
                 "_options", "_renewed_at", "_ring", "_snapshot", "_state", "channel", "event",
                 "kind", "loaded", "position", "stale", "ts")  # fmt: skip

    def __init__(self, channel: str, options: Stream) -> None:
        self.channel = channel
        self.kind = options.kind
        self.position = NOWHERE
        self.event = ""
        self.ts = 0
        self.loaded = False
        self.stale = False
        self._lease_seconds = options.deadline_seconds
        self._renewed_at: float | None = None
        self._options = options
        self._ring = self._new_ring()
        self._state: State = state_of(
            ChannelReading.empty(channel), self.kind, options.history, self._ring
        )
        # Whether to read the newest entries, rather than those after the position.
        self._anew = True
        self._held: list[Envelope] | None = None
        self._held_overflow = False
        self._snapshot: Frame | None = None
        self._catch_ups: dict[int, Frame] = {}

    # What the broker delivers

    @property
    def newest(self) -> Envelope | None:
        """The entry that was applied last, as far as the ring knows one."""
        return self._ring.newest

    def is_at(self, head: Position | None) -> bool:
        """Whether the feed stands where the broker says that the channel does."""
        return self.position == (head or NOWHERE)

    @property
    def reading(self) -> bool:
        """Whether a reading is under way: begun, and not loaded yet."""
        return self._held is not None

    def begin_reading(self) -> int | None:
        """Hold entries back from now on; returns the seq to read on from, None for the newest.

        The caller asks the broker only after this, and hands the answer to `load`.
        """
        if self._held is None:
            self._held = []
            self._held_overflow = False
        return None if self._anew else self.position.seq

    def receive(self, entry: Envelope) -> Outcome:
        """Take one entry as it comes from the broker. BROKEN asks for a reading."""
        if self._held is not None:
            if len(self._held) < MAX_HELD:
                self._held.append(entry)
            else:
                self._held_overflow = True
            return Outcome.HELD
        return self._step(entry)

    def load(self, reading: ChannelReading, now: float) -> Loaded:
        """Take the reading that `begin_reading` asked for, then what was held back meanwhile."""
        assert self._held is not None, "a reading that nobody began"
        entries = self._missed(reading) if self.loaded else None
        if entries is None and not self._anew:
            # It holds what is after a position of another history, and not what a log shows.
            self._anew = True
            return Loaded(reset=False, entries=[], again=True)
        self._anew = False
        held, self._held = self._held, None
        again = self._held_overflow
        applied: list[Envelope] = []
        reset = False
        if entries is None:
            reset = self.loaded
            self._restart(reading)
        else:
            applied.extend(self._apply(entry) for entry in entries)
            if self.position != reading.position:
                # The same place; but a channel that was only touched has a name for its history.
                self.position = reading.position or NOWHERE
                self._forget_frames()
        self._read_lease(reading, now)
        for entry in held:
            outcome = self._step(entry)
            if outcome is Outcome.APPLIED and (newest := self._ring.newest) is not None:
                applied.append(newest)
            again = again or outcome is Outcome.BROKEN
        return Loaded(reset, applied, again)

    def _missed(self, reading: ChannelReading) -> tuple[Envelope, ...] | None:
        if reading.position is None:
            return () if self.position == NOWHERE else None
        if reading.kind is not self.kind:
            return None
        return missed(reading, _or_start(self.position, reading.position.epoch))

    def _step(self, entry: Envelope) -> Outcome:
        at = self.position
        if entry.follows(at):
            self._apply(entry)
            return Outcome.APPLIED
        if entry.position.epoch == at.epoch and entry.seq <= at.seq:
            known = self._ring.tag_at(entry.seq)
            return Outcome.DUPLICATE if known == entry.position.tag else Outcome.BROKEN
        return Outcome.BROKEN

    def _apply(self, entry: Envelope) -> Envelope:
        entry = admit(entry, self.kind)
        self.position = entry.position
        self.event = entry.event
        self.ts = entry.ts
        self._ring.append(entry)
        self._state.apply(entry)
        self._forget_frames()
        return entry

    def _restart(self, reading: ChannelReading) -> None:
        self.loaded = True
        self._lease_seconds = self._options.deadline_seconds
        self.position = reading.position or NOWHERE
        self.kind = reading.kind or self._options.kind
        self._ring = self._new_ring()
        self._ring.restart(
            self.position, (admit(entry, self.kind) for entry in leading_to_head(reading))
        )
        newest = self._ring.newest
        self.event = newest.event if newest else ""
        self.ts = newest.ts if newest else 0
        self._state = state_of(reading, self.kind, self._options.history, self._ring)
        self._forget_frames()

    def _new_ring(self) -> Ring:
        return Ring(
            max_entries=RING_ENTRIES,
            max_bytes=RING_BYTES,
            min_entries=self._options.history if self.kind is Kind.LOG else 1,
        )

    def _forget_frames(self) -> None:
        self._snapshot = None
        if self._catch_ups:
            self._catch_ups.clear()

    # What subscribers are sent

    def snapshot(self) -> Frame:
        """The whole state; encoded once, however many join."""
        if self._snapshot is None:
            data = self._state.snapshot()
            self._snapshot = Frame(frames.snapshot(self.channel, self.position, self.ts, data))
        return self._snapshot

    def catch_up(self, seq: int) -> Frame:
        """One frame from `seq` to the head, for a value or a table: a conflated update, or a
        snapshot where none can be made. Encoded once for all who are equally far behind."""
        frame = self._catch_ups.get(seq)
        if frame is None:
            if len(self._catch_ups) >= MAX_CATCH_UPS:
                self._catch_ups.clear()
            frame = self._catch_ups[seq] = self._make_catch_up(seq)
        return frame

    def _make_catch_up(self, seq: int) -> Frame:
        assert self.kind is not Kind.LOG, "a log is never conflated"
        assert seq < self.position.seq, f"nothing to catch up from {seq} to {self.position.seq}"
        if seq == self.position.seq - 1:
            newest = self._ring.newest
            assert newest is not None, "whoever is behind was here when the newest was applied"
            return Frame(newest.payload)
        data = self._state.since(seq)
        if data is None:
            return self.snapshot()
        return Frame(
            frames.conflated(self.channel, self.event, self.position, self.ts, data, prev=seq)
        )

    def resume(self, since: Position) -> Resume | None:
        """What a client missed that returns with `since`; None where the hub can't prove it.

        Where `reaches` says no, the broker may know more: see `bridge`.
        """
        since = _or_start(since, self.position.epoch)
        if since.epoch != self.position.epoch or since.seq > self.position.seq:
            return None
        if self._ring.tag_at(since.seq) != since.tag:
            return None
        if since.seq == self.position.seq:
            return Resume([])
        if self.kind is Kind.LOG:
            return Resume([Frame(entry.payload) for entry in self._ring.after(since.seq)])
        return Resume([self.catch_up(since.seq)])

    def reaches(self, since: Position) -> bool:
        """Whether `resume` decides for good: the broker knows no more about `since`."""
        since = _or_start(since, self.position.epoch)
        if since.epoch != self.position.epoch:
            return True
        if since.seq > self.position.seq:
            # Another hub was ahead of this one; while the broker is asked, the feed may arrive.
            return False
        return self.kind is not Kind.LOG or self._ring.tag_at(since.seq) is not None

    def bridge(self, since: Position, reading: ChannelReading) -> Resume | None:
        """What a client missed, from `since` over the broker's reading to the feed's position.

        None where that can't be proved. The feed may be ahead of the reading, or behind it.
        """
        since = _or_start(since, self.position.epoch)
        entries = missed(reading, since)
        if entries is None:
            return None
        upto = [entry for entry in entries if entry.seq <= self.position.seq]
        rest = self.resume(upto[-1].position if upto else since)
        if rest is None:
            return None
        return Resume([*(Frame(admit(e, self.kind).payload) for e in upto), *rest.frames])

    # Freshness

    def renew(self, now: float, lease_seconds: float = 0.0) -> None:
        """A publish was heard. A lease of 0 leaves the channel's deadline as it is."""
        if lease_seconds:
            self._lease_seconds = lease_seconds
        self._renewed_at = now

    def check_freshness(self, now: float) -> ChannelState | None:
        """What to tell subscribers, where the channel became stale, or live again, by `now`."""
        stale = (
            self._renewed_at is not None
            and self._lease_seconds is not None
            and now >= self._renewed_at + self._lease_seconds
        )
        if stale is self.stale:
            return None
        self.stale = stale
        return ChannelState.STALE if stale else ChannelState.LIVE

    def _read_lease(self, reading: ChannelReading, now: float) -> None:
        heard_at = self._renewed_at
        if reading.lease_left_ms is None:
            self._renewed_at = now if heard_at is None else heard_at
        else:
            self._lease_seconds = reading.lease_ms / 1000
            read_at = now + (reading.lease_left_ms - reading.lease_ms) / 1000
            # What was heard while the channel was read may be newer.
            self._renewed_at = read_at if heard_at is None else max(read_at, heard_at)


def _or_start(position: Position, epoch: str) -> Position:
    """Whoever saw a channel before its first publish stands at the start of its first history."""
    return Position(epoch, 0, "") if position == NOWHERE else position
