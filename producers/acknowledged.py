"""What Redis acknowledged, kept so that it can be published again where Redis lost it.

A failover to a replica that lacked the last entries, a restart without its file or a flush takes
back what a publisher was told is stored. The rules:

1. Of a value or table the state is kept, as this publisher made it, for as long as it runs.
2. Of a log the entries of the last `KEPT_SECONDS` before Redis answered last are kept, as far as
   `KEPT_BYTES` reach. What is older a replica has, or nobody.
3. A channel that lost anything acknowledged shows it by its position: the epoch is another, the
   head is behind, or an entry has another tag.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from hub.protocol.payload import MAX_DATA_BYTES
from hub.protocol.position import Position
from hub.protocol.publication import (
    AppendEntry,
    Change,
    PatchRows,
    Publication,
    Receipt,
    ReplaceRows,
    SetValue,
)
from hub.protocol.streams import Kind

KEPT_SECONDS: Final = 60.0
KEPT_BYTES: Final = 32 * 1024 * 1024

# What a kept entry costs besides its data, about.
_OVERHEAD_BYTES: Final = 512
# A row deleted longer ago is deleted on every replica.
_DELETED_KEPT: Final = 1_000
# Of rows in one publish; its keys and commas must fit beside them.
_PART_BYTES: Final = MAX_DATA_BYTES // 2


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One entry of a log, and where it was acknowledged to stand.

    history: which one of its channel, counted from 0 by each that was lost.
    """

    at: float
    position: Position
    publication: Publication
    size_bytes: int
    history: int


@dataclass(slots=True)
class _Channel:
    """`head` is the newest position that was acknowledged in the channel's `history`."""

    head: Position | None = None
    history: int = 0
    kind: Kind = Kind.LOG
    event: str = ""
    lease_ms: int = 0
    value: SetValue | None = None
    rows: dict[str, bytes] | None = None
    whole: bool = False
    deleted: dict[str, None] = field(default_factory=dict)


class Acknowledged:
    """The memory of one publisher. Time is an argument, in seconds of any clock."""

    def __init__(self) -> None:
        self._channels: dict[str, _Channel] = {}
        self._entries: deque[Entry] = deque()
        self._bytes = 0

    def note(self, publication: Publication, receipt: Receipt, now: float) -> bool:
        """Keep what was acknowledged; False where the receipt shows that its channel lost some."""
        channel = self._channels.get(publication.channel)
        if channel is None:
            channel = self._channels[publication.channel] = _Channel()
        channel.kind = publication.kind
        channel.lease_ms = publication.lease_ms or channel.lease_ms
        at, head, change = receipt.position, channel.head, publication.change
        is_whole = True
        # Most receipts are of the next entry, which needs no second look.
        if head is not None and (at.epoch != head.epoch or at.seq <= head.seq):
            is_whole = _goes_on(head, change, receipt)
        if not is_whole:
            channel.history += 1
        if head is None or not is_whole or at.seq > head.seq:
            channel.head = at
        if not isinstance(change, AppendEntry):
            _keep_state(channel, publication)
        # An entry that was there before is kept, if at all, as the publish it equals.
        elif not receipt.unchanged:
            size_bytes = _OVERHEAD_BYTES + len(change.data)
            self._append(Entry(now, at, publication, size_bytes, channel.history))
        return is_whole

    def heads(self) -> dict[str, Position]:
        """The newest position that was acknowledged of each channel."""
        return {name: each.head for name, each in self._channels.items() if each.head is not None}

    def break_off(self, names: Iterable[str]) -> None:
        """The histories of these channels turned out to be lost."""
        for name in names:
            self._channels[name].head = None
            self._channels[name].history += 1

    def entries(self, names: Iterable[str]) -> dict[str, list[Entry]]:
        """Of each of these channels, the entries that are kept of its lost histories, in the order
        of their positions."""
        found: dict[str, list[Entry]] = {name: [] for name in names}
        for entry in self._entries:
            name = entry.publication.channel
            if name in found and entry.history < self._channels[name].history:
                found[name].append(entry)
        for entries in found.values():
            entries.sort(key=lambda entry: entry.position.seq)
        return found

    def forget(self, lost: Iterable[Entry]) -> None:
        """These entries will be published again."""
        gone = set(map(id, lost))
        self._entries = deque(entry for entry in self._entries if id(entry) not in gone)
        self._bytes = sum(entry.size_bytes for entry in self._entries)

    def state(self, name: str) -> Iterator[Publication]:
        """What publishes a value or table as it is; several where its rows need them.

        Without the ids: to Redis they are new.
        """
        channel = self._channels[name]
        for change in _state_changes(channel):
            yield Publication(name, channel.kind, channel.event, change, "", 0, channel.lease_ms)

    def _append(self, entry: Entry) -> None:
        entries = self._entries
        entries.append(entry)
        self._bytes += entry.size_bytes
        while entries[0].at < entry.at - KEPT_SECONDS or self._bytes > KEPT_BYTES:
            self._bytes -= entries.popleft().size_bytes


def holds(position: Position, head: Position | None, entry: Position | None) -> bool:
    """Whether a channel that stands at `head` still has what was acknowledged at `position`.

    entry: what its log has under that seq; None for nothing. A head beyond it shows that the log
    was trimmed, which takes nothing from the history.
    """
    if head is None or head.epoch != position.epoch or head.seq < position.seq:
        return False
    if entry is None:
        return head.seq > position.seq or head.tag == position.tag
    return entry.tag == position.tag


def _goes_on(head: Position, change: Change, receipt: Receipt) -> bool:
    """Whether the history that is known up to `head` can have a receipt that is not beyond it."""
    if receipt.position.epoch != head.epoch:
        return False
    # The position of something older: what the publish repeats, or an entry that it equals.
    if receipt.duplicate or (receipt.unchanged and isinstance(change, AppendEntry)):
        return True
    return receipt.unchanged and receipt.position == head


def _keep_state(channel: _Channel, publication: Publication) -> None:
    match publication.change:
        case SetValue() as value:
            channel.value = value
        case ReplaceRows(rows):
            channel.rows, channel.whole = dict(rows), True
            channel.deleted.clear()
        case PatchRows(upsert, delete):
            _patch(channel, upsert, delete)
        case _:
            return
    channel.event = publication.event


def _patch(channel: _Channel, upsert: Mapping[str, bytes], delete: Collection[str]) -> None:
    rows = channel.rows
    if rows is None:
        rows = channel.rows = {}
    for key in delete:
        rows.pop(key, None)
    rows.update(upsert)
    if channel.whole:
        return
    for key in upsert:
        channel.deleted.pop(key, None)
    channel.deleted.update(dict.fromkeys(delete))
    while len(channel.deleted) > _DELETED_KEPT:
        del channel.deleted[next(iter(channel.deleted))]


def _state_changes(channel: _Channel) -> Iterator[Change]:
    if channel.value is not None:
        yield channel.value
    if channel.rows is None:
        return
    first, *others = _parts(channel.rows)
    if channel.whole:
        yield ReplaceRows(first)
    else:
        yield PatchRows(first, tuple(channel.deleted))
    for part in others:
        yield PatchRows(part)


def _parts(rows: dict[str, bytes]) -> Iterator[dict[str, bytes]]:
    """The rows in parts that are each small enough for one publish; at least one."""
    part: dict[str, bytes] = {}
    size = 0
    for key, row in rows.items():
        size += len(key) + len(row)
        if part and size > _PART_BYTES:
            yield part
            part, size = {}, len(key) + len(row)
        part[key] = row
    yield part
