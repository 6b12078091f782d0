"""The channels that a hub serves: who hears each, and who still waits for one to come up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hub.core.audience import Audience
from hub.core.feed import Feed
from hub.core.session import Session
from hub.protocol.commands import Subscribe
from hub.protocol.frames import ChannelState


class Waiter(NamedTuple):
    """A subscribe whose feed is not up yet."""

    session: Session
    id: int
    params: Subscribe


class Registry:
    """Audiences by channel. A channel is opened once, whoever asks for it at the same moment."""

    __slots__ = ("_audiences", "_idle_since", "_waiters")

    def __init__(self) -> None:
        self._audiences: dict[str, Audience] = {}
        # A session waits once for a channel, however often it asks.
        self._waiters: dict[str, dict[Session, Waiter]] = {}
        self._idle_since: dict[str, float] = {}

    def __iter__(self) -> Iterator[Audience]:
        return iter(list(self._audiences.values()))

    def get(self, channel: str) -> Audience | None:
        """The channel's audience, where its feed is up."""
        return self._audiences.get(channel)

    def wait(self, waiter: Waiter) -> bool:
        """Let a subscribe wait for its feed; returns whether it is the first, so that the caller
        brings the feed up."""
        channel = waiter.params.channel
        # Not by their number: one session that asks again still is the only one that waits.
        is_first = channel not in self._waiters
        self._waiters.setdefault(channel, {})[waiter.session] = waiter
        return is_first

    def open(self, feed: Feed) -> tuple[Audience, list[Waiter]]:
        """The feed is up: its audience, and who waited for it."""
        assert feed.channel not in self._audiences, f"{feed.channel} is open already"
        audience = self._audiences[feed.channel] = Audience(feed)
        return audience, self.give_up(feed.channel)

    def give_up(self, channel: str) -> list[Waiter]:
        """The feed could not be brought up: who waited for it."""
        return list(self._waiters.pop(channel, {}).values())

    def close(self, channel: str) -> Audience | None:
        """Forget a channel; whoever is still in its audience is the caller's to tell."""
        self._idle_since.pop(channel, None)
        return self._audiences.pop(channel, None)

    def idle(self, now: float, linger_seconds: float) -> list[str]:
        """Channels that nobody has heard for `linger_seconds`; called now and then."""
        for channel, audience in self._audiences.items():
            if len(audience):
                self._idle_since.pop(channel, None)
            else:
                self._idle_since.setdefault(channel, now)
        return [channel for channel, at in self._idle_since.items() if now - at >= linger_seconds]

    def turned(self, now: float) -> list[tuple[Audience, ChannelState]]:
        """The audiences to tell that their channel became stale, or live again."""
        found = []
        for audience in self._audiences.values():
            state = audience.feed.check_freshness(now)
            if state is not None:
                found.append((audience, state))
        return found
