"""Tests of hub.core.audience."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from hub.core import feed as feed_module
from hub.core.audience import Audience
from hub.core.feed import Feed
from hub.core.frame import Frame
from hub.core.limits import Limits
from hub.core.outbox import Outbox
from hub.core.session import Session
from hub.core.subscription import Subscription
from hub.protocol.streams import Kind, Stream
from tests.core.model_channel import ModelChannel
from tests.core.model_hub import PAYLOADS, Transport

RESET = Frame(b'{"type":"reset"}')


class Hall:
    """A channel, its feed and its audience."""

    def __init__(self, kind: Kind) -> None:
        self.channel = ModelChannel(kind)
        self.channel.touch()
        self.feed = Feed(self.channel.name, Stream(kind))
        self.feed.begin_reading()
        self.feed.load(self.channel.read(None), 0.0)
        self.audience = Audience(self.feed)

    def admit(
        self, *, interval_ms: int = 0, limits: Limits | None = None, **transport: Any
    ) -> Listener:
        """Let somebody join where the feed stands."""
        return Listener(self, interval_ms, limits or Limits(), Transport(**transport))

    def publish(self, data: bytes, now: float = 0.0) -> int:
        """Publish, apply and fan out; returns how many were handed it at once."""
        if self.channel.kind is Kind.TABLE:
            entry = self.channel.patch({data.decode(): data})
        else:
            entry = self.channel.put(data)
        self.feed.receive(entry)
        return self.audience.deliver([Frame(entry.payload)], now)

    def reset(self, channel: ModelChannel) -> None:
        """The channel's history is another one from now on."""
        self.channel = channel
        for _ in range(2):
            loaded = self.feed.load(channel.read(self.feed.begin_reading()), 0.0)
        assert loaded.reset
        self.audience.restart(RESET, 0.0)


class Listener:
    """One subscription, its outbox and its transport."""

    def __init__(self, hall: Hall, interval_ms: int, limits: Limits, transport: Transport) -> None:
        self.transport = transport
        self.outbox = transport.outbox = Outbox(PAYLOADS, transport.write, limits)
        Session("s", self.outbox, limits, 0.0)
        self.subscription = Subscription(self.outbox, hall.audience, interval_ms)
        self.outbox.subscriptions[hall.channel.name] = self.subscription
        hall.audience.join(self.subscription)

    @property
    def heard(self) -> list[dict[str, Any]]:
        """The frames that were written since this was asked last."""
        return [json.loads(payload) for _, payload in self.transport.take()]

    @property
    def heard_data(self) -> list[Any]:
        """The data of those frames."""
        return [frame.get("data") for frame in self.heard]


@pytest.mark.parametrize("kind", Kind)
def test_whoever_is_in_step_hears_each_frame_at_once(kind: Kind) -> None:
    """The very bytes that were published, to everybody, counted."""
    hall = Hall(kind)
    listeners = [hall.admit(), hall.admit()]
    assert hall.publish(b"1") == 2
    for listener in listeners:
        assert listener.transport.take() == [(0.0, hall.channel.history[0].payload)]
    assert hall.audience.channel == hall.channel.name


def test_whoever_left_hears_no_more() -> None:
    """In step, held or paced; to leave twice does nothing."""
    hall = Hall(Kind.VALUE)
    in_step, held, paced = hall.admit(), hall.admit(), hall.admit(interval_ms=100)
    held.outbox.pause(0.0)
    assert len(hall.audience) == len(hall.audience.subscriptions()) == 3
    for listener in (in_step, held, paced, in_step, held, paced):
        hall.audience.leave(listener.subscription)
    assert len(hall.audience) == 0
    assert hall.publish(b"1") == 0
    held.outbox.resume(0.0)
    hall.audience.flush_due(9.0)
    assert in_step.heard == held.heard == paced.heard == []


