"""Tests of hub.core.feed: what the machine in test_feed_machine.py does not reach or name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hub.core import feed as feed_module
from hub.core.feed import NOWHERE, Feed, Loaded, Outcome, Resume
from hub.protocol.frames import ChannelState
from hub.protocol.position import Position
from hub.protocol.streams import Kind, Stream
from tests.core.model_channel import ModelChannel


def feed_of(channel: ModelChannel, *, deadline_seconds: float | None = None) -> Feed:
    """A feed that has just read its channel, at time 0."""
    feed = Feed(channel.name, Stream(channel.kind, deadline_seconds=deadline_seconds))
    feed.begin_reading()
    feed.load(channel.read(None), 0.0)
    return feed


def reload(feed: Feed, channel: ModelChannel, now: float = 0.0) -> Loaded:
    """Let a feed read its channel once."""
    return feed.load(channel.read(feed.begin_reading()), now)


def channel_of(kind: Kind, count: int) -> ModelChannel:
    """A channel with entries 1 to `count`."""
    channel = ModelChannel(kind)
    for number in range(1, count + 1):
        if kind is Kind.TABLE:
            channel.patch({str(number): b"1"})
        else:
            channel.put(b"%d" % number)
    return channel


def frames_of(resume: Resume | None) -> list[dict[str, Any]]:
    """What a returning client is sent."""
    assert resume is not None
    return [json.loads(frame.payload) for frame in resume.frames]


# Entries


def test_what_comes_while_the_channel_is_read_is_kept() -> None:
    """An entry between the broker's answer and its arrival follows the answer."""
    channel = channel_of(Kind.LOG, 2)
    feed = Feed(channel.name, Stream())
    feed.begin_reading()
    reading = channel.read(None)
    assert feed.receive(channel.put(b"3")) is Outcome.HELD
    loaded = feed.load(reading, 0.0)
    assert loaded == Loaded(reset=False, entries=[channel.history[2]], again=False)
    assert feed.is_at(channel.head)


def test_a_repeated_entry_is_a_duplicate() -> None:
    """What the ring has under the same tag is known already."""
    channel = channel_of(Kind.LOG, 3)
    feed = feed_of(channel)
    assert feed.receive(channel.history[1]) is Outcome.DUPLICATE
    assert feed.is_at(channel.head)


def test_a_hole_asks_for_a_reading_which_mends_it() -> None:
    """Of an entry that pub/sub lost, subscribers notice nothing but a delay."""
    channel = channel_of(Kind.LOG, 1)
    feed = feed_of(channel)
    lost, found = channel.put(b"2"), channel.put(b"3")
    assert feed.receive(found) is Outcome.BROKEN
    assert reload(feed, channel) == Loaded(reset=False, entries=[lost, found], again=False)


def test_a_fork_is_a_reset() -> None:
    """The same seq under another tag is another history."""
    channel = channel_of(Kind.LOG, 3)
    feed = feed_of(channel)
    channel.roll_back(1)
    assert feed.receive(channel.put(b"other")) is Outcome.BROKEN
    assert reload(feed, channel) == Loaded(reset=False, entries=[], again=True)
    assert reload(feed, channel) == Loaded(reset=True, entries=[], again=False)
    assert feed.is_at(channel.head)


def test_a_reset_shows_the_history_that_is_there() -> None:
    """After a failover a log's snapshot has the entries below the position that was lost. It was
    empty when the channel was read on from that position alone."""
    channel = channel_of(Kind.LOG, 5)
    feed = feed_of(channel)
    channel.roll_back(2)
    reload(feed, channel)
    reload(feed, channel)
    entries = json.loads(feed.snapshot().payload)["data"]["entries"]
    assert [entry["seq"] for entry in entries] == [1, 2, 3]


def test_another_kind_is_a_reset() -> None:
    """A channel that turns out to be of another kind than configured begins anew."""
    feed = Feed("decisions", Stream(Kind.LOG))
    feed.begin_reading()
    feed.load(ModelChannel(Kind.LOG).read(None), 0.0)
    table = channel_of(Kind.TABLE, 1)
    reload(feed, table)
    assert reload(feed, table).reset
    assert feed.kind is Kind.TABLE


