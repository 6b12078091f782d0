"""Who hears one feed, and how each is served.

Rules:
1. In step: the connection takes frames; every frame of the feed is handed to its transport at once,
   those that came together in one piece. This is the loop that the hub spends its life in: one call
   a subscriber, and nothing else.
2. Held: the connection takes nothing for now. A log's frames wait in its outbox; a value or a table
   remembers where it stopped, and is caught up by one frame later.
3. Paced: the subscriber asked for at most one update in `interval_ms`. The paced with the same
   interval are served together, and those who are equally far behind share one frame.
"""

from __future__ import annotations

from collections.abc import Sequence

from hub.core.feed import Feed
from hub.core.frame import Frame
from hub.core.outbox import Spell, Write
from hub.core.subscription import Subscription
from hub.protocol.streams import Kind


class Pace:
    """The subscriptions of one audience that share an interval."""

    __slots__ = ("due_at", "interval_seconds", "members", "next_at")

    def __init__(self, interval_ms: int) -> None:
        self.interval_seconds = interval_ms / 1000
        self.members: dict[Subscription, None] = {}
        self.next_at = 0.0
        self.due_at: float | None = None


class Audience:
    """A feed and its subscriptions."""

    __slots__ = ("_held", "_in_step", "_paces", "_seq", "feed")

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        # The seq up to which this audience was served: within `deliver` the feed may be ahead.
        self._seq = feed.position.seq
        self._in_step: dict[Spell, dict[Subscription, Write]] = {}
        self._held: dict[Subscription, None] = {}
        self._paces: dict[int, Pace] = {}

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
        found = [sub for writes in self._in_step.values() for sub in writes]
        found.extend(self._held)
        for pace in self._paces.values():
            found.extend(pace.members)
        return found

    # Coming and going

    def join(self, subscription: Subscription) -> None:
        """Serve a subscription that stands at the feed's position from now on."""
        subscription.seq = self._seq = self.feed.position.seq
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
            subscription.seq = self._seq
            self._held[subscription] = None

    def _take_out_of_step(self, subscription: Subscription) -> bool:
        """Returns whether it was in step."""
        writes = self._in_step.get(subscription.outbox.spell)
        if writes is None or writes.pop(subscription, None) is None:
            return False
        if not writes:
            del self._in_step[subscription.outbox.spell]
        return True

    def release(self, subscription: Subscription, now: float) -> None:
        """The subscription's connection takes frames again: catch up, then fall in step."""
        if subscription not in self._held:
            return
        del self._held[subscription]
        behind = subscription.seq < self._seq
        seq = subscription.seq
        self._place(subscription)
        if behind and self.feed.kind is not Kind.LOG:
            subscription.outbox.send(self.feed.catch_up(seq), now)

    def _place(self, subscription: Subscription) -> None:
        outbox = subscription.outbox
        if subscription.interval_ms and self.feed.kind is not Kind.LOG:
            pace = self._paces.get(subscription.interval_ms)
            if pace is None:
                pace = self._paces[subscription.interval_ms] = Pace(subscription.interval_ms)
            pace.members[subscription] = None
        elif outbox.clear:
            self._in_step.setdefault(outbox.spell, {})[subscription] = outbox.write
        else:
            self._held[subscription] = None

    # Serving

    def deliver(self, seq: int, frames: Sequence[Frame], now: float) -> int:
        """Fan out the updates up to this seq, which the feed has applied; returns how many
        deliveries were made at once.

        Subscriptions whose outbox overflowed are the caller's to close: see `overflowed`.
        """
        self._seq = seq
        if self._held and self.feed.kind is Kind.LOG:
            # Before those in step: whoever is held from here on has had the frames.
            for subscription in self._held:
                for frame in frames:
                    subscription.outbox.send(frame, now)
        handed = self._write(frames)
        for pace in self._paces.values():
            if pace.due_at is None:
                pace.due_at = max(now, pace.next_at)
        return handed

    def announce(self, frame: Frame, now: float) -> None:
        """Send a frame without a position to everybody, in order with the updates."""
        for subscription in self._held:
            subscription.outbox.send(frame, now)
        self._write((frame,))
        for pace in self._paces.values():
            for subscription in list(pace.members):
                subscription.outbox.send(frame, now)

    def restart(self, announcement: Frame, now: float) -> None:
        """The feed was reset: tell everybody, then send the snapshot of the new history."""
        snapshot = self.feed.snapshot()
        everybody = self.subscriptions()
        # The new history may be of another kind, which serves the held and the paced otherwise.
        self._in_step.clear()
        self._held.clear()
        self._paces.clear()
        for subscription in everybody:
            subscription.outbox.send(announcement, now)
            subscription.outbox.send(snapshot, now)
            self.join(subscription)
        self._seq = self.feed.position.seq

    def _write(self, frames: Sequence[Frame]) -> int:
        handed = 0
        for spell, in_step in list(self._in_step.items()):
            # A write may hold its own subscription, which takes it out of the dict.
            writes = list(in_step.values())
            handed += len(writes) * len(frames)
            for piece in spell(frames):
                for write in writes:
                    write(piece)
        return handed

    def overflowed(self) -> list[Subscription]:
        """The held whose outbox is over its bounds."""
        return [held for held in self._held if held.outbox.overflowed]

    # Pacing

    def flush_due(self, now: float) -> None:
        """Send each pace that is due its conflated update."""
        for pace in list(self._paces.values()):
            if pace.due_at is not None and pace.due_at <= now:
                pace.due_at = None
                pace.next_at = now + pace.interval_seconds
                self._flush(pace, now)

    def _flush(self, pace: Pace, now: float) -> None:
        head = self._seq
        for subscription in list(pace.members):
            if subscription.seq < head and subscription.outbox.clear:
                frame = self.feed.catch_up(subscription.seq)
                subscription.seq = head
                subscription.outbox.send(frame, now)
        if any(subscription.seq < head for subscription in pace.members):
            # Some were held; they are looked at again when the next interval ends.
            pace.due_at = pace.next_at
