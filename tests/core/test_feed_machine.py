"""A feed against a channel of plain lists, over a pub/sub that loses, doubles and reorders."""

from __future__ import annotations

import json
from typing import Any, TypeAlias
from unittest import mock

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hub.core import feed as feed_module
from hub.core.feed import NOWHERE, Feed, Loaded, Outcome
from hub.protocol.envelope import Envelope
from hub.protocol.position import Position
from hub.protocol.reading import ChannelReading
from hub.protocol.streams import Kind, Stream
from tests.core.model_channel import NO_DATA, NOT_FOR_SCREENS, ModelChannel
from tests.core.run_machine import run_machine

HISTORY = 3
DATA = st.sampled_from((b"1", b'"2.50"', b'{"pnl":"-3"}', b"null", *NOT_FOR_SCREENS))
ROWS = st.dictionaries(st.sampled_from("abc"), DATA, max_size=3)
KEYS = st.sets(st.sampled_from("abc"), max_size=2)
# What is put into a value or a log, or the rows that are set and deleted.
CHANGE = st.tuples(DATA, ROWS, KEYS)
Change: TypeAlias = tuple[bytes, dict[str, bytes], set[str]]


class FeedMachine(RuleBasedStateMachine):
    """The feed, driven as its keeper does, and a follower that sees what subscribers are sent."""

    @initialize(kind=st.sampled_from(Kind), faulty=st.booleans())
    def open(self, kind: Kind, faulty: bool) -> None:
        self.faulty = faulty
        self.channel = ModelChannel(kind)
        self.feed = Feed(self.channel.name, Stream(kind, history=HISTORY))
        self.in_flight: list[Envelope] = []
        self.published: list[Envelope] = []
        self.reading: ChannelReading | None = None
        # Whether something happened that the feed can't know of until somebody compares heads.
        self.unheard = False
        self.follower: Any = None
        self.at = NOWHERE

    # Producers

    @rule(change=CHANGE)
    def publish(self, change: Change) -> None:
        data, upsert, delete = change
        if self.channel.kind is Kind.TABLE:
            self._sent(self.channel.patch(upsert, tuple(sorted(delete - upsert.keys()))))
        else:
            self._sent(self.channel.put(data))

    @rule(data=st.sampled_from(NO_DATA))
    def publish_poison(self, data: bytes) -> None:
        if self.channel.kind is Kind.TABLE:
            self._sent(self.channel.forge(data))
        else:
            self._sent(self.channel.put(data))

    @precondition(lambda self: self.faulty)
    @rule()
    def touch(self) -> None:
        self.channel.touch()
        self.unheard = True

    def _sent(self, entry: Envelope) -> None:
        self.in_flight.append(entry)
        self.published.append(entry)

    # Brokers

    @precondition(lambda self: self.faulty)
    @rule()
    def lose_history(self) -> None:
        self.channel.lose()
        self.unheard = True

    @precondition(lambda self: self.faulty)
    @rule(count=st.integers(1, 3))
    def roll_back(self, count: int) -> None:
        self.channel.roll_back(count)
        self.unheard = True

    @precondition(lambda self: self.faulty)
    @rule(count=st.integers(1, 2), change=CHANGE)
    def fork(self, count: int, change: Change) -> None:
        """Pub/sub delivers of the new history what has the seq that the feed waits for."""
        self.channel.roll_back(count)
        for _ in range(count + 1):
            self.publish(change)
            self.unheard = True
        self._receive(self.in_flight.pop())
        self.in_flight.clear()

    @rule(keep=st.integers(0, 4))
    def trim(self, keep: int) -> None:
        self.channel.trim(keep)

    # Pub/sub

    @precondition(lambda self: self.in_flight)
    @rule(count=st.integers(1, 3))
    def deliver(self, count: int) -> None:
        for entry in self.in_flight[:count]:
            self._receive(entry)
        del self.in_flight[:count]

    @precondition(lambda self: self.faulty and len(self.in_flight) > 1)
    @rule(data=st.data())
    def deliver_out_of_order(self, data: st.DataObject) -> None:
        self._receive(self.in_flight.pop(data.draw(st.integers(1, len(self.in_flight) - 1))))

    @precondition(lambda self: self.faulty and self.in_flight)
    @rule()
    def drop(self) -> None:
        del self.in_flight[0]
        self.unheard = True

    @precondition(lambda self: self.faulty and self.published)
    @rule(data=st.data())
    def deliver_again(self, data: st.DataObject) -> None:
        self._receive(data.draw(st.sampled_from(self.published)))

    def _receive(self, entry: Envelope) -> None:
        if entry not in self.channel.history:
            self.unheard = True
        reading, before = self.feed.reading, self.feed.position
        outcome = self.feed.receive(entry)
        assert reading is (outcome is Outcome.HELD)
        if outcome is Outcome.APPLIED:
            assert self.feed.newest is not None
            self._follow(self.feed.newest)
        else:
            assert self.feed.position == before
        if outcome is Outcome.BROKEN:
            self.begin_reading()

    # The keeper

    @rule()
    def begin_reading(self) -> None:
        since = self.feed.begin_reading()
        assert since in (None, self.feed.position.seq)

    @precondition(lambda self: self.feed.reading)
    @rule(limit=st.sampled_from((1, 4, 1_000)))
    def read(self, limit: int) -> None:
        self.since = self.feed.begin_reading()
        self.reading = self.channel.read(
            self.since, max(limit, HISTORY) if self.since is None else limit
        )

    @rule(change=CHANGE)
    def publish_while_read(self, change: Change) -> None:
        """An entry arrives between the broker's answer and the answer's arrival."""
        self.begin_reading()
        self.read(1_000)
        self.publish(change)
        self.deliver(len(self.in_flight))
        self.load()

    @precondition(lambda self: self.reading is not None)
    @rule()
    def load(self) -> None:
        assert self.reading is not None
        reading, self.reading = self.reading, None
        first = not self.feed.loaded
        provable = first or leads_from(self.feed.position, reading)
        loaded = self.feed.load(reading, now=0.0)
        if not provable and self.since is not None:
            assert self.feed.reading
            assert loaded == Loaded(reset=False, entries=[], again=True)
            return
        assert loaded.reset is not provable
        if loaded.reset or first:
            self.at, self.follower = self.feed.position, state_of(self.feed)
        else:
            self.at = reading.position or NOWHERE if not loaded.entries else self.at
            for entry in loaded.entries:
                self._follow(entry)
        if loaded.again:
            self.begin_reading()

    @rule()
    def compare_heads(self) -> None:
        if self.feed.loaded and not self.feed.is_at(self.channel.head):
            self.begin_reading()

    @rule()
    def settle(self) -> None:
        """Faults end: everything in flight arrives, and the keeper does what it does."""
        self.deliver(len(self.in_flight))
        if not self.feed.loaded:
            self.begin_reading()
        for _ in range(4):
            self.compare_heads()
            if self.feed.reading:
                self.read(1_000)
                self.load()
        assert not self.feed.reading
        assert self.feed.is_at(self.channel.head)
        self.check_state()

    def teardown(self) -> None:
        if hasattr(self, "feed"):
            self.settle()

    # What must hold

    def _follow(self, entry: Envelope) -> None:
        """Fold an update as a subscriber does."""
        assert entry.seq == self.at.seq + 1
        assert self.at.epoch in ("", entry.position.epoch)
        self.at = entry.position
        frame = json.loads(entry.payload)
        match self.channel.kind:
            case Kind.VALUE:
                self.follower = frame["data"]
            case Kind.TABLE:
                self.follower = {**self.follower, **frame["data"]["upsert"]}
                for key in frame["data"]["delete"]:
                    self.follower.pop(key, None)
            case Kind.LOG:
                self.follower = [*self.follower, (frame["seq"], frame["event"], frame["data"])]

    @invariant()
    def check_follower(self) -> None:
        """Whoever follows the updates knows what a newcomer is told."""
        if self.feed.loaded:
            newcomer = state_of(self.feed)
            if self.channel.kind is Kind.LOG:
                newest = self.follower[len(self.follower) - len(newcomer) :]
                assert newest == newcomer
                assert len(newcomer) >= min(HISTORY, len(self.follower))
            else:
                assert self.follower == newcomer
            assert self.feed.position.seq == self.at.seq

    @invariant()
    def check_arrival(self) -> None:
        """Once everything has arrived, a feed that was not cheated is where the channel is."""
        if not self.feed.loaded or self.feed.reading:
            return
        if self.feed.is_at(self.channel.head):
            self.unheard = False
        assert self.feed.is_at(self.channel.head) or self.in_flight or self.unheard

    def check_state(self) -> None:
        """The feed shows what the broker has."""
        state, visible = state_of(self.feed), self.channel.visible
        if self.channel.kind is Kind.LOG:
            stream = len(self.channel.history) - self.channel.trimmed
            assert state == visible[len(visible) - len(state) :]
            assert len(state) >= min(HISTORY, stream)
        else:
            assert state == visible