def test_too_much_held_back_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held back is bounded; what was not taken is read."""
    monkeypatch.setattr(feed_module, "MAX_HELD", 2)
    channel = channel_of(Kind.LOG, 1)
    feed = Feed(channel.name, Stream())
    feed.begin_reading()
    reading = channel.read(None)
    for _ in range(3):
        feed.receive(channel.put(b"0"))
    assert feed.load(reading, 0.0).again
    assert feed.position.seq == 3
    assert [entry.seq for entry in reload(feed, channel).entries] == [4]


def test_nobody_loads_what_was_not_asked_for() -> None:
    """A reading counts only with what was held back since it was asked for."""
    with pytest.raises(AssertionError, match="a reading that nobody began"):
        Feed("decisions", Stream()).load(ModelChannel(Kind.LOG).read(None), 0.0)


# What subscribers are sent


def test_a_frame_is_encoded_once_for_all() -> None:
    """Who joins at the same position, or is equally far behind, shares one frame."""
    channel = channel_of(Kind.VALUE, 3)
    feed = feed_of(channel)
    assert feed.snapshot() is feed.snapshot()
    assert feed.catch_up(1) is feed.catch_up(1)


def test_a_channel_that_was_only_touched_is_shown_where_it_stands() -> None:
    """A snapshot that was made before has no part in it."""
    channel = ModelChannel(Kind.VALUE)
    feed = feed_of(channel)
    assert json.loads(feed.snapshot().payload)["epoch"] == ""
    channel.touch()
    reload(feed, channel)
    assert json.loads(feed.snapshot().payload)["epoch"] == channel.start.epoch


def test_frames_for_the_slow_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are behind, and each by another length, few of their frames are kept."""
    monkeypatch.setattr(feed_module, "MAX_CATCH_UPS", 2)
    feed = feed_of(channel_of(Kind.VALUE, 9))
    first = feed.catch_up(1)
    for seq in (2, 3):
        feed.catch_up(seq)
    assert feed.catch_up(1) is not first
    assert feed.catch_up(1).payload == first.payload


def test_one_missed_update_is_sent_as_it_is() -> None:
    """Who is one behind gets the update that everybody got."""
    channel = channel_of(Kind.VALUE, 2)
    assert feed_of(channel).catch_up(1).payload == channel.history[1].payload


def test_a_conflated_update_says_what_it_skipped() -> None:
    """Loss and intent can't be confused."""
    channel = channel_of(Kind.TABLE, 4)
    frame = json.loads(feed_of(channel).catch_up(1).payload)
    assert (frame["prev"], frame["seq"], frame["skipped"]) == (1, 4, 2)
    assert frame["data"] == {"upsert": {"2": 1, "3": 1, "4": 1}, "delete": []}


def test_who_is_too_far_behind_gets_the_whole_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the ring nobody knows which rows changed."""
    monkeypatch.setattr(feed_module, "RING_ENTRIES", 2)
    frame = json.loads(feed_of(channel_of(Kind.TABLE, 4)).catch_up(1).payload)
    assert frame["type"] == "snapshot"
    assert len(frame["data"]["rows"]) == 4


def test_a_log_is_never_conflated() -> None:
    """To ask for it is a mistake in the hub."""
    with pytest.raises(AssertionError, match="a log is never conflated"):
        feed_of(channel_of(Kind.LOG, 3)).catch_up(1)


# Returning clients


@pytest.mark.parametrize("kind", Kind)
def test_who_missed_nothing_is_sent_nothing(kind: Kind) -> None:
    """At the head there is nothing to catch up with."""
    channel = channel_of(kind, 3)
    head = channel.head
    assert head is not None
    assert frames_of(feed_of(channel).resume(head)) == []


def test_a_log_is_resumed_entry_by_entry() -> None:
    """What follows the client's position, and not what it has."""
    channel = channel_of(Kind.LOG, 4)
    frames = frames_of(feed_of(channel).resume(channel.history[1].position))
    assert [frame["seq"] for frame in frames] == [3, 4]


