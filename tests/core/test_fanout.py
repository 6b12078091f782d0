"""Tests of hub.core.fanout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from hub.core import fanout as fanout_module
from hub.core.audience import Audience
from hub.core.fanout import Fanout
from hub.core.feed import Feed
from hub.core.frame import Frame
from hub.core.limits import Limits
from hub.core.outbox import Outbox
from hub.core.session import Session
from hub.core.subscription import Subscription
from hub.protocol.streams import Kind, Stream
from tests.core.model_channel import NAMES, ModelChannel
from tests.core.model_hub import Payloads

MEDIA = (Payloads(), Payloads())


class Connection:
    """An outbox whose transport takes everything; `writes` are the writes, by their data."""

    def __init__(self, medium: Payloads) -> None:
        self.writes: list[list[Any]] = []
        self.outbox = Outbox(medium, self._write, Limits())
        Session("s", self.outbox, Limits(), 0.0)

    def _write(self, payloads: Sequence[bytes]) -> None:
        self.writes.append([json.loads(payload).get("data") for payload in payloads])


class House:
    """Channels of every kind, their audiences, and what is pending for them."""

    def __init__(self) -> None:
        self.fanout = Fanout()
        self.channels = {kind: ModelChannel(kind) for kind in Kind}
        self.audiences: dict[Kind, Audience] = {}
        for kind, channel in self.channels.items():
            channel.touch()
            feed = Feed(channel.name, Stream(kind))
            feed.begin_reading()
            feed.load(channel.read(None), 0.0)
            self.audiences[kind] = Audience(feed)

    def admit(self, *kinds: Kind, medium: Payloads = MEDIA[0], interval_ms: int = 0) -> Connection:
        """Let a connection join the audiences of these kinds."""
        connection = Connection(medium)
        for kind in kinds:
            audience = self.audiences[kind]
            subscription = Subscription(connection.outbox, audience, interval_ms)
            connection.outbox.subscriptions[NAMES[kind]] = subscription
            audience.join(subscription)
        return connection

    def publish(self, kind: Kind, *values: bytes) -> bool:
        """Publish and apply; returns what `add` says of the last."""
        for value in values:
            entry = self.channels[kind].put(value)
            self.audiences[kind].feed.receive(entry)
            first = self.fanout.add(self.audiences[kind], [entry])
        return first


def test_nothing_is_served_before_the_flush() -> None:
    """The first to be added asks for a flush; after it there is nothing to serve."""
    house = House()
    viewer = house.admit(Kind.VALUE)
    assert house.publish(Kind.VALUE, b"1")
    assert not house.publish(Kind.VALUE, b"2")
    assert viewer.writes == []
    assert house.audiences[Kind.VALUE].seq == 0
    handed, served, _ = house.fanout.flush(0.0)
    assert (handed, served) == (2, [house.audiences[Kind.VALUE]])
    assert viewer.writes == [[1, 2]]
    assert house.audiences[Kind.VALUE].seq == 2
    assert house.fanout.flush(0.0) == (0, [], [])
    assert house.publish(Kind.VALUE, b"3")


def test_channels_of_the_same_connections_leave_in_one_write() -> None:
    """In the order of each channel; media are written to apart."""
    house = House()
    viewers = [house.admit(Kind.VALUE, Kind.LOG, medium=medium) for medium in MEDIA]
    house.publish(Kind.VALUE, b"1")
    house.publish(Kind.LOG, b"2", b"3")
    house.publish(Kind.VALUE, b"4")
    assert house.fanout.flush(0.0)[0] == 2 * 4
    for viewer in viewers:
        assert viewer.writes == [[1, 4, 2, 3]]


def test_channels_of_other_connections_are_served_apart() -> None:
    """Nobody hears a channel that it did not join, and nobody misses one."""
    house = House()
    both, value, log = (
        house.admit(Kind.VALUE, Kind.LOG),
        house.admit(Kind.VALUE),
        house.admit(Kind.LOG),
    )
    house.publish(Kind.VALUE, b"1")
    house.publish(Kind.LOG, b"2")
    house.fanout.flush(0.0)
    assert both.writes == [[1], [2]]
    assert value.writes == [[1]]
    assert log.writes == [[2]]


def test_equal_marks_are_not_believed() -> None:
    """Marks of different connections may be equal: who is in step is compared."""
    house = House()
    value, log = house.admit(Kind.VALUE), house.admit(Kind.LOG)
    for audience in house.audiences.values():
        audience.mark = 1
    house.publish(Kind.VALUE, b"1")
    house.publish(Kind.LOG, b"2")
    house.fanout.flush(0.0)
    assert (value.writes, log.writes) == ([[1]], [[2]])


def test_who_comes_and_goes_is_noticed() -> None:
    """Audiences are alike again once the connection that told them apart is gone."""
    house = House()
    viewer, other = house.admit(Kind.VALUE, Kind.LOG), house.admit(Kind.VALUE)
    subscription = other.outbox.subscriptions[NAMES[Kind.VALUE]]
    value, log = house.audiences[Kind.VALUE], house.audiences[Kind.LOG]
    assert not value.is_heard_by_the_same(log)
    other.outbox.pause(0.0)
    assert value.is_heard_by_the_same(log)
    other.outbox.resume(0.0)
    assert not value.is_heard_by_the_same(log)
    value.leave(subscription)
    assert value.is_heard_by_the_same(log)
    value.restart(Frame(b"{}"), 0.0)
    assert value.is_heard_by_the_same(log)
    assert len(viewer.writes) == 2


def test_who_is_held_gets_what_was_pending() -> None:
    """A connection that paused before the flush misses nothing of a log."""
    house = House()
    viewer = house.admit(Kind.VALUE, Kind.LOG)
    house.publish(Kind.LOG, b"1")
    viewer.outbox.pause(0.0)
    house.publish(Kind.VALUE, b"2")
    assert house.fanout.flush(0.0)[0] == 0
    viewer.outbox.resume(0.0)
    assert viewer.writes == [[1], [2]]


def test_what_somebody_heard_is_told_with_its_time() -> None:
    """Frames that reached a connection at once: not those that wait, nor those nobody hears."""
    house = House()
    house.admit(Kind.VALUE)
    held = house.admit(Kind.LOG)
    held.outbox.pause(0.0)
    house.publish(Kind.VALUE, b"1", b"2")
    house.publish(Kind.LOG, b"3")
    house.publish(Kind.TABLE, b'{"upsert":{"a":1},"delete":[]}')
    _, served, reached = house.fanout.flush(0.0)
    assert len(served) == 3
    history = house.channels[Kind.VALUE].history
    assert [frame.published_at for frame in reached] == [entry.ts for entry in history[-2:]]
    assert [frame.payload for frame in reached] == [entry.payload for entry in history[-2:]]


def test_too_much_is_not_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the bound each channel goes out by itself, in pieces within it."""
    house = House()
    viewer = house.admit(Kind.VALUE, Kind.LOG)
    house.publish(Kind.VALUE, b"1")
    house.publish(Kind.LOG, b"2", b"3", b"4")
    size = len(house.channels[Kind.LOG].history[0].payload)
    monkeypatch.setattr(fanout_module, "JOINED_BYTES", 3 * size)
    monkeypatch.setattr("hub.core.frame.JOINED_BYTES", 2 * size)
    handed, _, reached = house.fanout.flush(0.0)
    assert handed == len(reached) == 4
    assert viewer.writes == [[1], [2, 3], [4]]


