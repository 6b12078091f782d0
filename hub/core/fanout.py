"""What feeds have applied and their audiences were not served yet.

Feeds move as entries come; audiences are served a moment later, all at once. So a connection that
hears four channels gets what one round of its agent changed in them by one write, which is one
system call.

Rules:
1. Nothing else is done to an audience before what is pending is fanned out: no join, no release,
   no pace, no announcement. The shell calls `flush` before each of these.
2. Audiences that the same connections are in step with are served together.
3. What is joined stays within `JOINED_BYTES`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from hub.core.audience import Audience
from hub.core.frame import JOINED_BYTES, Frame, joinable
from hub.protocol.envelope import Envelope

_Pending: TypeAlias = tuple[Audience, list[Frame]]
"""Updates of one audience: those after its seq, without a hole."""


class Fanout:
    """The updates that wait for the next flush, by audience, and the audiences of which somebody
    who is paced waits for an update."""

    __slots__ = ("_paced", "_pending")

    def __init__(self) -> None:
        self._pending: dict[Audience, list[Frame]] = {}
        self._paced: dict[Audience, None] = {}

    def add(self, audience: Audience, entries: Iterable[Envelope]) -> bool:
        """Take what the audience's feed has just applied; returns whether it is the first, so that
        the caller sees to a flush."""
        first = not self._pending
        frames = self._pending.setdefault(audience, [])
        frames.extend(Frame(entry.payload, entry.ts) for entry in entries)
        return first

    def flush(self, now: float) -> tuple[int, list[Audience], list[Frame]]:
        """Serve the audiences; returns how many deliveries were made at once, who was served, and
        the frames that at least one of these deliveries was of.

        Subscriptions whose outbox overflowed are the caller's to close: see `Audience.overflowed`.
        """
        if not self._pending:
            return 0, [], []
        pending = list(self._pending.items())
        self._pending = {}
        handed = 0
        reached: list[Frame] = []
        for group in _heard_by_the_same(pending) if len(pending) > 1 else [pending]:
            together = [frame for _, frames in group for frame in frames]
            if len(together) == 1 or sum(map(len, together)) <= JOINED_BYTES:
                for audience, frames in group:
                    audience.advance(frames, now)
                if deliveries := group[0][0].write(together):
                    handed += deliveries
                    reached += together
            else:
                for audience, frames in group:
                    for run in joinable(frames):
                        if deliveries := audience.deliver(run, now):
                            handed += deliveries
                            reached += run
        served = [audience for audience, _ in pending]
        for audience in served:
            if audience.has_due:
                self._paced[audience] = None
        return handed, served, reached

    def flush_due(self, now: float) -> None:
        """Serve those whose interval has ended; after a flush, as the feeds may be ahead."""
        for audience in list(self._paced):
            audience.flush_due(now)
            if not audience.has_due:
                del self._paced[audience]


def _heard_by_the_same(pending: list[_Pending]) -> Iterator[list[_Pending]]:
    groups: dict[int, list[list[_Pending]]] = {}
    for of in pending:
        audience, _ = of
        alike = groups.setdefault(audience.mark, [])
        for group in alike:
            if group[0][0].is_heard_by_the_same(audience):
                group.append(of)
                break
        else:
            alike.append([of])
    for alike in groups.values():
        yield from alike
