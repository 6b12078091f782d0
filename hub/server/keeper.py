"""Keeps one channel's feed in step with the broker.

Rules:
1. The subscription is confirmed before the channel is read: the other order loses what is published
   in between.
2. At most one reading is under way; what arrives meanwhile is held back by the feed.
3. Whatever breaks the feed (a hole, a fork, a link that was away, a head that is elsewhere) is
   mended by a reading, which is tried until it succeeds. No subscriber notices but by a reset.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from broadcaster import Broadcast

from hub.broker.base import Broker, BrokerUnavailableError, Link
from hub.core.feed import FIRST_READ_ENTRIES, Feed, Loaded, Outcome
from hub.protocol.agent_commands import is_commands
from hub.protocol.envelope import (
    Envelope,
    Foreign,
    Lease,
    claimed_envelope,
    decode_foreign,
    decode_lease,
)
from hub.protocol.errors import EnvelopeError
from hub.protocol.streams import Kind, Stream
from hub.server.metrics import Metrics

if TYPE_CHECKING:
    from broadcaster._base import Subscriber

logger = logging.getLogger(__name__)

STATE_READ_ENTRIES = 50
RETRY_SECONDS = 0.2


class FeedKeeper:
    """The owner of one feed and of its subscription to the broker.

    opened, changed, applied, heard: called when the feed is up, when a reading was loaded, for the
    entries that arrived together and were applied, and for a foreign publish, always without an
    await since the feed moved.
    """

    def __init__(
        self,
        channel: str,
        options: Stream,
        broker: Broker,
        broadcast: Broadcast,
        metrics: Metrics,
        clock: Callable[[], float],
        *,
        opened: Callable[[FeedKeeper], None],
        changed: Callable[[FeedKeeper, Loaded], None],
        applied: Callable[[FeedKeeper, list[Envelope]], None],
        heard: Callable[[FeedKeeper, Foreign], None],
    ) -> None:
        self.feed = Feed(channel, options)
        self.channel = channel
        self.heard_at = clock()
        self._keep = options.keep
        # A command is no sign of the agent that it is for.
        self._renewing = not is_commands(channel)
        self._broker = broker
        self._broadcast = broadcast
        self._metrics = metrics
        self._clock = clock
        self._opened = opened
        self._changed = changed
        self._applied = applied
        self._heard = heard
        self._wanted = asyncio.Event()

    async def run(self, open_seconds: float) -> None:
        """Bring the feed up and keep it until cancelled.

        Raises BrokerUnavailableError where it was not up within `open_seconds`.
        """
        try:
            async with asyncio.timeout(open_seconds):
                await self._confirm()
        except TimeoutError:
            raise BrokerUnavailableError(
                f"the broker did not confirm {self.channel} within {open_seconds:g} s"
            ) from None
        # The broker holds the subscription already, so that nothing is awaited between its
        # confirmation and the place in the Broadcast, nor can this fail half way.
        async with self._broadcast.subscribe(self.channel) as subscriber:
            self.repair()
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._read_when_wanted(open_seconds))
                    while True:
                        messages = await _arrived(subscriber)
                        self._receive(messages)
            except* BrokerUnavailableError as errors:
                raise errors.exceptions[0] from None

    async def _confirm(self) -> None:
        while True:
            try:
                return await self._broker.subscribe(self.channel)
            except BrokerUnavailableError:
                await asyncio.sleep(RETRY_SECONDS)

    # What the broker delivers

    def _receive(self, messages: list[object]) -> None:
        self.heard_at = now = self._clock()
        applied: list[Envelope] = []
        for message in messages:
            if isinstance(message, Link):
                self.repair()
                continue
            assert isinstance(message, bytes), "a broker delivers bytes, or says that it was away"
            self._metrics.received += 1
            try:
                if (entry := claimed_envelope(self.channel, message)) is not None:
                    self._take(entry, applied, now)
                elif (lease := decode_lease(message)) is not None:
                    self._renew(lease, now)
                else:
                    foreign = decode_foreign(self.channel, message)
                    self._hand_on(applied)
                    self._heard(self, foreign)
            except EnvelopeError as error:
                self._metrics.rejected += 1
                logger.warning("%s: %s", self.channel, error)
        self._hand_on(applied)

    def _take(self, entry: Envelope, applied: list[Envelope], now: float) -> None:
        feed = self.feed
        match feed.receive(entry):
            case Outcome.APPLIED:
                if self._renewing:
                    feed.renew(now)
                assert feed.newest is not None, "it was applied just now"
                applied.append(feed.newest)
            case Outcome.DUPLICATE:
                self._metrics.duplicates += 1
            case Outcome.BROKEN:
                self.repair()
            case Outcome.HELD:
                if self._renewing:
                    feed.renew(now)

    def _hand_on(self, applied: list[Envelope]) -> None:
        if applied:
            self._applied(self, applied.copy())
            applied.clear()

    def _renew(self, lease: Lease, now: float) -> None:
        self.feed.renew(now, lease.lease_ms / 1000)
        if lease.position != self.feed.position:
            self.repair()

    # Readings

    def repair(self) -> None:
        """Read the channel as soon as the broker answers."""
        self.feed.begin_reading()
        self._wanted.set()

    async def _read_when_wanted(self, open_seconds: float) -> None:
        opened_by = self._clock() + open_seconds
        while True:
            await self._wanted.wait()
            since = self.feed.begin_reading()
            self._wanted.clear()
            limit = self._keep if since is not None else self._first_limit()
            try:
                reading = await self._broker.read(self.channel, since, limit)
            except BrokerUnavailableError:
                if not self.feed.loaded and self._clock() >= opened_by:
                    raise
                self._wanted.set()
                await asyncio.sleep(RETRY_SECONDS)
                continue
            first = not self.feed.loaded
            loaded = self.feed.load(reading, self._clock())
            self._metrics.readings += 1
            if first:
                self._opened(self)
            else:
                self._changed(self, loaded)
            if loaded.again or self._wanted.is_set():
                self.repair()

    def _first_limit(self) -> int:
        return FIRST_READ_ENTRIES if self.feed.kind is Kind.LOG else STATE_READ_ENTRIES


async def _arrived(subscriber: Subscriber) -> list[object]:
    """The next message, and those that arrived together with it.

    broadcaster itself can't be asked for what is there already: its queue is looked into, and
    tests/server/test_keeper.py holds it to that.
    """
    messages: list[object] = [(await subscriber.get()).message]
    queue = subscriber._queue
    while not queue.empty():
        event = queue.get_nowait()
        assert event is not None, "the end comes after this subscription's own"
        messages.append(event.message)
    return messages