def test_too_much_that_waits_reaches_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece that is put into an outbox was not heard at once."""
    house = House()
    viewer = house.admit(Kind.LOG)
    viewer.outbox.pause(0.0)
    house.publish(Kind.LOG, b"1", b"2")
    monkeypatch.setattr(fanout_module, "JOINED_BYTES", 1)
    handed, _, reached = house.fanout.flush(0.0)
    assert (handed, reached) == (0, [])


def test_the_paced_of_every_channel_are_served() -> None:
    """When their interval has ended, those with the same pace by one write of each medium, and
    nobody is looked at that waits for nothing."""
    house = House()
    viewers = [house.admit(Kind.VALUE, interval_ms=100, medium=medium) for medium in MEDIA]
    other = house.admit(Kind.VALUE, interval_ms=300)
    for value in (b"1", b"2", b"3"):
        house.publish(Kind.VALUE, value)
        house.fanout.flush(0.0)
        house.fanout.flush_due(0.0)
    assert [viewer.writes for viewer in (*viewers, other)] == [[[1]]] * 3
    house.fanout.flush_due(0.1)
    assert [viewer.writes for viewer in (*viewers, other)] == [[[1], [3]], [[1], [3]], [[1]]]
    house.fanout.flush_due(0.3)
    assert other.writes == [[1], [3]]
    assert not house.audiences[Kind.VALUE].has_due
    house.publish(Kind.VALUE, b"4")
    house.fanout.flush(0.3)
    house.fanout.flush_due(0.3)
    assert viewers[0].writes == [[1], [3], [4]]
    assert other.writes == [[1], [3]]