@pytest.mark.parametrize("kind", [Kind.VALUE, Kind.TABLE])
def test_a_value_or_table_is_resumed_by_one_frame(kind: Kind) -> None:
    """The newest state, said to be conflated."""
    channel = channel_of(kind, 4)
    [frame] = frames_of(feed_of(channel).resume(channel.history[0].position))
    assert (frame["prev"], frame["seq"], frame["skipped"]) == (1, 4, 2)


@pytest.mark.parametrize("kind", Kind)
def test_who_saw_an_empty_channel_missed_all_of_it(kind: Kind) -> None:
    """The first entry of any history follows an empty channel."""
    channel = channel_of(kind, 2)
    assert frames_of(feed_of(channel).resume(NOWHERE))[-1]["seq"] == 2


@pytest.mark.parametrize("kind", Kind)
def test_another_history_is_not_resumed(kind: Kind) -> None:
    """Neither from another epoch, nor from a fork; and the broker knows no more about either."""
    channel = channel_of(kind, 3)
    feed = feed_of(channel)
    at = channel.history[1].position
    for since in (Position("another", at.seq, at.tag), Position(at.epoch, at.seq, "00000000")):
        assert feed.resume(since) is None
        assert feed.reaches(since)


def test_who_is_ahead_of_the_hub_waits_for_it() -> None:
    """A client that comes from a hub that heard more is not sent back in time: while the broker is
    asked, this one hears it too."""
    channel = channel_of(Kind.VALUE, 2)
    feed = feed_of(channel)
    entry = channel.put(b"3")
    assert feed.resume(entry.position) is None
    assert not feed.reaches(entry.position)
    feed.receive(entry)
    assert frames_of(feed.resume(entry.position)) == []


@pytest.fixture
def short_ring(monkeypatch: pytest.MonkeyPatch) -> ModelChannel:
    """A log of ten entries, for feeds that keep the newest two."""
    monkeypatch.setattr(feed_module, "RING_ENTRIES", 2)
    channel = ModelChannel(Kind.LOG)
    for number in range(1, 11):
        channel.put(b'"NaN"' if number == 4 else b"%d" % number)
    return channel


def short_feed(channel: ModelChannel) -> Feed:
    """A feed that keeps two entries of a log."""
    feed = Feed(channel.name, Stream(history=1))
    feed.begin_reading()
    feed.load(channel.read(None), 0.0)
    return feed


def test_a_log_beyond_the_ring_is_bridged_by_the_broker(short_ring: ModelChannel) -> None:
    """The broker's entries lead to the feed's, each once, without what must not be shown."""
    feed = short_feed(short_ring)
    since = short_ring.history[2].position
    assert feed.resume(since) is None
    assert not feed.reaches(since)
    reading = short_ring.read(since.seq)
    feed.receive(short_ring.put(b"11"))
    frames = frames_of(feed.bridge(since, reading))
    assert [frame["data"] for frame in frames] == [None, *range(5, 12)]
    assert frames_of(feed.bridge(NOWHERE, short_ring.read(0)))[0]["seq"] == 1


def test_a_bridge_ends_where_the_feed_stands(short_ring: ModelChannel) -> None:
    """What the broker has beyond the feed will come live."""
    feed = short_feed(short_ring)
    since = short_ring.history[2].position
    short_ring.put(b"11")
    assert frames_of(feed.bridge(since, short_ring.read(since.seq)))[-1]["seq"] == 10


def test_a_bridge_that_can_not_be_proved_is_none(short_ring: ModelChannel) -> None:
    """Neither where the stream was trimmed, nor where the feed has gone too far meanwhile."""
    feed = short_feed(short_ring)
    since = short_ring.history[2].position
    reading = short_ring.read(since.seq)
    for _ in range(4):
        feed.receive(short_ring.put(b"0"))
    assert feed.bridge(since, reading) is None
    short_ring.trim(5)
    assert feed.bridge(since, short_ring.read(since.seq)) is None


