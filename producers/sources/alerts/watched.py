"""One channel as the rules see it: what it carries now, and what happened since. Pure.

It is moved by readings alone (see `hub.protocol.reading`): entry by entry where these provably
follow what is known, else by its state as it stands, with those entries of a log that are newer, by
their time, than the newest that was seen.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from hub.protocol.envelope import Envelope
from hub.protocol.errors import PayloadError
from hub.protocol.payload import parse
from hub.protocol.position import Position
from hub.protocol.reading import ChannelReading, leading_to_head
from hub.protocol.streams import Kind, Stream

_MS: Final = 1_000


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """How far a channel was seen: a position, and when its entry was published, in microseconds.

    One that was not there was seen to `NOWHERE`: all that it has from then on is new.
    """

    epoch: str
    seq: int
    tag: str
    at: int

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.seq, self.tag)


NOWHERE: Final = Mark("", 0, "", 0)


class Look(NamedTuple):
    """A channel at a moment.

    kind: None where it is not there. content: the value, or rows by key; None where not known.
    is_fresh: whether it is known to be of now. stale_since: in microseconds, None where not known.
    silent_since: the time of the newest entry of one that is never stale by itself, else None.
    changed: the rows that may differ from the look before, None where that is not known.
    """

    channel: str
    kind: Kind | None
    content: Any
    is_fresh: bool
    stale_since: int | None = None
    silent_since: int | None = None
    changed: frozenset[str] | None = None


class Watched:
    """mark: how far it was seen by whoever evaluated before; None where nobody did."""

    def __init__(self, channel: str, options: Stream, mark: Mark | None) -> None:
        self.channel = channel
        self.kind: Kind | None = None
        self.mark = mark
        self._deadline_us = None if (s := options.deadline_seconds) is None else round(s * 1e6)
        self._content: Any = None
        self._is_known = True

    @property
    def needs_state(self) -> bool:
        """Whether the next reading has to bring the state."""
        return self._content is None

    def take(self, reading: ChannelReading) -> list[Envelope] | None:
        """The entries that follow, for `apply`, one by one. None where that can't be proved: then
        `begin` takes a reading of the newest."""
        head = reading.position
        if head is None:
            self._forget()
            return []
        if not self._is_known or self.mark is None:
            return None
        if reading.kind is Kind.LOG:
            self._content = ()
        elif reading.kind is Kind.TABLE and self._content is None:
            # What was in it where it was left is not known; what is, is.
            return None
        at, found = self.mark.position, []
        if not at.epoch:
            at = Position(head.epoch, 0, "")
        for entry in reading.entries:
            if not entry.follows(at):
                return None
            found.append(entry)
            at = entry.position
        if not found and at != head:
            return None
        self.kind = reading.kind
        if at == head and self.needs_state:
            self._take_state(reading)
        if not found:
            self.mark = Mark(head.epoch, head.seq, head.tag, self.mark.at)
        return found

    def begin(self, reading: ChannelReading) -> list[Envelope]:
        """Begin at the head, from a reading of the newest entries and the state."""
        head = reading.position
        if head is None:
            self._forget()
            return []
        newest = leading_to_head(reading)
        seen = None if self.mark is None else self.mark.at
        at = newest[-1].ts if newest else seen or 0
        self.mark = Mark(head.epoch, head.seq, head.tag, at)
        self.kind, self._is_known = reading.kind, True
        self._take_state(reading)
        # What stood in a log before anybody looked is of the past.
        if reading.kind is not Kind.LOG or seen is None:
            return []
        return [entry for entry in newest if entry.ts > seen]

    def apply(self, entry: Envelope) -> Look:
        """The channel after one more entry, at the entry's time."""
        at = entry.position
        newest = 0 if self.mark is None else self.mark.at
        self.mark = Mark(at.epoch, at.seq, at.tag, max(newest, entry.ts))
        changed = None
        if self.kind is Kind.VALUE:
            self._content = _parsed(entry.data)
        elif self.kind is Kind.TABLE:
            changed = self._patch(_parsed(entry.data))
        return Look(self.channel, self.kind, self._content, True, changed=changed)

    def look(self, reading: ChannelReading, now: int) -> Look:
        """The channel as it is now. now: the server's clock, in microseconds."""
        if self.kind is None or self.mark is None:
            return Look(self.channel, None, None, False)
        left_ms = reading.lease_left_ms
        if left_ms is not None:
            until = now + left_ms * _MS
        elif self._deadline_us is not None:
            until = self.mark.at + self._deadline_us
        else:
            return Look(self.channel, self.kind, self._content, True, silent_since=self.mark.at)
        is_fresh = until > now
        since = None if is_fresh else until
        return Look(self.channel, self.kind, self._content, is_fresh, since)

    def _forget(self) -> None:
        self.kind, self._content, self._is_known = None, None, True
        self.mark = NOWHERE if self.mark is None else Mark("", 0, "", self.mark.at)

    def _take_state(self, reading: ChannelReading) -> None:
        if reading.kind is Kind.VALUE and reading.value is not None:
            self._content = _parsed(reading.value)
        elif reading.kind is Kind.TABLE:
            self._content = {key: _parsed(row) for key, row in reading.rows.items()}
        elif reading.kind is Kind.LOG:
            self._content = ()

    def _patch(self, change: Any) -> frozenset[str] | None:
        match change:
            case {"upsert": dict(upsert), "delete": list(delete)} if self._content is not None:
                for key in delete:
                    self._content.pop(key, None)
                self._content.update(upsert)
                return frozenset([*upsert, *delete])
        # By hand: what the rows are now is in the state alone.
        self._content, self._is_known = None, False
        return None


def _parsed(data: bytes) -> Any:
    """JSON with exact numbers; None where it is none that may be shown."""
    try:
        return parse(data)
    except PayloadError:
        return None
