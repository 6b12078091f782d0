"""Who hears one feed, and how each is served.

Rules:
1. In step: the connection takes frames; every frame of the feed is handed to its medium at once,
   those that came together in one piece. This is what the hub spends its life with: one call a
   connection, and nothing else.
2. Held: the connection takes nothing for now. A log's frames wait in its outbox; a value or a table
   remembers where it stopped, and is caught up by one frame later.
3. Paced: the subscriber asked for at most one update in `interval_ms`. The paced with the same
   interval are served together, and those who are equally far behind share one frame.
"""

from __future__ import annotations

from collections.abc import KeysView, Sequence
from typing import Any, NamedTuple

from hub.core.feed import Feed
from hub.core.frame import Frame
from hub.core.medium import Medium
from hub.core.outbox import Outbox
from hub.core.subscription import Subscription
from hub.protocol.streams import Kind


class Counts(NamedTuple):
    """What fan-outs came to, each subscription counted. skipped: updates for which a newer state
    was sent instead. written_bytes: of the payloads that were handed to transports."""

    skipped: int
    written_bytes: int


class Pace:
    """The subscriptions of one audience that share an interval."""

    __slots__ = ("due_at", "interval_seconds", "members", "next_at")

    def __init__(self, interval_ms: int) -> None:
        self.interval_seconds = interval_ms / 1000
        self.members: dict[Subscription, None] = {}
        self.next_at = 0.0
        self.due_at: float | None = None