def test_leaving_concerns_nobody_else() -> None:
    """Neither those in step nor those of the same pace."""
    hall = Hall(Kind.VALUE)
    leaving = [hall.admit(), hall.admit(interval_ms=100)]
    staying = [hall.admit(), hall.admit(interval_ms=100)]
    held = hall.admit()
    held.outbox.pause(0.0)
    for listener in leaving:
        hall.audience.leave(listener.subscription)
    hall.publish(b"1")
    hall.audience.flush_due(1.0)
    assert [listener.heard_data for listener in staying] == [[1], [1]]


# Held


def test_a_held_log_gets_every_entry() -> None:
    """Each entry counts: it waits, and comes in order."""
    hall = Hall(Kind.LOG)
    listener = hall.admit(room=1)
    for data in (b"1", b"2", b"3"):
        hall.publish(data)
    assert listener.heard_data == [1]
    listener.transport.make_room(None)
    hall.publish(b"4")
    assert listener.heard_data == [2, 3, 4]


@pytest.mark.parametrize("kind", [Kind.VALUE, Kind.TABLE])
def test_a_held_value_or_table_is_brought_forward_by_one_frame(kind: Kind) -> None:
    """From where it stopped to the head, and then it is in step again."""
    hall = Hall(kind)
    listener = hall.admit(room=1)
    for data in (b"1", b"2", b"3", b"4"):
        hall.publish(data)
    assert [frame["seq"] for frame in listener.heard] == [1]
    listener.transport.make_room(None)
    [frame] = listener.heard
    assert (frame["prev"], frame["seq"], frame["skipped"]) == (1, 4, 2)
    hall.publish(b"5")
    assert [frame["seq"] for frame in listener.heard] == [5]


def test_whoever_missed_nothing_while_held_is_sent_nothing() -> None:
    """A pause without a publish leaves no trace."""
    hall = Hall(Kind.VALUE)
    listener = hall.admit()
    listener.outbox.pause(0.0)
    listener.outbox.resume(0.0)
    assert listener.heard == []
    assert hall.publish(b"1") == 1


def test_a_transport_that_pauses_at_the_catch_up_is_held_again() -> None:
    """It is caught up once, and stays where that brought it."""
    hall = Hall(Kind.VALUE)
    listener = hall.admit(room=1)
    for data in (b"1", b"2"):
        hall.publish(data)
    listener.transport.make_room(1)
    hall.publish(b"3")
    assert listener.heard_data == [1, 2]
    listener.transport.make_room(None)
    assert listener.heard_data == [3]


def test_a_pause_holds_every_subscription_of_the_connection() -> None:
    """What pauses at one channel's catch-up keeps the others for later."""
    value, table = Hall(Kind.VALUE), Hall(Kind.TABLE)
    listener = value.admit()
    second = Subscription(listener.outbox, table.audience, 0)
    listener.outbox.subscriptions["positions"] = second
    table.audience.join(second)
    listener.outbox.pause(0.0)
    value.publish(b"1")
    table.publish(b"2")
    listener.transport.make_room(1)
    assert listener.heard_data == [1]
    listener.transport.make_room(None)
    assert listener.heard_data == [{"upsert": {"2": 2}, "delete": []}]


def test_whoever_joins_while_paused_is_held() -> None:
    """A subscribe may be answered while the transport takes nothing."""
    hall = Hall(Kind.VALUE)
    hall.publish(b"1")
    listener = hall.admit()
    hall.audience.leave(listener.subscription)
    listener.outbox.pause(0.0)
    hall.audience.join(listener.subscription)
    hall.publish(b"2")
    assert listener.heard == []
    listener.transport.make_room(None)
    assert listener.heard_data == [2]


def test_the_overflowed_are_named() -> None:
    """A log that is too much for a connection is the caller's to close."""
    hall = Hall(Kind.LOG)
    slow = hall.admit(limits=Limits(outbox_frames=1))
    patient = hall.admit()
    for listener in (slow, patient):
        listener.outbox.pause(0.0)
    hall.publish(b"1")
    assert hall.audience.overflowed() == []
    hall.publish(b"2")
    assert hall.audience.overflowed() == [slow.subscription]


