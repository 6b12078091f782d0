"""What waits to be sent: in order, bounded, and conflating what may be conflated.

The rules:

1. What was not sent yet conflates: a new value, or a table's full replacement, takes the place of
   the one that waits for its channel; patches of a table merge. Log entries never conflate, and
   keep their order.
2. The bound is on publishes and bytes. When it is reached, the oldest waiting value or table is
   given up first: a newer one follows sooner or later, while a log entry never comes again. When
   there is none left, the new publish is refused.
3. What was taken to be sent is out of the buffer, and never changed or given up by it: it may have
   happened already. The same holds for what an earlier run left, which is `sealed`.

A ticket stands for whoever waits for an answer; what it is, is the caller's business.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Final, Generic, Protocol, TypeVar

from hub.protocol.publication import (
    AppendEntry,
    Change,
    PatchRows,
    ReplaceRows,
    SetValue,
    Touch,
)
from hub.protocol.streams import Kind

MAX_PUBLISHES: Final = 100_000
MAX_BYTES: Final = 64 * 1024 * 1024

# What a waiting publish costs besides its data, about.
_OVERHEAD_BYTES: Final = 1_024

Ticket = TypeVar("Ticket")


@dataclass(slots=True)
class Waiting(Generic[Ticket]):
    """One publish that waits, and the tickets of all that it answers.

    (producer, n): its id, 0 until it has one.
    row: its place in the spool, 0 until it has one.
    size_bytes: what it counts for in the buffer that it is in.
    sealed: an earlier run may have sent it, so it stays as it is.
    replicas: how many are to have it, within so many milliseconds, for its callers to be told so.
    """

    channel: str
    kind: Kind
    event: str
    change: Change
    lease_ms: int = 0
    tickets: list[Ticket] = field(default_factory=list)
    producer: str = ""
    n: int = 0
    row: int = 0
    size_bytes: int = field(default=0, compare=False)
    sealed: bool = False
    replicas: int = 0
    replica_timeout_ms: int = 0


@dataclass(slots=True)
class Added(Generic[Ticket]):
    """What became of a publish that was added.

    standing: what waits now: the new publish, or an older one that stands for both; None where
        it was not accepted.
    superseded: tickets of older publishes that the new one took the place of.
    given_up: older publishes that had to go to make room.
    """

    standing: Waiting[Ticket] | None
    superseded: list[Ticket] = field(default_factory=list)
    given_up: list[Waiting[Ticket]] = field(default_factory=list)


class Buffer(Protocol[Ticket]):
    """What a publisher needs of a buffer."""

    def __len__(self) -> int:
        """How many publishes wait."""
        ...

    def __iter__(self) -> Iterator[Waiting[Ticket]]:
        """What waits, oldest first."""
        ...

    def restore(self, sealed: Waiting[Ticket]) -> None:
        """Let a publish wait that an earlier run had accepted, whatever the bound says."""
        ...

    def add(self, new: Waiting[Ticket]) -> Added[Ticket]:
        """Let a publish wait."""
        ...

    def take(self, max_publishes: int, max_bytes: int) -> list[Waiting[Ticket]]:
        """Remove and return the oldest publishes: at least one, if one waits."""
        ...


class MemoryBuffer(Generic[Ticket]):
    """The buffer in memory, by the rules above."""

    def __init__(self, *, max_publishes: int = MAX_PUBLISHES, max_bytes: int = MAX_BYTES) -> None:
        self._max_publishes = max_publishes
        self._max_bytes = max_bytes
        self._bytes = 0
        self._numbers = count()
        self._waiting: dict[int, Waiting[Ticket]] = {}
        self._last: dict[str, int] = {}
        self._conflatable: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Waiting[Ticket]]:
        return iter(self._waiting.values())

    @property
    def size_bytes(self) -> int:
        return self._bytes

    def restore(self, sealed: Waiting[Ticket]) -> None:
        self._put(sealed, _OVERHEAD_BYTES + _size_of(sealed.change))

    def add(self, new: Waiting[Ticket]) -> Added[Ticket]:
        number = self._last.get(new.channel)
        older = self._waiting.get(number) if number is not None else None
        change = conflate(older.change, new.change) if older and older.kind is new.kind else None
        if number is None or older is None or change is None:
            return self._append(new)
        return self._merge(number, older, change, new)

    def take(self, max_publishes: int, max_bytes: int) -> list[Waiting[Ticket]]:
        taken: list[Waiting[Ticket]] = []
        while self._waiting and len(taken) < max_publishes:
            number, oldest = next(iter(self._waiting.items()))
            max_bytes -= oldest.size_bytes
            if taken and max_bytes < 0:
                break
            taken.append(self._remove(number))
        return taken

    def _append(self, new: Waiting[Ticket]) -> Added[Ticket]:
        size_bytes = _OVERHEAD_BYTES + _size_of(new.change)
        given_up = self._make_room(1, size_bytes, spared=None)
        if given_up is None:
            return Added(None)
        number = self._last[new.channel] = self._put(new, size_bytes)
        if not isinstance(new.change, AppendEntry):
            self._conflatable[number] = None
        return Added(new, given_up=given_up)

    def _put(self, waiting: Waiting[Ticket], size_bytes: int) -> int:
        number = next(self._numbers)
        self._waiting[number] = waiting
        waiting.size_bytes = size_bytes
        self._bytes += size_bytes
        return number

    def _merge(
        self, number: int, older: Waiting[Ticket], change: Change, new: Waiting[Ticket]
    ) -> Added[Ticket]:
        more_bytes = _size_of(change) - _size_of(older.change)
        given_up = self._make_room(0, more_bytes, spared=number)
        if given_up is None:
            return Added(None)
        self._bytes += more_bytes
        older.size_bytes += more_bytes
        # A touch carries no event of its own.
        if not isinstance(new.change, Touch):
            older.event = new.event
        superseded: list[Ticket] = []
        if isinstance(new.change, SetValue | ReplaceRows) and not isinstance(older.change, Touch):
            superseded, older.tickets = older.tickets, []
        if isinstance(change, AppendEntry):
            self._conflatable.pop(number, None)
        older.change = change
        older.lease_ms = new.lease_ms or older.lease_ms
        older.tickets.extend(new.tickets)
        older.replicas = max(older.replicas, new.replicas)
        older.replica_timeout_ms = max(older.replica_timeout_ms, new.replica_timeout_ms)
        return Added(older, superseded=superseded, given_up=given_up)

    def _make_room(
        self, publishes: int, more_bytes: int, spared: int | None
    ) -> list[Waiting[Ticket]] | None:
        """Give up what has to go; None, with nothing changed, where that is not enough."""
        excess = len(self._waiting) + publishes - self._max_publishes
        excess_bytes = self._bytes + more_bytes - self._max_bytes
        doomed: list[int] = []
        for number in self._conflatable:
            if excess <= 0 and excess_bytes <= 0:
                break
            if number != spared:
                doomed.append(number)
                excess -= 1
                excess_bytes -= self._waiting[number].size_bytes
        if excess > 0 or excess_bytes > 0:
            return None
        return [self._remove(number) for number in doomed]

    def _remove(self, number: int) -> Waiting[Ticket]:
        waiting = self._waiting.pop(number)
        self._bytes -= waiting.size_bytes
        self._conflatable.pop(number, None)
        if self._last.get(waiting.channel) == number:
            del self._last[waiting.channel]
        return waiting


def conflate(older: Change, newer: Change) -> Change | None:
    """The one change that stands for both, or None where each must travel."""
    match older, newer:
        case _, Touch():
            return older
        case Touch(), _:
            return newer
        case (SetValue(), SetValue()) | (ReplaceRows() | PatchRows(), ReplaceRows()):
            return newer
        case ReplaceRows(rows), PatchRows(upsert, delete):
            kept = {key: row for key, row in rows.items() if key not in delete}
            return ReplaceRows({**kept, **upsert})
        case PatchRows(before, gone), PatchRows(upsert, delete):
            kept = {key: row for key, row in before.items() if key not in delete}
            still_gone = tuple(key for key in gone if key not in upsert and key not in delete)
            return PatchRows({**kept, **upsert}, still_gone + delete)
    return None


def _size_of(change: Change) -> int:
    match change:
        case SetValue(data) | AppendEntry(data):
            return len(data)
        case ReplaceRows(rows):
            return _size_of_rows(rows)
        case PatchRows(upsert, delete):
            return _size_of_rows(upsert) + sum(map(len, delete))
    return 0


def _size_of_rows(rows: dict[str, bytes]) -> int:
    return sum(len(key) + len(row) for key, row in rows.items())
