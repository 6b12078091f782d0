"""The feeds of a hub: brought up when somebody asks, fanned out, let go when nobody listens.

A feed's step and its fan-out are parted by a turn of the loop, so that what arrived together goes
out together. Whatever else is done to an audience flushes first; so a subscribe is answered, caught
up and joined in one step, with no frame in between.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from broadcaster import Broadcast

from hub.broker.base import Broker, BrokerUnavailableError
from hub.core.audience import Audience
from hub.core.fanout import Fanout
from hub.core.feed import Loaded
from hub.core.frame import Frame
from hub.core.registry import Registry, Waiter
from hub.core.session import Follow, Session
from hub.protocol import codes, frames
from hub.protocol.envelope import Envelope, Foreign
from hub.protocol.frames import ChannelState
from hub.protocol.streams import Stream, stream_options
from hub.server.keeper import FeedKeeper
from hub.server.metrics import Metrics
from hub.server.tasks import Tasks

logger = logging.getLogger(__name__)

OPEN_SECONDS = 10.0
"""How long the first subscriber of a channel waits for a broker that is away."""
MAX_FEEDS = 65_536
"""Channels that a hub follows, those included that somebody left a while ago. A subscribe to one
more is refused, to be tried again, at another replica perhaps."""
BRIDGES = 16
"""Channels that are read for returning clients at the same time; the others wait their turn."""


class Feeds:
    """Audiences by channel, and the keeper of each.

    too_slow: called with a session whose outbox overflowed. orphaned: called with a session whose
    feed failed, and why.
    """

    def __init__(
        self,
        broker: Broker,
        streams: Mapping[str, Stream],
        tasks: Tasks,
        metrics: Metrics,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        *,
        too_slow: Callable[[Session], None],
        orphaned: Callable[[Session, str], None],
    ) -> None:
        self.registry = Registry()
        self._broker = broker
        self._broadcast = Broadcast(backend=broker)
        self._streams = streams
        self._tasks = tasks
        self._metrics = metrics
        self._clock = clock
        self._wall_clock = wall_clock
        self._too_slow = too_slow
        self._orphaned = orphaned
        self._keepers: dict[str, FeedKeeper] = {}
        self._keeping: dict[str, asyncio.Task[None]] = {}
        self._bridges = asyncio.Semaphore(BRIDGES)
        self._returning: dict[str, dict[Session, Follow]] = {}
        self._fanout = Fanout()

    async def connect(self) -> None:
        """Begin to reach the broker."""
        await self._broadcast.connect()

    async def disconnect(self) -> None:
        """Leave the broker; the keepers have ended."""
        await self._broadcast.disconnect()

    # Subscribes

    def follow(self, session: Session, subscribe: Follow) -> None:
        """Answer a subscribe, now or when its feed is up."""
        channel = subscribe.params.channel
        audience = self.registry.get(channel)
        if audience is not None:
            self._join(session, audience, subscribe)
        elif len(self._keeping) >= MAX_FEEDS and channel not in self._keeping:
            message = f"this hub follows {MAX_FEEDS} channels already"
            session.fail_subscribe(subscribe.id, channel, codes.UNAVAILABLE, message, self._clock())
        elif self.registry.wait(Waiter(session, subscribe.id, subscribe.params)):
            before = self._keeping.get(channel)
            keep = self._keep(channel, before)
            self._keeping[channel] = self._tasks.start(keep, f"feed {channel}", vital=False)

    def _join(self, session: Session, audience: Audience, subscribe: Follow) -> None:
        self.flush()
        if session.join(audience, subscribe.id, subscribe.params, self._clock()):
            return
        # The newest subscribe of a session to a channel counts, however often it is replaced.
        channel = audience.channel
        returning = self._returning.get(channel)
        if returning is not None:
            returning[session] = subscribe
        else:
            self._returning[channel] = {session: subscribe}
            self._tasks.start(self._bridge(channel), f"bridge {channel}", vital=False)

    async def _bridge(self, channel: str) -> None:
        """Catch up the clients that were away longer than the feed remembers.

        One reading serves all who wait: after an outage, or the death of another hub, they come at
        the same moment, and a reading each would take longer than the broker is waited for. Who
        comes meanwhile is served by the next.
        """
        returning: dict[Session, Follow] = {}
        try:
            while returning := self._returning[channel]:
                self._returning[channel] = {}
                await self._catch_up(channel, returning)
        finally:
            # Where this failed, whoever has no answer yet is told.
            for session, subscribe in [*returning.items(), *self._returning.pop(channel).items()]:
                reason = f"the history of {channel} could not be read"
                session.fail_subscribe(subscribe.id, channel, codes.FAILED, reason, self._clock())

    async def _catch_up(self, channel: str, returning: dict[Session, Follow]) -> None:
        wanted = {
            session: (subscribe, since.seq)
            for session, subscribe in returning.items()
            if session.awaits(subscribe.id, channel)
            and (since := subscribe.params.since) is not None
        }
        if not wanted:
            return
        oldest = min(seq for _, seq in wanted.values())
        # What is kept beyond `keep`, because streams are trimmed by nodes, must come too: the
        # proof ends at the head.
        limit = 2 * stream_options(channel, self._streams).keep
        try:
            async with self._bridges:
                reading = await self._broker.read(channel, oldest, limit, state=False)
        except BrokerUnavailableError as error:
            for session, (subscribe, _) in wanted.items():
                session.fail_subscribe(
                    subscribe.id, channel, codes.UNAVAILABLE, str(error), self._clock()
                )
            return
        for session, (subscribe, _) in wanted.items():
            audience = self.registry.get(channel)
            if audience is None:
                self.follow(session, subscribe)
            else:
                self.flush()
                session.join(audience, *subscribe, self._clock(), reading)
            # Each takes a while to prove and to send; let the others' frames through.
            await asyncio.sleep(0)

    # Keepers

    async def _keep(self, channel: str, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            # The earlier keeper's unsubscribe must not take away this one's subscription.
            await asyncio.wait([before])
        keeper = FeedKeeper(
            channel,
            stream_options(channel, self._streams),
            self._broker,
            self._broadcast,
            self._metrics,
            self._clock,
            opened=self._opened,
            changed=self._changed,
            applied=self._applied,
            heard=self._heard,
        )
        self._keepers[channel] = keeper
        code, reason = codes.FAILED, f"the feed of {channel} failed"
        try:
            await keeper.run(OPEN_SECONDS)
        except BrokerUnavailableError as error:
            code, reason = codes.UNAVAILABLE, str(error)
        finally:
            del self._keepers[channel]
            if self._keeping[channel] is asyncio.current_task():
                del self._keeping[channel]
            if not keeper.feed.loaded:
                for session, id, _ in self.registry.give_up(channel):
                    session.fail_subscribe(id, channel, code, reason, self._clock())
            # Closed and empty already where the keeper ends for want of listeners.
            audience = self.registry.close(channel)
            for subscription in audience.subscriptions() if audience is not None else []:
                self._orphaned(subscription.session, reason)

    def let_go(self, linger_seconds: float) -> None:
        """End the feeds that nobody has heard for `linger_seconds`; at once where room is short."""
        if len(self._keeping) > MAX_FEEDS // 2:
            linger_seconds = 0.0
        for channel in self.registry.idle(self._clock(), linger_seconds):
            self.registry.close(channel)
            self._keeping[channel].cancel()

    async def compare_heads(self, quiet_seconds: float) -> None:
        """Compare the position of feeds that heard nothing for so long with the broker's."""
        asked_at = self._clock()
        quiet = [k for k in self._keepers.values() if asked_at - k.heard_at >= quiet_seconds]
        try:
            heads = await self._broker.heads([keeper.channel for keeper in quiet])
        except BrokerUnavailableError:
            # The link's return will mend every feed.
            return
        for keeper, head in zip(quiet, heads, strict=True):
            if keeper.heard_at > asked_at:
                # Not quiet any more: the head may be older than what was heard since.
                continue
            keeper.heard_at = self._clock()
            if keeper.feed.loaded and not keeper.feed.is_at(head):
                self._metrics.silent_losses += 1
                keeper.repair()

    # What keepers say

    def _opened(self, keeper: FeedKeeper) -> None:
        keeper.feed.check_freshness(self._clock())
        audience, waiters = self.registry.open(keeper.feed)
        for session, id, params in waiters:
            self._join(session, audience, Follow(id, params))

    def _changed(self, keeper: FeedKeeper, loaded: Loaded) -> None:
        if not loaded.reset:
            if loaded.entries:
                self._applied(keeper, loaded.entries)
            return
        self.flush()
        self._metrics.resets += 1
        logger.warning("%s: a new history; subscribers start anew", keeper.channel)
        audience = self.registry.get(keeper.channel)
        if audience is not None:
            # The snapshot that follows has what was held back during the reading too.
            reset = frames.channel_reset(keeper.channel, self._now_us(), keeper.feed.kind)
            audience.restart(Frame(reset), self._clock())

    def _applied(self, keeper: FeedKeeper, entries: list[Envelope]) -> None:
        audience = self.registry.get(keeper.channel)
        if audience is None:
            return
        now = self._clock()
        if (state := keeper.feed.check_freshness(now)) is not None:
            self._announce_turn(audience, state, now)
        if self._fanout.add(audience, entries):
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Fan out what feeds have applied; called before anything else is done to an audience."""
        handed, audiences, reached = self._fanout.flush(self._clock())
        if reached:
            self._metrics.delivered += handed
            self._metrics.lag.observe(reached, self._wall_clock())
        for audience in audiences:
            for subscription in audience.overflowed():
                self._too_slow(subscription.session)

    def _heard(self, keeper: FeedKeeper, foreign: Foreign) -> None:
        audience = self.registry.get(keeper.channel)
        if audience is not None:
            self.flush()
            frame = Frame(frames.foreign(keeper.channel, foreign, self._now_us()))
            audience.announce(frame, self._clock())

    # Time

    def tick(self, now: float) -> None:
        """Serve the paced, and tell who listens to a channel that became stale."""
        self.flush()
        self._fanout.flush_due(now)
        for audience, state in self.registry.turned(now):
            self._announce_turn(audience, state, now)

    def _announce_turn(self, audience: Audience, state: ChannelState, now: float) -> None:
        self.flush()
        since = audience.feed.ts if state is ChannelState.STALE else self._now_us()
        audience.announce(Frame(frames.channel_state(audience.channel, state, since)), now)

    def _now_us(self) -> int:
        return round(self._wall_clock() * 1_000_000)