# Paced


def test_the_paced_hear_at_most_one_update_an_interval() -> None:
    """The first at once, then the newest at each interval's end, and the last one always."""
    hall = Hall(Kind.VALUE)
    listener = hall.admit(interval_ms=100)
    heard = []
    for tick in range(13):
        now = tick * 0.05
        if tick < 5:
            hall.publish(b"%d" % tick, now)
        hall.audience.flush_due(now)
        heard.append(listener.heard_data)
    assert heard == [[0], [], [2], [], [4], *[[]] * 8]


def test_the_equally_far_behind_share_one_frame() -> None:
    """Each is brought forward from where it is."""
    hall = Hall(Kind.VALUE)
    hall.publish(b"1")
    early = [hall.admit(interval_ms=100), hall.admit(interval_ms=100)]
    for data in (b"2", b"3"):
        hall.publish(data)
    late = hall.admit(interval_ms=100)
    hall.publish(b"4")
    hall.audience.flush_due(0.0)
    first, second = (listener.transport.take()[0][1] for listener in early)
    assert first is second
    assert (json.loads(first)["skipped"], late.heard[0]["seq"]) == (2, 4)


def test_what_was_skipped_and_written_is_counted() -> None:
    """Each update that a subscription was not sent, since a newer state took its place, and each
    byte that a fan-out handed to a transport, once."""
    hall = Hall(Kind.VALUE)
    paced, slow = hall.admit(interval_ms=100), hall.admit()
    hall.publish(b"1")
    size = len(slow.transport.take()[0][1])
    assert hall.audience.take_counts() == (0, size)
    slow.outbox.pause(0.0)
    for data in (b"2", b"3", b"4"):
        hall.publish(data)
    assert hall.audience.take_counts() == (0, 0)
    hall.audience.flush_due(0.0)
    payload = paced.transport.take()[-1][1]
    assert json.loads(payload)["skipped"] == 3
    assert hall.audience.take_counts() == (3, len(payload))
    slow.outbox.resume(0.0)
    assert slow.heard[-1]["skipped"] == 2
    assert hall.audience.take_counts() == (2, 0)
    assert hall.audience.take_counts() == (0, 0)


def test_the_paced_that_are_held_wait_for_the_next_interval() -> None:
    """They hear the newest state when their transport takes it."""
    hall = Hall(Kind.VALUE)
    listener, other = hall.admit(interval_ms=100), hall.admit(interval_ms=100)
    listener.outbox.pause(0.0)
    hall.publish(b"1")
    hall.audience.flush_due(0.0)
    listener.outbox.resume(0.05)
    hall.audience.flush_due(0.05)
    assert (listener.heard_data, other.heard_data) == ([], [1])
    hall.audience.flush_due(0.1)
    assert (listener.heard_data, other.heard_data) == ([1], [])
    hall.audience.flush_due(0.2)
    assert listener.heard_data == other.heard_data == []


def test_a_log_has_no_pace() -> None:
    """Every entry counts, whatever interval was asked for."""
    hall = Hall(Kind.LOG)
    listener = hall.admit(interval_ms=100)
    hall.publish(b"1")
    hall.publish(b"2")
    assert listener.heard_data == [1, 2]


# Everybody


def test_an_announcement_reaches_everybody_in_order() -> None:
    """Between the updates before and after it, also for those it has to wait for."""
    hall = Hall(Kind.LOG)
    table = Hall(Kind.VALUE)
    in_step, held, paced = hall.admit(), hall.admit(), table.admit(interval_ms=100)
    held.outbox.pause(0.0)
    hall.publish(b"1")
    for audience in (hall.audience, table.audience):
        audience.announce(Frame(b'{"data":"announced"}'), 0.0)
    hall.publish(b"2")
    held.outbox.resume(0.0)
    assert in_step.heard_data == held.heard_data == [1, "announced", 2]
    assert paced.heard_data == ["announced"]


