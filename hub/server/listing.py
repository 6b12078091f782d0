"""Which channels there are, and where each stands.

Every page that is open asks for this now and then, so the broker is read once for all who ask
within a moment: a listing serves until it is `FRESH_SECONDS` old, and longer where reading one
takes long. Channels with a live feed are described from the feed itself, as of now.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

import msgspec

from hub.broker.base import Broker, ChannelUnavailableError
from hub.core.feed import Feed
from hub.core.registry import Registry
from hub.protocol.position import Position
from hub.protocol.reading import ChannelReading
from hub.protocol.streams import Kind, Stream, stream_options

logger = logging.getLogger(__name__)

FRESH_SECONDS = 0.1
READING_SHARE = 0.1
"""At most this share of the time is spent on listings, however many channels there are."""
READS_AT_ONCE = 8


class Row(msgspec.Struct, frozen=True):
    """One channel. `age_ms` is the time since its newest entry, None where it has none."""

    name: str
    kind: Kind
    head: Position
    age_ms: int | None
    stale: bool


def feed_of(reading: ChannelReading, streams: Mapping[str, Stream], now: float) -> Feed:
    """A feed that is nobody's live copy: what the reading says, and nothing later."""
    feed = Feed(reading.channel, stream_options(reading.channel, streams))
    feed.begin_reading()
    feed.load(reading, now)
    feed.check_freshness(now)
    return feed


class Listing:
    """The channels of one broker, as one hub sees them.

    clock: monotonic seconds. wall_clock: Unix seconds.
    """

    def __init__(
        self,
        broker: Broker,
        registry: Registry,
        streams: Mapping[str, Stream],
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self._broker = broker
        self._registry = registry
        self._streams = streams
        self._clock = clock
        self._wall_clock = wall_clock
        self._lock = asyncio.Lock()
        self._feeds: dict[str, Feed] = {}
        self._damaged: frozenset[str] = frozenset()
        self._fresh_until = 0.0

    async def rows(self) -> list[Row]:
        """All channels that were published to, by name; one that was damaged by hand is left out,
        and the log says so. Raises BrokerUnavailableError."""
        async with self._lock:
            if self._clock() >= self._fresh_until:
                await self._refresh()
        return self.known()

    def known(self) -> list[Row]:
        """The channels that are live here or were listed the last time, without asking anybody."""
        now = self._clock()
        feeds = dict(self._feeds)
        for feed in feeds.values():
            # Nobody looks after these.
            feed.check_freshness(now)
        for audience in self._registry:
            if audience.feed.position.epoch:
                feeds[audience.channel] = audience.feed
        return [self._row(feeds[name], now) for name in sorted(feeds)]

    async def _refresh(self) -> None:
        began = self._clock()
        names = [name for name in await self._broker.channels() if not self._registry.get(name)]
        self._feeds = {feed.channel: feed for feed in await self._read_all(names)}
        ended = self._clock()
        self._fresh_until = ended + max(FRESH_SECONDS, (ended - began) / READING_SHARE)

    async def _read_all(self, names: list[str]) -> list[Feed]:
        feeds: list[Feed] = []
        damaged: set[str] = set()
        waiting = iter(names)

        async def read() -> None:
            for name in waiting:
                try:
                    reading = await self._broker.read(name, None, 1, state=False)
                except ChannelUnavailableError as error:
                    damaged.add(name)
                    if name not in self._damaged:
                        logger.warning("left out of the list: %s", error)
                    continue
                if reading.position is not None:
                    feeds.append(feed_of(reading, self._streams, self._clock()))

        # gather and not a TaskGroup: one failure is raised as itself, and the others are short.
        await asyncio.gather(*(read() for _ in range(READS_AT_ONCE)))
        self._damaged = frozenset(damaged)
        return feeds

    def _row(self, feed: Feed, now: float) -> Row:
        age_ms = None
        if feed.ts:
            # The broker's clock may be ahead of this one.
            age_ms = max(0, round(self._wall_clock() * 1000) - feed.ts // 1000)
        return Row(feed.channel, feed.kind, feed.position, age_ms, feed.stale)
