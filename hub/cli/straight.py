"""Following channels straight from Redis, without a hub: what `tapecast record --redis` does.

Rules:
1. What comes by pub/sub only rings: entries are read from the channel's stream, from the position
   on, so each is had once and in order however often the link breaks.
2. A foreign publish and the renewal of a lease are in no stream, and are taken from pub/sub.
3. The subscription is confirmed before the channel is read: the other order loses what is
   published in between.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from hub.broker.base import Broker, BrokerUnavailableError, Link
from hub.cli.moments import now_us
from hub.client import Cause, recording
from hub.core.admission import admit
from hub.core.feed import FIRST_READ_ENTRIES, NOWHERE, Feed
from hub.protocol.envelope import Envelope, claimed_envelope, decode_foreign, decode_lease
from hub.protocol.errors import EnvelopeError
from hub.protocol.frames import ChannelState
from hub.protocol.position import Position
from hub.protocol.reading import missed
from hub.protocol.streams import Stream, stream_options

RETRY_SECONDS = 0.25
FRESHNESS_SECONDS = 0.1


class StraightChannel:
    """One channel: a feed that is moved by readings alone, and the rows that they make."""

    def __init__(
        self,
        channel: str,
        options: Stream,
        broker: Broker,
        since: Position | None,
        take: Callable[[recording.Row], None],
    ) -> None:
        self._channel = channel
        self._options = options
        self._broker = broker
        self._since = since
        self._take = take
        self._feed = Feed(channel, options)
        self._began = False
        self._wanted = asyncio.Event()

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._broker.subscribe(self._channel)
                break
            except BrokerUnavailableError:
                await asyncio.sleep(RETRY_SECONDS)
        self._wanted.set()
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self.read()
            except BrokerUnavailableError:
                self._wanted.set()
                await asyncio.sleep(RETRY_SECONDS)

    async def read(self) -> None:
        """Bring the channel's rows up to where it stands. Raises BrokerUnavailableError."""
        again = True
        while again:
            since = self._feed.begin_reading()
            # What is kept beyond `keep`, because streams are trimmed by nodes, must come too.
            limit = FIRST_READ_ENTRIES if since is None else 2 * self._options.keep
            reading = await self._broker.read(self._channel, since, limit)
            last = self._feed.position
            loaded = self._feed.load(reading, time.monotonic())
            again = loaded.again
            if not self._began:
                continue
            if loaded.reset:
                self._take(self._reset(Cause.HISTORY, last))
                self._take(self._snapshot())
            for entry in loaded.entries:
                self._take(self._update(entry))
        if not self._began:
            await self._begin()

    async def _begin(self) -> None:
        """The first rows: what came after the recording's last position, or the whole state."""
        since = self._since
        entries = None if since is None else await self._bridge(since)
        self._began = True
        if since is not None and entries is not None:
            self._take(recording.resumed(self._channel, self._feed.kind, since, now_us()))
            for entry in entries:
                self._take(self._update(entry))
            return
        if since is not None:
            self._take(self._reset(Cause.MISSED, since))
        self._take(self._snapshot())

    async def _bridge(self, since: Position) -> list[Envelope] | None:
        """The entries from `since` to where the feed stands; None where that can't be proved."""
        at = self._feed.position
        if since == NOWHERE:
            since = Position(at.epoch, 0, "")
        if since == at:
            return []
        limit = 2 * self._options.keep
        reading = await self._broker.read(self._channel, since.seq, limit, state=False)
        entries = missed(reading, since)
        if entries is None:
            return None
        upto = [admit(entry, self._feed.kind) for entry in entries if entry.seq <= at.seq]
        return upto if upto and upto[-1].position == at else None

    def hear(self, message: bytes | Link) -> None:
        """Take what came by pub/sub."""
        if isinstance(message, Link) or claimed_envelope(self._channel, message) is not None:
            self._wanted.set()
            self._feed.renew(time.monotonic())
        elif (lease := decode_lease(message)) is not None:
            self._feed.renew(time.monotonic(), lease.lease_ms / 1000)
            if lease.position != self._feed.position:
                self._wanted.set()
        else:
            foreign = decode_foreign(self._channel, message)
            data = msgspec.Raw(foreign.data)
            now = now_us()
            self._take(
                recording.Update(
                    at=now, channel=self._channel, event=foreign.event, ts=now, data=data
                )
            )

    def check_freshness(self) -> None:
        """Say where the channel became stale, or live again."""
        state = self._feed.check_freshness(time.monotonic()) if self._began else None
        if state is not None:
            now = now_us()
            since = self._feed.ts if state is ChannelState.STALE else now
            self._take(recording.Turned(at=now, channel=self._channel, state=state, since=since))

    def _snapshot(self) -> recording.Snapshot:
        feed, at = self._feed, self._feed.position
        return recording.Snapshot(
            at=now_us(),
            channel=self._channel,
            kind=feed.kind,
            epoch=at.epoch,
            seq=at.seq,
            tag=at.tag,
            ts=feed.ts,
            data=recording.data_of(feed.snapshot().payload),
        )

    def _update(self, entry: Envelope) -> recording.Update:
        at = entry.position
        return recording.Update(
            at=now_us(),
            channel=self._channel,
            event=entry.event,
            ts=entry.ts,
            epoch=at.epoch,
            seq=at.seq,
            tag=at.tag,
            data=msgspec.Raw(entry.data),
        )

    def _reset(self, cause: Cause, last: Position) -> recording.Reset:
        return recording.Reset(at=now_us(), channel=self._channel, cause=cause, last=last)


class Straight:
    """Several channels, on a broker that nobody else listens to.

    channels: each with the position to go on from, None for a snapshot. take: gets every row.
    """

    def __init__(
        self,
        broker: Broker,
        channels: Mapping[str, Position | None],
        streams: Mapping[str, Stream],
        take: Callable[[recording.Row], None],
    ) -> None:
        self._broker = broker
        self._channels = {
            channel: StraightChannel(channel, stream_options(channel, streams), broker, since, take)
            for channel, since in channels.items()
        }

    async def run(self, *besides: Coroutine[Any, Any, None]) -> None:
        """Follow; ends only by an error, which it raises. besides: what ends it by failing."""
        await self._broker.connect()
        try:
            async with asyncio.TaskGroup() as tasks:
                for run in (self._hear(), self._watch(), *besides):
                    tasks.create_task(run)
                for channel in self._channels.values():
                    tasks.create_task(channel.run())
        except ExceptionGroup as group:
            raise group.exceptions[0] from None

    async def catch_up(self) -> None:
        """Once more bring every channel up to where it stands. Raises BrokerUnavailableError."""
        for channel in self._channels.values():
            await channel.read()

    async def _hear(self) -> None:
        while True:
            event = await self._broker.next_published()
            # The message is bytes or a Link, whatever broadcaster's annotation says.
            message: object = event.message
            assert isinstance(message, bytes | Link)
            # What is no message of anybody's, a hub would not pass on either.
            with suppress(EnvelopeError):
                self._channels[event.channel].hear(message)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(FRESHNESS_SECONDS)
            for channel in self._channels.values():
                channel.check_freshness()
