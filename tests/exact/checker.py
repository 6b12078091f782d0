"""Holds what a client was sent against the rules of exact delivery. No I/O.

It imports nothing of the hub or its client, so that a mistake there is not made here again. The
rules, for each channel of each client:

1. Nothing of a channel comes before the reply to its subscribe. Without `since` a snapshot follows
   the reply; with `since` the reply says `recovered`, and what was missed follows.
2. In a log each entry follows the one before it: no hole, no duplicate, no other order, no other
   history, and nothing conflated. Every client is sent the same bytes for an entry.
3. In a value or a table an update may be conflated, and says so truthfully.
4. A heartbeat names the head that this client was served up to.
5. In the end each client stands at the producers' last positions, has their values and rows, and
   the entries are those whose publishes were acknowledged, chained by their tags.

What breaks a rule is a breach: a line of text that says who, where and what.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha1
from typing import Any, NamedTuple, TypeAlias

import msgspec

MAX_HISTORY = 300


class Position(msgspec.Struct, frozen=True):
    """Where something stands."""

    epoch: str
    seq: int
    tag: str


START = Position("", 0, "")
"""Where a channel stands that nothing was published to."""


class Error(msgspec.Struct, frozen=True):
    """Why a command was not carried out."""

    code: int
    message: str
    retry: bool = False


class Text(msgspec.Struct, frozen=True):
    """Any text frame of the hub: the fields of all of them."""

    type: str = ""
    channel: str = ""
    event: str = ""
    epoch: str = ""
    seq: int = -1
    tag: str = ""
    ts: int = 0
    prev: int | None = None
    skipped: int | None = None
    state: str = ""
    heads: dict[str, int] = {}
    id: int | None = None
    result: msgspec.Raw = msgspec.Raw()
    error: Error | None = None
    data: msgspec.Raw = msgspec.Raw()

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.seq, self.tag)


class Reply(msgspec.Struct, frozen=True):
    """The result of a subscribe."""

    channel: str
    recovered: bool


class Entry(NamedTuple):
    """What every client must be sent alike for one seq of a log."""

    event: str
    ts: int
    data: bytes


class _ListedEntry(msgspec.Struct, frozen=True):
    seq: int
    event: str
    ts: int
    data: msgspec.Raw


class _Entries(msgspec.Struct, frozen=True):
    entries: list[_ListedEntry]


class _Rows(msgspec.Struct, frozen=True):
    rows: dict[str, Any]


class _RowChanges(msgspec.Struct, frozen=True):
    upsert: dict[str, Any]
    delete: list[str]


class Truth(msgspec.Struct, frozen=True):
    """What the producers know of a channel when they have ended.

    entries: event and data of each acknowledged entry of a log, by seq. state: the last value, or
    a table's rows.
    """

    kind: str
    head: Position
    entries: dict[int, tuple[str, Any]] = {}
    state: Any = None


decode_text = msgspec.json.Decoder(Text).decode
decode_reply = msgspec.json.Decoder(Reply).decode
_decode = msgspec.json.decode

Breach: TypeAlias = Callable[[str], None]
"""Takes what broke a rule."""


class Tape:
    """What all clients of this process were sent of one log, each entry once."""

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self.epochs: set[str] = set()
        self._entries: dict[int, Entry] = {}
        self._tags: dict[int, str] = {}

    def note(self, seq: int, entry: Entry, breach: Breach) -> None:
        """Take an entry as one client was sent it."""
        known = self._entries.setdefault(seq, entry)
        if known != entry:
            breach(f"{self.channel} {seq}: expected {known}, as another client got, got {entry}")

    def note_position(self, position: Position, breach: Breach) -> None:
        """Take the tag that one client was sent for a seq."""
        self.epochs.add(position.epoch)
        known = self._tags.setdefault(position.seq, position.tag)
        if known != position.tag:
            breach(f"{self.channel} {position.seq}: tagged {known} and {position.tag}")

    def compare(self, truth: Truth, breach: Breach) -> None:
        """Hold the entries against the acknowledged ones, and the tags against their chain."""
        if self.epochs - {truth.head.epoch}:
            breach(f"{self.channel}: expected the history {truth.head.epoch}, got {self.epochs}")
        for seq, (event, ts, data) in self._entries.items():
            acknowledged = truth.entries.get(seq)
            if (event, _decode(data)) != acknowledged:
                breach(
                    f"{self.channel} {seq}: expected {acknowledged}, got {event} {data.decode()}"
                )
            before = "" if seq == 1 else self._tags.get(seq - 1)
            tag = self._tags.get(seq)
            if before is None or tag is None:
                continue
            # docs/protocol.md, "Positions": the tag chains an entry to the one before it.
            chain = f"{before} {truth.head.epoch} {seq} {event} {ts} ".encode() + data
            if tag != sha1(chain, usedforsecurity=False).hexdigest()[:8]:
                breach(f"{self.channel} {seq}: the tag {tag} does not follow {before}")


class Follower:
    """One client's place in one channel, over all of its connections."""

    kind = ""

    def __init__(self, channel: str, breach: Breach) -> None:
        self.channel = channel
        self.position: Position | None = None
        self.delivered = 0
        """Updates that counted."""
        self._breach = breach
        self._asked = False
        self._since: Position | None = None
        self._owed = ""

    @property
    def following(self) -> bool:
        """Whether updates come: the reply did, and a snapshot where one had to."""
        return not self._asked and not self._owed

    def ask(self) -> Position | None:
        """The client subscribes; returns its `since`."""
        self._asked, self._owed = True, ""
        self._since = self.position
        return self._since

    def leave(self) -> None:
        """The connection is gone."""
        self._asked, self._owed = False, "a subscribe"

    def answer(self, recovered: bool) -> None:
        """The reply to the subscribe."""
        if not self._asked:
            self.breach("a reply that nobody asked for")
        self._asked = False
        if recovered and self._since is None:
            self.breach("recovered, and nothing was held")
        elif not recovered:
            if self._since is not None:
                self.breach(f"not recovered from {self._since}")
            self._owed = "a snapshot"

    def take(self, text: Text) -> None:
        """A snapshot, update or announcement of this channel."""
        if text.type == "channel":
            if text.state == "reset":
                self.breach(f"reset at {self.position}")
            return
        if self._asked:
            self.breach(f"{text.type} {text.seq} before the reply")
        elif text.type == "snapshot":
            self._snapshot(text)
            self._owed = ""
            self.position = text.position
        elif self._owed:
            self.breach(f"{text.type} {text.seq} before {self._owed}")
        elif self._follows(text):
            self._update(text)
            self.delivered += 1
            self.position = text.position

    def heartbeat(self, head: int) -> None:
        """The hub names the head that it served this client up to."""
        if self.following and self.position is not None and head != self.position.seq:
            self.breach(f"a heartbeat names {head}, served was {self.position.seq}")

    def compare(self, truth: Truth) -> None:
        """Hold the last position, and what state there is, against the producers'."""
        if self.position != truth.head:
            self.breach(f"ended at {self.position}, expected {truth.head}")

    def breach(self, what: str) -> None:
        """Tell of a broken rule."""
        self._breach(f"{self.channel}: {what}")

    def _follows(self, text: Text) -> bool:
        assert self.position is not None, "a snapshot came first"
        at, position = self.position, text.position
        if position.epoch != at.epoch and at != START:
            self.breach(f"another history at {position.seq}: {at.epoch}, then {position.epoch}")
        elif position.seq <= at.seq:
            self.breach(f"{position.seq} after {at.seq}: a duplicate, or out of order")
            return False
        elif text.prev is not None:
            skipped = position.seq - text.prev - 1
            if text.prev != at.seq or text.skipped != skipped:
                self.breach(
                    f"{position.seq} says prev {text.prev}, skipped {text.skipped}, after {at.seq}"
                )
        elif position.seq != at.seq + 1:
            self.breach(f"{position.seq} after {at.seq}: a hole")
        return True

    def _snapshot(self, text: Text) -> None:
        raise NotImplementedError

    def _update(self, text: Text) -> None:
        raise NotImplementedError