class Audience:
    """A feed and its subscriptions.

    seq: up to where it was served; the feed may be ahead, see `hub.core.fanout`.
    mark: the same for audiences that the same connections are in step with; seldom for others.
    """

    __slots__ = ("_held", "_in_step", "_paces", "_skipped", "_written", "feed", "mark", "seq")

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.seq = feed.position.seq
        # The sinks of those in step.
        self._in_step: dict[Medium, dict[Outbox, Any]] = {}
        self.mark = 0
        self._held: dict[Subscription, None] = {}
        self._paces: dict[int, Pace] = {}
        self._skipped = 0
        self._written = 0

    @property
    def channel(self) -> str:
        return self.feed.channel

    def __len__(self) -> int:
        return (
            sum(map(len, self._in_step.values()))
            + len(self._held)
            + sum(len(pace.members) for pace in self._paces.values())
        )

    def subscriptions(self) -> list[Subscription]:
        """All of them, in no particular order."""
        found = [
            outbox.subscriptions[self.channel]
            for sinks in self._in_step.values()
            for outbox in sinks
        ]
        found.extend(self._held)
        for pace in self._paces.values():
            found.extend(pace.members)
        return found

    # Coming and going

    def join(self, subscription: Subscription) -> None:
        """Serve a subscription that stands at the feed's position from now on."""
        subscription.seq = self.seq = self.feed.position.seq
        self._place(subscription)

    def leave(self, subscription: Subscription) -> None:
        """Serve a subscription no more; one that is not here is left alone."""
        if self._take_out_of_step(subscription):
            return
        self._held.pop(subscription, None)
        pace = self._paces.get(subscription.interval_ms)
        if pace is not None and subscription in pace.members:
            del pace.members[subscription]
            if not pace.members:
                del self._paces[subscription.interval_ms]

    def hold(self, subscription: Subscription) -> None:
        """The subscription's connection takes nothing for now."""
        if self._take_out_of_step(subscription):
            subscription.seq = self.seq
            self._held[subscription] = None

    def _take_out_of_step(self, subscription: Subscription) -> bool:
        """Returns whether it was in step."""
        outbox = subscription.outbox
        sinks = self._in_step.get(outbox.medium)
        if sinks is None or sinks.pop(outbox, None) is None:
            return False
        self.mark ^= id(outbox)
        if not sinks:
            del self._in_step[outbox.medium]
        return True

    def release(self, subscription: Subscription, now: float) -> None:
        """The subscription's connection takes frames again: catch up, then fall in step."""
        if subscription not in self._held:
            return
        del self._held[subscription]
        behind = subscription.seq < self.seq
        seq = subscription.seq
        self._place(subscription)
        if behind and self.feed.kind is not Kind.LOG:
            self._skipped += self.seq - seq - 1
            subscription.outbox.send(self.feed.catch_up(seq), now)

    def _place(self, subscription: Subscription) -> None:
        outbox = subscription.outbox
        if subscription.interval_ms and self.feed.kind is not Kind.LOG:
            pace = self._paces.get(subscription.interval_ms)
            if pace is None:
                pace = self._paces[subscription.interval_ms] = Pace(subscription.interval_ms)
            pace.members[subscription] = None
        elif outbox.clear:
            self._in_step.setdefault(outbox.medium, {})[outbox] = outbox.sink
            self.mark ^= id(outbox)
        else:
            self._held[subscription] = None

    # Serving

    def deliver(self, frames: Sequence[Frame], now: float) -> int:
        """Fan out the next updates, which the feed has applied; returns how many deliveries were
        made at once.

        Subscriptions whose outbox overflowed are the caller's to close: see `overflowed`.
        """
        self.advance(frames, now)
        return self.write(frames)

    def advance(self, frames: Sequence[Frame], now: float) -> None:
        """The first half of `deliver`: all but those in step. Before them, as whoever is held from
        here on has had the frames."""
        self.seq += len(frames)
        if self._held and self.feed.kind is Kind.LOG:
            for subscription in self._held:
                for frame in frames:
                    subscription.outbox.send(frame, now)
        for pace in self._paces.values():
            if pace.due_at is None:
                pace.due_at = max(now, pace.next_at)

    def write(self, frames: Sequence[Frame]) -> int:
        """Hand the frames to those in step; returns how many deliveries that made."""
        handed = 0
        for medium, in_step in list(self._in_step.items()):
            # A write may hold a subscription, which takes it out of the dict.
            sinks = list(in_step.values())
            handed += len(sinks) * len(frames)
            self._written += len(sinks) * sum(map(len, frames))
            medium.fan_out(frames, sinks)
        return handed

    def is_heard_by_the_same(self, other: Audience) -> bool:
        """Whether the connections in step are the same here and there."""
        return self.mark == other.mark and _members(self._in_step) == _members(other._in_step)

    def announce(self, frame: Frame, now: float) -> None:
        """Send a frame without a position to everybody, in order with the updates."""
        for subscription in self._held:
            subscription.outbox.send(frame, now)
        self.write((frame,))
        for pace in self._paces.values():
            for subscription in list(pace.members):
                subscription.outbox.send(frame, now)

    def restart(self, announcement: Frame, now: float) -> None:
        """The feed was reset: tell everybody, then send the snapshot of the new history."""
        snapshot = self.feed.snapshot()
        everybody = self.subscriptions()
        # The new history may be of another kind, which serves the held and the paced otherwise.
        self._in_step.clear()
        self.mark = 0
        self._held.clear()
        self._paces.clear()
        for subscription in everybody:
            subscription.outbox.send(announcement, now)
            subscription.outbox.send(snapshot, now)
            self.join(subscription)
        self.seq = self.feed.position.seq

    def overflowed(self) -> list[Subscription]:
        """The held whose outbox is over its bounds."""
        return [held for held in self._held if held.outbox.overflowed]

    def take_counts(self) -> Counts:
        """What was counted since this was last asked."""
        counts = Counts(self._skipped, self._written)
        self._skipped = self._written = 0
        return counts

    # Pacing

    @property
    def has_due(self) -> bool:
        """Whether somebody who is paced waits for an update."""
        # Most audiences have none: nothing is made for them.
        return bool(self._paces) and any(p.due_at is not None for p in self._paces.values())

    def flush_due(self, now: float) -> None:
        """Send each pace that is due its conflated update."""
        for pace in list(self._paces.values()):
            if pace.due_at is not None and pace.due_at <= now:
                pace.due_at = None
                pace.next_at = now + pace.interval_seconds
                self._flush(pace)

    def _flush(self, pace: Pace) -> None:
        head = self.seq
        together: dict[tuple[int, Medium], list[Any]] = {}
        for subscription in pace.members:
            outbox = subscription.outbox
            if subscription.seq < head:
                if outbox.clear:
                    together.setdefault((subscription.seq, outbox.medium), []).append(outbox.sink)
                    subscription.seq = head
                else:
                    # It is looked at again when the next interval ends.
                    pace.due_at = pace.next_at
        for (seq, medium), sinks in together.items():
            frame = self.feed.catch_up(seq)
            self._skipped += len(sinks) * (head - seq - 1)
            self._written += len(sinks) * len(frame)
            medium.fan_out((frame,), sinks)


def _members(in_step: dict[Medium, dict[Outbox, Any]]) -> dict[Medium, KeysView[Outbox]]:
    return {medium: sinks.keys() for medium, sinks in in_step.items()}
