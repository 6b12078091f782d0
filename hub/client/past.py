"""What a channel showed at a time: from a recording, or from the entries that Redis keeps.

Rules:
1. A state is exact where every change from a known state to the time is there, and none is missing:
   their tags chain each to the one before it. Where that can't be shown the answer says so.
2. Before the first change that is kept, after the last thing that a recorder heard, in a gap of a
   recording and in the future nothing is known, and nothing is answered.
3. Redis keeps a table as it is now, and its newest changes. A row that changed after the time, and
   not before it within what is kept, can't be known; every other row can.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import msgspec

from hub.client import recording
from hub.client.folding import NOTHING, Entries, Entry, Folded, read_changes
from hub.protocol.envelope import Envelope
from hub.protocol.frames import ChannelState, snapshot_rows
from hub.protocol.payload import is_sound
from hub.protocol.position import Position, chain_tag
from hub.protocol.reading import ChannelReading
from hub.protocol.streams import Kind

_EMPTY = Position("", 0, "")


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """A channel at a time. Times in microseconds since the epoch (UTC).

    position, ts: of the newest change, ts 0 where there was none. data: as a snapshot has it.
    stale: None where it can't be known. reset: where the channel began anew in the recording last.
    proved: how many changes are chained by their tags. missing: what keeps this from being exact,
    "" where it is. unknown: keys of rows that can't be known.
    """

    channel: str
    kind: Kind
    at: int
    position: Position
    ts: int
    data: msgspec.Raw
    stale: bool | None
    reset: recording.Reset | None = None
    proved: int = 0
    missing: str = ""
    unknown: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        return not self.missing


class UnknownPast(Exception):
    """The time is outside of what is known, from `first` to `last` where there is such a span."""

    def __init__(self, why: str, first: int | None = None, last: int | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.first = first
        self.last = last


class FromRecording:
    """What a channel showed at a time, from the rows of a recording, which are taken in order."""

    def __init__(self, channel: str, at: int, history: int) -> None:
        self._channel = channel
        self._at = at
        self._state: Folded | None = None
        self._history = history
        self._position = _EMPTY
        self._ts = 0
        self._proved = 0
        self._missing = ""
        self._reset: recording.Reset | None = None
        # Whether the rows before and after the time are joined by nothing.
        self._broken = False
        self._over = False
        # By the recorder's clock: since when, and until when, it heard the channel.
        self._answered: int | None = None
        self._heard: int | None = None
        self._first: int | None = None
        self._run_is_later = False
        self._stale: bool | None = None
        self._stale_until = 0

    def take(self, row: recording.Row) -> None:
        """Take the next row, of whatever channel. Raises RecordingError."""
        if isinstance(row, recording.Begin):
            self._answered = None
            if row.at <= self._at:
                self._stale = None
            else:
                self._run_is_later = True
            return
        if not isinstance(row, recording.End) and row.channel == self._channel:
            self._take(row)
        if self._answered is not None:
            self._heard = row.at
            if not self._run_is_later:
                self._stale_until = row.at

    def _take(self, row: recording.Row) -> None:
        if self._answered is None:
            self._answered = row.at
            if row.at <= self._at:
                self._stale = False
        match row:
            case recording.Reset():
                self._broken = True
                if not self._over:
                    self._reset = row
            case recording.Turned() if row.at <= self._at:
                self._stale = row.state is ChannelState.STALE
            case recording.Snapshot() | recording.Update(position=Position()):
                self._step(row)

    def _step(self, row: recording.Snapshot | recording.Update) -> None:
        # A rollback's snapshot is older than what was shown before it.
        when = max(row.ts, self._ts)
        if self._first is None:
            self._first = when
        if self._over:
            return
        if when > self._at:
            self._over = True
            if self._broken and self._state is not None:
                raise UnknownPast("in the recording's gap", self._ts, when)
            return
        try:
            if isinstance(row, recording.Snapshot):
                self._restart(row)
            else:
                self._apply(row)
        except msgspec.DecodeError as error:
            raise recording.RecordingError(f"{self._channel} #{row.seq}: {error}") from None
        self._ts = when

    def _restart(self, row: recording.Snapshot) -> None:
        self._broken = False
        self._state = Folded(row.kind, self._history)
        self._state.restart(row.kind, bytes(row.data))
        self._position = row.position
        self._proved = 0
        self._missing = ""

    def _apply(self, row: recording.Update) -> None:
        at, position = self._position, row.position
        assert position is not None
        if self._state is None:
            raise recording.RecordingError(
                f"{self._channel} #{position.seq}: expected a snapshot before the first update"
            )
        data = bytes(row.data)
        if at == _EMPTY:
            at = Position(position.epoch, 0, "")
        if row.skipped:
            self._missing = f"#{position.seq} stands for {row.skipped} more, which were skipped"
        elif position.epoch != at.epoch or position.seq != at.seq + 1:
            self._missing = f"#{position.seq} does not follow #{at.seq}"
        elif position.tag != chain_tag(
            at.tag, position.epoch, position.seq, row.event, row.ts, data
        ):
            self._missing = f"the tag of #{position.seq} does not prove that it is what it was"
        else:
            self._proved += 1
        self._state.apply(position.seq, row.event, row.ts, data)
        self._position = position

    def result(self) -> Past:
        """The answer, after the last row. Raises UnknownPast."""
        if self._state is None:
            if self._first is None:
                raise UnknownPast("the recording has nothing of the channel")
            raise UnknownPast("before the recording", self._first, self._heard)
        if not self._over and (self._broken or self._heard is None or self._at > self._heard):
            raise UnknownPast("after the recording", self._first, self._heard)
        return Past(
            channel=self._channel,
            kind=self._state.kind,
            at=self._at,
            position=self._position,
            ts=self._ts,
            data=msgspec.Raw(self._state.snapshot()),
            stale=self._stale if self._at <= self._stale_until else None,
            reset=self._reset,
            proved=self._proved,
            missing=self._missing,
        )


class FromEntries:
    """What a channel showed at a time, from a reading of its state now and its entries up to there,
    which are taken oldest first. Entries that are not chained to the later ones do not count.

    until: when the reading was begun, by a clock that need not be the broker's.
    """

    def __init__(self, now: ChannelReading, at: int, history: int, until: int) -> None:
        assert now.kind is not None, "a channel that something was published to"
        self._now = now
        self._kind = now.kind
        self._at = at
        self._history = history
        self._until = until
        self._begin()

    def _begin(self) -> None:
        self._first: Envelope | None = None
        self._last: Envelope | None = None
        self._shown: deque[Envelope] = deque(maxlen=self._history)
        self._over = False
        self._rows: dict[str, bytes] = {}
        self._before: set[str] = set()
        self._after: set[str] = set()

    @property
    def complete(self) -> bool:
        """Whether the entries have reached where the channel stood when its state was read."""
        head = self._now.position
        return head is not None and self._last is not None and self._last.seq >= head.seq

    def take(self, entries: Iterable[Envelope]) -> None:
        """Take the next entries; those after the state that was read are left out."""
        head = self._now.position
        assert head is not None
        for entry in entries:
            if entry.seq > head.seq:
                return
            if self._last is not None and not entry.follows(self._last.position):
                self._begin()
            self._first = self._first or entry
            self._last = entry
            self._over = self._over or entry.ts > self._at
            if not self._over:
                self._shown.append(entry)
            if self._kind is Kind.TABLE:
                self._change(entry)

    def _change(self, entry: Envelope) -> None:
        try:
            changes = read_changes(entry.data)
        except msgspec.DecodeError:
            return  # somebody's by hand, which no dashboard was shown
        keys = {*changes.upsert, *changes.delete}
        if self._over:
            self._after |= keys
            return
        self._before |= keys
        self._rows.update((key, bytes(row)) for key, row in changes.upsert.items())
        for key in changes.delete:
            self._rows.pop(key, None)

    def result(self) -> Past:
        """The answer, after the last entry. Raises UnknownPast."""
        first, last = self._first, self._last
        if first is None or last is None or last.position != self._now.position:
            raise UnknownPast("the stream's entries do not lead to where the channel stands")
        if not self._shown:
            raise UnknownPast("before the oldest entry that is kept", first.ts, None)
        if self._at > max(last.ts, self._until):
            raise UnknownPast("it is still to come", first.ts, self._until)
        data, missing, unknown = self._data(first)
        newest = self._shown[-1]
        return Past(
            channel=self._now.channel,
            kind=self._kind,
            at=self._at,
            position=newest.position,
            ts=newest.ts,
            data=msgspec.Raw(data),
            stale=None,
            proved=last.seq - first.seq + 1,
            missing=missing,
            unknown=unknown,
        )

    def _data(self, first: Envelope) -> tuple[bytes, str, tuple[str, ...]]:
        """The state, what keeps it from being exact, and the rows that can't be known."""
        if self._kind is Kind.VALUE:
            return _sound(self._shown[-1].data), "", ()
        # The history that begins with seq 1 began with nothing.
        whole = first.seq == 1
        if self._kind is Kind.LOG:
            entries = [
                Entry(e.seq, e.event, e.ts, msgspec.Raw(_sound(e.data))) for e in self._shown
            ]
            lacking = not whole and len(entries) < self._history
            missing = f"entries before #{first.seq} are no longer kept" if lacking else ""
            return msgspec.json.encode(Entries(entries)), missing, ()
        rows, unknown = self._rows, frozenset[str]()
        if not whole:
            untouched = self._now.rows.keys() - self._before - self._after
            rows = {**rows, **{key: self._now.rows[key] for key in untouched}}
            unknown = frozenset(self._after - self._before)
        missing = (
            f"{len(unknown)} rows changed later, and not before within the entries that are kept, "
            f"from #{first.seq} on"
            if unknown
            else ""
        )
        sound = {key: row for key, row in rows.items() if is_sound(row)}
        return snapshot_rows(sound), missing, tuple(sorted(unknown))


def _sound(data: bytes) -> bytes:
    """What a hub would have shown of data that somebody wrote by hand."""
    return data if is_sound(data) else NOTHING