def leads_from(position: Position, reading: ChannelReading) -> bool:
    """Whether a reading has every entry from a position on, as a plain list tells it."""
    if reading.position is None:
        return position == NOWHERE
    start = Position(reading.position.epoch, 0, "")
    needed = range(position.seq + 1, reading.position.seq + 1)
    newer = [entry for entry in reading.entries if entry.seq in needed]
    follows = position in (start, NOWHERE) or position == reading.position
    if newer and not follows:
        follows = newer[0].follows(position)
    return (
        follows
        and position.seq <= reading.position.seq
        and [entry.seq for entry in newer] == list(needed)
    )


def state_of(feed: Feed) -> Any:
    """What a newcomer is shown: the value, the rows, or the entries as (seq, event, data)."""
    frame = json.loads(feed.snapshot().payload)
    assert Position(frame["epoch"], frame["seq"], frame["tag"]) == feed.position
    match feed.kind:
        case Kind.LOG:
            return [(each["seq"], each["event"], each["data"]) for each in frame["data"]["entries"]]
        case Kind.TABLE:
            return frame["data"]["rows"]
        case Kind.VALUE:
            return frame["data"]


def run_feed_machine(*, shrink: bool = True) -> None:
    """Run it on feeds that remember little."""
    with mock.patch.object(feed_module, "RING_ENTRIES", 5):
        run_machine(FeedMachine, examples=150, shrink=shrink)


def test_a_feed_ends_where_its_channel_does() -> None:
    """Whatever pub/sub and broker do to it, a feed is mended by readings, says when it was reset,
    and shows newcomers what its followers know."""
    run_feed_machine()
