"""Each variant breaks one rule of the core, and names a check of tests/core that must fail on it.

A variant replaces one method or function for as long as its context manager is open. Where it can,
it leaves the rest of what it breaks as it is, so that nothing but the rule is missing.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple
from unittest import mock

from hub.core import feed as feed_module
from hub.core.audience import Audience
from hub.core.feed import Feed, Outcome, Resume
from hub.core.frame import Frame
from hub.core.outbox import Outbox
from hub.core.ring import Ring
from hub.core.session import Session
from hub.core.state import TableState
from hub.core.subscription import Subscription
from hub.protocol import frames
from hub.protocol.envelope import Envelope
from hub.protocol.frames import ChannelState
from hub.protocol.position import Position
from tests.core import test_feed, test_outbox
from tests.core.test_feed_machine import run_feed_machine
from tests.core.test_session_machine import run_session_machine

# Replaced methods, as they are.
BEGIN_READING = Feed.begin_reading
CHECK_FRESHNESS = Feed.check_freshness
ADVANCE = Audience.advance
FEED_RESUME = Feed.resume
HOLD = Audience.hold
RECEIVE = Feed.receive
OUTBOX_RESUME = Outbox.resume
SEND = Outbox.send
SINCE = TableState.since


class Check(NamedTuple):
    """What a variant must fail: `run` raises AssertionError then. file: where it stands."""

    file: str
    run: Callable[[], None]


def see_one_overflow() -> None:
    test_outbox.test_more_than_may_wait_overflows(test_outbox.Way(), [b"x" * 60, b"x" * 41])


def see_one_hole() -> None:
    test_outbox.test_nothing_follows_a_frame_that_was_not_taken(test_outbox.Way())


FEEDS = Check("tests/core/test_feed_machine.py", lambda: run_feed_machine(shrink=False))
SESSIONS = Check("tests/core/test_session_machine.py", lambda: run_session_machine(shrink=False))
LEASE = Check("tests/core/test_feed.py", test_feed.test_a_channel_is_stale_once_its_lease_ran_out)
OVERFLOW = Check("tests/core/test_outbox.py", see_one_overflow)
HOLE = Check("tests/core/test_outbox.py", see_one_hole)


# What each variant does instead


def drop_what_is_held_back(self: Feed, entry: Envelope) -> Outcome:
    return Outcome.HELD if self.reading else RECEIVE(self, entry)


def apply_whatever_is_newer(self: Feed, entry: Envelope) -> Outcome:
    if entry.position.epoch == self.position.epoch and entry.seq <= self.position.seq:
        return Outcome.DUPLICATE
    self._apply(entry)
    return Outcome.APPLIED


def follow_by_seq_alone(self: Envelope, position: Position) -> bool:
    return self.seq == position.seq + 1 and self.position.epoch == position.epoch


def resume_by_seq_alone(self: Feed, since: Position) -> Resume | None:
    known = self._ring.tag_at(since.seq)
    return FEED_RESUME(self, since if known is None else Position(since.epoch, since.seq, known))


def begin_one_entry_early(self: Ring, seq: int) -> list[Envelope]:
    return [entry for entry in self._entries if entry.seq >= seq]


def keep_reading_on(self: Feed) -> int | None:
    BEGIN_READING(self)
    self._anew = True
    return self.position.seq if self.loaded else None


def keep_old_frames(self: Feed) -> None:
    """Nothing is forgotten."""


def admit_anything(entry: Envelope, kind: object) -> Envelope:
    return entry


def never_stale(self: Feed, now: float) -> ChannelState | None:
    state = CHECK_FRESHNESS(self, now)
    return None if state is ChannelState.STALE else state


def take_without_a_bound(self: Outbox, frame: Frame, now: float) -> None:
    SEND(self, frame, now)
    if self.overflowed:
        self.overflowed = False
        assert self._waiting is not None
        self._waiting.append((frame, now))
        self._bytes += len(frame)


def resume_after_an_overflow(self: Outbox, now: float) -> None:
    overflowed, self.overflowed = self.overflowed, False
    OUTBOX_RESUME(self, now)
    self.overflowed = overflowed


def forget_deletes(self: TableState, seq: int) -> bytes | None:
    data = SINCE(self, seq)
    if data is None:
        return None
    changed = [key for key, at in self._changed_at.items() if at > seq and key in self._rows]
    return frames.update_rows({key: self._rows[key] for key in changed}, [])


def lose_the_last(self: Audience, frames: Sequence[Frame], now: float) -> None:
    ADVANCE(self, frames, now)
    for pace in self._paces.values():
        if pace.due_at is not None and pace.due_at > now:
            pace.due_at = None


def restart_in_silence(self: Audience, announcement: Frame, now: float) -> None:
    for subscription in self.subscriptions():
        self.leave(subscription)
        subscription.outbox.send(self.feed.snapshot(), now)
        self.join(subscription)


def hold_at_no_position(self: Audience, subscription: Subscription) -> None:
    HOLD(self, subscription)
    subscription.seq = self.feed.position.seq - 1


def release_behind(self: Audience, subscription: Subscription, now: float) -> None:
    if self._held.pop(subscription, self) is None:
        self._place(subscription)


def stay_subscribed(self: Session, channel: str) -> None:
    """Nobody leaves."""


def name_the_newest(self: Session) -> dict[str, int]:
    return {channel: sub.head for channel, sub in self.outbox.subscriptions.items()}


class Variant(NamedTuple):
    """One broken rule. name: of what is missing. check: what must fail."""

    name: str
    owner: Any
    attribute: str
    instead: Callable[..., Any]
    check: Check

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """The core is broken while this is open."""
        with mock.patch.object(self.owner, self.attribute, self.instead):
            yield

    def caught(self) -> AssertionError | None:
        """How the check fails on this variant; None where it does not notice."""
        # Hypothesis prints the example that it found.
        with self.installed(), contextlib.redirect_stdout(io.StringIO()):
            try:
                self.check.run()
            except AssertionError as failure:
                return failure
        return None


VARIANTS = (
    Variant("no buffer at a feed's start", Feed, "receive", drop_what_is_held_back, FEEDS),
    Variant("no position check", Feed, "_step", apply_whatever_is_newer, FEEDS),
    Variant("tag ignored in the chain", Envelope, "follows", follow_by_seq_alone, FEEDS),
    Variant("tag ignored at a resume", Feed, "resume", resume_by_seq_alone, SESSIONS),
    Variant("duplicate on resume", Ring, "after", begin_one_entry_early, SESSIONS),
    Variant("lost position read on from", Feed, "begin_reading", keep_reading_on, FEEDS),
    Variant("snapshot not renewed", Feed, "_forget_frames", keep_old_frames, FEEDS),
    Variant("poison let through", feed_module, "admit", admit_anything, FEEDS),
    Variant("lease that never ends", Feed, "check_freshness", never_stale, LEASE),
    Variant("unbounded outbox", Outbox, "send", take_without_a_bound, OVERFLOW),
    Variant("hole after an overflow", Outbox, "resume", resume_after_an_overflow, HOLE),
    Variant("conflation forgets deletes", TableState, "since", forget_deletes, SESSIONS),
    Variant("interval loses the last update", Audience, "advance", lose_the_last, SESSIONS),
    Variant("reset not announced", Audience, "restart", restart_in_silence, SESSIONS),
    Variant("hold forgets the position", Audience, "hold", hold_at_no_position, SESSIONS),
    Variant("release without a catch-up", Audience, "release", release_behind, SESSIONS),
    Variant("second subscribe doubles", Session, "_leave", stay_subscribed, SESSIONS),
    Variant("heads beyond what was served", Session, "heads", name_the_newest, SESSIONS),
)