class LogFollower(Follower):
    """Of a log: one snapshot, then every entry."""

    kind = "log"

    def __init__(self, channel: str, breach: Breach, tape: Tape) -> None:
        super().__init__(channel, breach)
        self._tape = tape

    def _snapshot(self, text: Text) -> None:
        if not self._owed:
            self.breach(f"a snapshot at {text.seq} that replaces entries")
        entries = _decode(text.data, type=_Entries).entries
        first = text.seq - len(entries) + 1
        if [entry.seq for entry in entries] != list(range(first, text.seq + 1)):
            self.breach(f"the snapshot at {text.seq} has {[entry.seq for entry in entries]}")
        if len(entries) > MAX_HISTORY or (not entries and text.seq):
            self.breach(f"the snapshot at {text.seq} has {len(entries)} entries")
        for entry in entries:
            known = Entry(entry.event, entry.ts, bytes(entry.data))
            self._tape.note(entry.seq, known, self._breach)
        if text.seq:
            self._tape.note_position(text.position, self._breach)

    def _update(self, text: Text) -> None:
        if text.prev is not None:
            self.breach(f"{text.seq} was conflated")
        self._tape.note(text.seq, Entry(text.event, text.ts, bytes(text.data)), self._breach)
        self._tape.note_position(text.position, self._breach)


class StateFollower(Follower):
    """Of a value or a table: what counts is the state."""

    def __init__(self, channel: str, breach: Breach) -> None:
        super().__init__(channel, breach)
        self.state: Any = None

    def compare(self, truth: Truth) -> None:
        super().compare(truth)
        if self.state != truth.state:
            self.breach(f"ended with {self.state}, expected {truth.state}")

    def _snapshot(self, text: Text) -> None:
        at = self.position
        # One that was not asked for is a conflation that reached too far for an update.
        if not self._owed and at is not None and (text.epoch != at.epoch or text.seq <= at.seq):
            self.breach(f"a snapshot of {text.position} after {at}")


class ValueFollower(StateFollower):
    """Of a value."""

    kind = "value"

    def _snapshot(self, text: Text) -> None:
        super()._snapshot(text)
        self.state = _decode(text.data)

    def _update(self, text: Text) -> None:
        self.state = _decode(text.data)


class TableFollower(StateFollower):
    """Of a table."""

    kind = "table"

    def _snapshot(self, text: Text) -> None:
        super()._snapshot(text)
        self.state = _decode(text.data, type=_Rows).rows

    def _update(self, text: Text) -> None:
        changes = _decode(text.data, type=_RowChanges)
        self.state.update(changes.upsert)
        for key in changes.delete:
            if self.state.pop(key, None) is None and text.prev is None:
                self.breach(f"{text.seq} deletes the row {key}, which was not there")


def followers(
    kinds: Mapping[str, str], tapes: Mapping[str, Tape], breach: Breach
) -> list[Follower]:
    """One client's followers, by its channels' kinds; tapes are shared between clients."""
    found: list[Follower] = []
    for channel, kind in kinds.items():
        match kind:
            case "log":
                found.append(LogFollower(channel, breach, tapes[channel]))
            case "value":
                found.append(ValueFollower(channel, breach))
            case _:
                found.append(TableFollower(channel, breach))
    return found
