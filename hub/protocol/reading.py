"""What the broker answers to somebody who reads a channel: one moment, in one step."""

from __future__ import annotations

import msgspec

from hub.protocol.envelope import Envelope
from hub.protocol.position import Position
from hub.protocol.streams import Kind


class ChannelReading(msgspec.Struct, frozen=True):
    """A channel at one moment.

    position: its head; None where nothing was ever published, and then `kind` is None too.
    value: the JSON of a `value` channel; rows: the JSON of each row of a `table`.
    entries: oldest first; what was asked for, as far as the broker still has it. Whether they
        reach from one position to another without a hole is for the reader to prove (`chain`).
    lease_ms: how long a publish keeps the channel fresh, 0 where no producer said so;
    lease_left_ms: what is left of it, negative where it ran out, None where there is none.
    """

    channel: str
    position: Position | None
    kind: Kind | None
    value: bytes | None = None
    rows: dict[str, bytes] = {}
    entries: tuple[Envelope, ...] = ()
    lease_ms: int = 0
    lease_left_ms: int | None = None

    @classmethod
    def empty(cls, channel: str) -> ChannelReading:
        """A channel that nothing was published to."""
        return cls(channel, None, None)


def missed(reading: ChannelReading, since: Position) -> tuple[Envelope, ...] | None:
    """The entries that lead from `since` to the reading's head, or None where that can't be proved.

    The proof is the chain of tags: it begins at the caller's own and ends at the head's.
    """
    head = reading.position
    if head is None or head.epoch != since.epoch:
        return None
    found: list[Envelope] = []
    at = since
    for entry in reading.entries:
        if entry.seq <= since.seq:
            continue
        if not entry.follows(at):
            return None
        found.append(entry)
        at = entry.position
    return tuple(found) if at == head else None


def leading_to_head(reading: ChannelReading) -> list[Envelope]:
    """The newest entries of a reading that provably lead to its head, oldest first."""
    run: list[Envelope] = []
    for entry in reading.entries:
        if run and not entry.follows(run[-1].position):
            run.clear()
        run.append(entry)
    return run if run and run[-1].position == reading.position else []