def test_who_is_ahead_of_feed_and_broker_is_not_bridged() -> None:
    """A position that neither knows can't be proved."""
    channel = channel_of(Kind.LOG, 2)
    feed = feed_of(channel)
    since = Position(channel.start.epoch, 9, "00000000")
    assert feed.bridge(since, channel.read(since.seq)) is None


# Freshness


def test_a_channel_is_stale_once_its_lease_ran_out() -> None:
    """Subscribers are told once, and once more when the producer is back."""
    channel = channel_of(Kind.VALUE, 1)
    channel.lease_ms, channel.lease_left_ms = 2_000, 500
    feed = feed_of(channel)
    assert feed.check_freshness(0.4) is None
    assert feed.check_freshness(0.5) is ChannelState.STALE
    assert feed.check_freshness(9.0) is None
    feed.renew(10.0)
    assert feed.check_freshness(11.9) is ChannelState.LIVE
    assert feed.check_freshness(12.0) is ChannelState.STALE


def test_a_lease_that_ran_out_before_is_stale_at_once() -> None:
    """Who subscribes to a dead producer's channel learns it."""
    channel = channel_of(Kind.VALUE, 1)
    channel.lease_ms, channel.lease_left_ms = 2_000, -60_000
    assert feed_of(channel).check_freshness(0.0) is ChannelState.STALE


def test_a_configured_deadline_counts_from_the_first_reading() -> None:
    """Where no producer sets a lease, the stream's deadline is the channel's."""
    feed = feed_of(channel_of(Kind.VALUE, 1), deadline_seconds=3.0)
    assert feed.check_freshness(2.9) is None
    assert feed.check_freshness(3.0) is ChannelState.STALE


def test_a_channel_without_lease_or_deadline_is_never_stale() -> None:
    """Nobody promised to publish."""
    feed = feed_of(channel_of(Kind.VALUE, 1))
    feed.renew(1.0)
    assert feed.check_freshness(1e9) is None


def test_a_new_lease_counts_from_when_it_is_heard() -> None:
    """A producer may shorten its lease."""
    feed = feed_of(channel_of(Kind.VALUE, 1), deadline_seconds=100.0)
    feed.renew(1.0, 2.0)
    assert feed.check_freshness(3.0) is ChannelState.STALE


def test_what_is_heard_while_the_channel_is_read_counts() -> None:
    """A reading knows less than a publish that came after it. The channel was called stale when
    the reading's lease ran out."""
    channel = channel_of(Kind.VALUE, 1)
    channel.lease_ms, channel.lease_left_ms = 2_000, 100
    feed = feed_of(channel)
    since = feed.begin_reading()
    reading = channel.read(since)
    feed.renew(0.05)
    feed.load(reading, 0.1)
    assert feed.check_freshness(2.0) is None
    assert feed.check_freshness(2.05) is ChannelState.STALE


def test_a_reading_without_a_lease_changes_no_deadline() -> None:
    """A repair is no publish."""
    channel = channel_of(Kind.VALUE, 1)
    feed = feed_of(channel, deadline_seconds=3.0)
    reload(feed, channel, now=2.0)
    assert feed.check_freshness(3.0) is ChannelState.STALE


def test_a_lost_history_has_lost_its_lease() -> None:
    """A new history has the stream's deadline until a producer says otherwise."""
    channel = channel_of(Kind.VALUE, 1)
    channel.lease_ms, channel.lease_left_ms = 2_000, 2_000
    feed = feed_of(channel, deadline_seconds=60.0)
    channel.lose()
    channel.put(b"1")
    channel.lease_left_ms = None
    reload(feed, channel)
    reload(feed, channel)
    assert feed.check_freshness(59.0) is None
    assert feed.check_freshness(60.0) is ChannelState.STALE