@pytest.mark.parametrize("kind", Kind)
def test_a_reset_is_announced_before_its_snapshot(kind: Kind) -> None:
    """To those in step, the held and the paced; then each goes on from there."""
    hall = Hall(kind)
    hall.publish(b"1")
    in_step, held, paced = hall.admit(), hall.admit(), hall.admit(interval_ms=100)
    held.outbox.pause(0.0)
    hall.publish(b"2")
    hall.channel.lose()
    hall.channel.touch()
    for listener in (in_step, paced):
        listener.transport.take()
    hall.reset(hall.channel)
    hall.publish(b"3", now=1.0)
    held.outbox.resume(1.0)
    hall.audience.flush_due(1.0)
    for listener in (in_step, held, paced):
        frames = listener.heard[-3:]
        assert [frame["type"] for frame in frames] == ["reset", "snapshot", "update"]
        assert [frame["seq"] for frame in frames[1:]] == [0, 1]


def test_a_reset_to_another_kind_serves_everybody_by_it() -> None:
    """What was paced becomes a log of which every entry counts. It failed at the next interval."""
    hall = Hall(Kind.VALUE)
    paced, held = hall.admit(interval_ms=100), hall.admit()
    held.outbox.pause(0.0)
    hall.publish(b"1")
    log = ModelChannel(Kind.LOG)
    log.lose()
    log.name = hall.channel.name
    log.put(b'"a"')
    hall.reset(log)
    for data in (b'"b"', b'"c"'):
        hall.publish(data)
    hall.audience.flush_due(1.0)
    held.outbox.resume(1.0)
    for listener in (paced, held):
        assert listener.heard_data[-2:] == ["b", "c"]


@pytest.mark.parametrize("kind", Kind)
def test_what_came_together_goes_out_in_one_write(kind: Kind) -> None:
    """In order; who pauses within that write has had it all, and who was held misses nothing."""
    hall = Hall(kind)
    listeners = [hall.admit(), hall.admit(room=1), held := hall.admit(room=0)]
    held.outbox.pause(0.0)
    pieces: list[Sequence[bytes]] = []
    listeners[0].outbox.sink = pieces.append
    hall.audience.leave(listeners[0].subscription)
    hall.audience.join(listeners[0].subscription)
    entries = []
    for data in (b"1", b"2", b"3"):
        patch = hall.channel.patch({"a": data}) if kind is Kind.TABLE else hall.channel.put(data)
        hall.feed.receive(patch)
        entries.append(patch)
    frames = [Frame(entry.payload) for entry in entries]
    assert hall.audience.deliver(frames, 0.0) == 2 * 3
    assert pieces == [[entry.payload for entry in entries]]
    assert listeners[1].transport.take() == [(0.0, entry.payload) for entry in entries]
    held.transport.make_room(None)
    seqs = [frame["seq"] for frame in held.heard]
    assert seqs == ([1, 2, 3] if kind is Kind.LOG else [3])
    listeners[1].transport.make_room(None)
    assert listeners[1].heard == []


def test_what_a_reading_brings_is_served_entry_by_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The feed is ahead of its audience then: who pauses half way is caught up from there."""
    monkeypatch.setattr(feed_module, "RING_ENTRIES", 2)
    hall = Hall(Kind.VALUE)
    in_step, slow = hall.admit(), hall.admit(room=2)
    for data in (b"1", b"2", b"3", b"4"):
        hall.channel.put(data)
    for entry in hall.feed.load(hall.channel.read(hall.feed.begin_reading()), 0.0).entries:
        hall.audience.deliver([Frame(entry.payload)], 0.0)
    slow.transport.make_room(None)
    assert in_step.heard_data == [1, 2, 3, 4]
    assert [(frame["seq"], frame["data"]) for frame in slow.heard] == [(1, 1), (2, 2), (4, 4)]
