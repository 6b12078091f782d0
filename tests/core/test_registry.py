"""Tests of hub.core.registry."""

from __future__ import annotations

import pytest

from hub.core.feed import Feed
from hub.core.limits import Limits
from hub.core.outbox import Outbox
from hub.core.registry import Registry, Waiter
from hub.core.session import Session
from hub.core.subscription import Subscription
from hub.protocol.commands import Subscribe
from hub.protocol.frames import ChannelState
from hub.protocol.streams import Kind, Stream
from tests.core.model_channel import ModelChannel
from tests.core.model_hub import PAYLOADS, Transport


def feed_of(channel: ModelChannel) -> Feed:
    """A feed that is up."""
    feed = Feed(channel.name, Stream(channel.kind))
    feed.begin_reading()
    feed.load(channel.read(None), 0.0)
    return feed


def session_over(transport: Transport) -> Session:
    """A session that writes to a transport."""
    transport.outbox = Outbox(PAYLOADS, transport.write, Limits())
    return Session("s", transport.outbox, Limits(), 0.0)


def waiter(session: Session, id: int, channel: str = "portfolio") -> Waiter:
    """A subscribe that waits."""
    return Waiter(session, id, Subscribe(channel))


@pytest.fixture
def portfolio() -> ModelChannel:
    """An empty channel."""
    return ModelChannel(Kind.VALUE)


def test_a_channel_is_brought_up_once(portfolio: ModelChannel) -> None:
    """Of all who ask at the same moment the first one has the work, and each is answered."""
    registry = Registry()
    waiters = [waiter(session_over(Transport()), id) for id in range(500)]
    assert [registry.wait(each) for each in waiters] == [True, *[False] * 499]
    assert registry.get("portfolio") is None
    audience, waited = registry.open(feed_of(portfolio))
    assert waited == waiters
    assert registry.get("portfolio") is audience
    assert list(registry) == [audience]


def test_a_session_waits_once_however_often_it_asks(portfolio: ModelChannel) -> None:
    """Its newest subscribe counts; a client can't fill the hub with waiting ones, nor have the
    feed brought up twice, as each of them once did."""
    registry = Registry()
    session = session_over(Transport())
    asked = [registry.wait(waiter(session, id)) for id in range(100)]
    assert asked == [True, *[False] * 99]
    _, waited = registry.open(feed_of(portfolio))
    assert waited == [waiter(session, 99)]


def test_who_waits_for_another_channel_goes_on_waiting(portfolio: ModelChannel) -> None:
    """Channels come up one by one."""
    registry = Registry()
    other = waiter(session_over(Transport()), 1, "decisions")
    assert registry.wait(other)
    assert registry.open(feed_of(portfolio))[1] == []
    assert registry.give_up("decisions") == [other]


def test_after_giving_up_the_next_one_tries_anew() -> None:
    """A broker that was away may be back."""
    registry = Registry()
    waiting = waiter(session_over(Transport()), 1)
    registry.wait(waiting)
    assert registry.give_up("portfolio") == [waiting]
    assert registry.give_up("portfolio") == []
    assert registry.wait(waiting)


def test_a_channel_is_open_once(portfolio: ModelChannel) -> None:
    """Two feeds of one channel would be a mistake in the hub."""
    registry = Registry()
    registry.open(feed_of(portfolio))
    with pytest.raises(AssertionError, match="portfolio is open already"):
        registry.open(feed_of(portfolio))


def test_a_channel_that_nobody_hears_is_idle_after_a_while(portfolio: ModelChannel) -> None:
    """Counted from when it was first seen without subscribers; who comes back ends it."""
    registry = Registry()
    audience, _ = registry.open(feed_of(portfolio))
    assert registry.idle(0.0, 5.0) == []
    assert registry.idle(4.9, 5.0) == []
    subscription = Subscription(session_over(Transport()).outbox, audience, 0)
    audience.join(subscription)
    assert registry.idle(5.0, 5.0) == []
    audience.leave(subscription)
    assert registry.idle(6.0, 5.0) == []
    assert registry.idle(11.0, 5.0) == ["portfolio"]
    assert registry.close("portfolio") is audience
    assert registry.close("portfolio") is None
    assert registry.idle(99.0, 5.0) == []


def test_channels_that_turned_are_named_once(portfolio: ModelChannel) -> None:
    """Stale or live again, for whoever hears them to be told."""
    registry = Registry()
    portfolio.lease_ms = portfolio.lease_left_ms = 1_000
    portfolio.touch()
    audience, _ = registry.open(feed_of(portfolio))
    registry.open(feed_of(ModelChannel(Kind.LOG)))
    assert registry.turned(0.5) == []
    assert registry.turned(1.0) == [(audience, ChannelState.STALE)]
    assert registry.turned(1.1) == []
