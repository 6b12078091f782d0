"""What of a recording is published when it is played, and when.

Rules:
1. Each change is published as it was: its event, and its data byte for byte. `ts`, the broker's
   clock, gives the order over all channels and the spacing.
2. A value or table begins with the state of its first snapshot; a log with its first change, since
   what its snapshot shows was before the recording.
3. A snapshot after a reset is published as a state; of a log, those of its entries that are newer
   than what was recorded before.
4. What is published to a channel is numbered from 1 in the recording's order, whatever part of it
   is played: the number is the publish's id, so that playing it again publishes nothing twice.
5. Where the first part is left out, a value or table begins with the state up to there. A state
   that stands there already is not published, as any that is unchanged.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec

from hub.client import recording
from hub.client.folding import Entry, Folded, read_changes, read_entries
from hub.client.recording import RecordingError, Row
from hub.protocol.errors import PayloadError
from hub.protocol.frames import snapshot_rows, update_rows
from hub.protocol.payload import parse
from hub.protocol.publication import AppendEntry, Change, PatchRows, ReplaceRows, SetValue
from hub.protocol.streams import Kind

ROW_BYTES = 8
"""What a row takes in a publish beside its key and data."""
STATE_EVENT = "snapshot"
"""The event of a state: no change of the recording has one that fits."""


class Cue(msgspec.Struct, frozen=True, gc=False):
    """Something to publish: where in the file its row is, and of a log's snapshot which entry.

    when: microseconds, by the broker's clock then. n: its number in the channel. whole: it is a
    state. live: a foreign publish, at no position.
    """

    when: int
    channel: str
    kind: Kind
    n: int
    offset: int
    entry: int = 0
    whole: bool = False
    live: bool = False


class _Place:
    """Where a channel of the recording stands."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.when = 0
        self.n = 0


class Cues:
    """Makes the cues of rows that are taken in the recording's order."""

    def __init__(self) -> None:
        self._places: dict[str, _Place] = {}

    @property
    def channels(self) -> Collection[str]:
        """Those of the rows so far, also where nothing of them is published."""
        return self._places.keys()

    def take(self, row: Row, offset: int) -> Iterator[Cue]:
        """The cues of the next row, which stands at `offset`. Raises RecordingError."""
        match row:
            case recording.Snapshot():
                yield from self._snapshot(row, offset)
            case recording.Update(channel=channel):
                place = self._places.get(channel)
                if place is None:
                    raise RecordingError(f"{channel}: expected a snapshot before the first update")
                yield self._cue(channel, place, row.ts, offset, live=row.position is None)

    def _snapshot(self, row: recording.Snapshot, offset: int) -> Iterator[Cue]:
        place = self._places.get(row.channel)
        first = place is None
        if place is None:
            place = self._places[row.channel] = _Place(row.kind)
        place.kind = row.kind
        if row.kind is not Kind.LOG:
            # An empty value's snapshot is null, which nobody set.
            if row.kind is Kind.TABLE or row.seq > 0:
                yield self._cue(row.channel, place, row.ts, offset, whole=True)
            return
        before = row.ts if first else place.when
        for index, entry in enumerate(_entries(row)):
            if entry.ts > before:
                yield self._cue(row.channel, place, entry.ts, offset, entry=index)
        place.when = max(place.when, row.ts)

    def _cue(
        self,
        channel: str,
        place: _Place,
        ts: int,
        offset: int,
        *,
        entry: int = 0,
        whole: bool = False,
        live: bool = False,
    ) -> Cue:
        # A clock that was set back must not change a channel's order.
        place.when = max(place.when, ts)
        place.n += 1
        return Cue(place.when, channel, place.kind, place.n, offset, entry, whole, live)


class Act(msgspec.Struct, frozen=True):
    """A cue with what its row says: what is published. data: of a state, as a snapshot has it."""

    cue: Cue
    event: str
    data: bytes
    seq: int = 0

    def changes(self, max_bytes: int) -> list[Change]:
        """The change that it makes; those of a table's state where that is larger than `max_bytes`.

        Raises PayloadError for what must not be published.
        """
        parse(self.data, max_bytes=len(self.data))
        try:
            return self._changes(max_bytes)
        except msgspec.DecodeError as error:
            raise PayloadError(f"expected the data of a {self.cue.kind}: {error}") from None

    def _changes(self, max_bytes: int) -> list[Change]:
        if self.cue.kind is Kind.VALUE:
            return [SetValue(self.data)]
        if self.cue.kind is Kind.LOG:
            return [AppendEntry(self.data)]
        if not self.cue.whole:
            changes = read_changes(self.data)
            upsert = {key: bytes(row) for key, row in changes.upsert.items()}
            return [PatchRows(upsert, tuple(changes.delete))]
        state = Folded(Kind.TABLE)
        state.restart(Kind.TABLE, self.data)
        first, *more = _parts(state.rows, max_bytes)
        return [ReplaceRows(first), *map(PatchRows, more)]


def _parts(rows: dict[str, bytes], max_bytes: int) -> list[dict[str, bytes]]:
    """The rows in as few parts as may be; one part where there are none."""
    parts: list[dict[str, bytes]] = [{}]
    size = 0
    for key, row in rows.items():
        cost = len(key.encode()) + len(row) + ROW_BYTES
        if parts[-1] and size + cost > max_bytes:
            parts.append({})
            size = 0
        parts[-1][key] = row
        size += cost
    return parts


def spell_change(change: Change) -> bytes:
    """A change as JSON, as a hub takes it."""
    match change:
        case SetValue(data) | AppendEntry(data):
            return data
        case ReplaceRows(rows):
            return snapshot_rows(rows)
        case PatchRows(upsert, delete):
            return update_rows(upsert, delete)
    raise AssertionError("a touch is no change")


def act_of(cue: Cue, row: Row) -> Act:
    """What a cue publishes, from the row that it names."""
    if isinstance(row, recording.Update):
        return Act(cue, row.event, bytes(row.data), row.seq or 0)
    assert isinstance(row, recording.Snapshot), "no other row has a cue"
    if cue.whole:
        return Act(cue, STATE_EVENT, bytes(row.data), row.seq)
    entry = _entries(row)[cue.entry]
    return Act(cue, entry.event, bytes(entry.data), entry.seq)


class LeftOut:
    """The part of a value or table that is not played: the state at its end."""

    def __init__(self, act: Act) -> None:
        assert act.cue.kind is not Kind.LOG, "what is left out of a log has no state"
        self._state = Folded(act.cue.kind)
        self._last = act.cue
        self.add(act)

    def add(self, act: Act) -> None:
        """Leave out one more. Raises PayloadError for data of another kind."""
        self._last = act.cue
        try:
            if act.cue.whole:
                self._state.restart(act.cue.kind, act.data)
            else:
                self._state.apply(act.seq, act.event, act.cue.when, act.data)
        except msgspec.DecodeError as error:
            raise PayloadError(f"expected the data of a {act.cue.kind}: {error}") from None

    def act(self) -> Act:
        """What stands for it."""
        return Act(
            msgspec.structs.replace(self._last, whole=True), STATE_EVENT, self._state.snapshot()
        )


def _entries(row: recording.Snapshot) -> list[Entry]:
    try:
        return read_entries(row.data).entries
    except msgspec.DecodeError as error:
        raise RecordingError(f"{row.channel} #{row.seq}: {error}") from None
