"""The hub: it carries out what the core decides, for every connection of this process.

Everything here runs on one event loop, and nothing awaits between a decision and its effect; so a
subscribe is answered, caught up and joined in one step, with no message in between.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import time
from collections.abc import Callable
from types import TracebackType

from broadcaster import Broadcast

from hub import __version__
from hub.broker.base import Broker, BrokerUnavailableError
from hub.core.audience import Audience
from hub.core.feed import Loaded
from hub.core.frame import Frame
from hub.core.limits import Limits
from hub.core.outbox import Outbox
from hub.core.registry import Registry, Waiter
from hub.core.session import (
    Abort,
    Beat,
    Close,
    Effect,
    Follow,
    Offer,
    Session,
    Verify,
)
from hub.core.wheel import Wheel
from hub.protocol import codes, frames
from hub.protocol.codes import Code
from hub.protocol.envelope import Envelope, Foreign
from hub.protocol.errors import ProtocolError
from hub.protocol.frames import ChannelState
from hub.protocol.publication import Receipt
from hub.protocol.streams import stream_options
from hub.server.auth import Authenticator, AuthError
from hub.server.connection import Connection
from hub.server.ingest import Ingest, PublishRequest
from hub.server.keeper import FeedKeeper
from hub.server.metrics import Metrics
from hub.server.settings import Settings
from hub.server.tasks import Tasks

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.05
CLOSING_SECONDS = 5.0
OPEN_SECONDS = 10.0
BRIDGES = 16


class Hub:
    """Feeds, sessions and connections of one process. An async context manager: inside it, the
    broker link is up or being brought up."""

    def __init__(
        self,
        settings: Settings,
        broker: Broker,
        authenticator: Authenticator,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.streams = settings.streams
        self.broker = broker
        self.authenticator = authenticator
        self.clock = clock
        self.wall_clock = wall_clock
        self.limits = Limits(
            auth_seconds=settings.auth_seconds,
            heartbeat_seconds=settings.heartbeat_seconds,
            stall_seconds=settings.stall_seconds,
            outbox_bytes=settings.outbox_bytes,
            outbox_seconds=settings.outbox_seconds,
            max_subscriptions=settings.max_subscriptions,
        )
        self.metrics = Metrics()
        self.registry = Registry()
        self.connections: dict[Session, Connection] = {}
        self.draining = False
        self.tasks = Tasks()
        self.ingest = Ingest(broker, settings.streams, self.metrics)
        self._broadcast = Broadcast(backend=broker)
        self._keepers: dict[str, FeedKeeper] = {}
        self._keeping: dict[str, asyncio.Task[None]] = {}
        self._wheel: Wheel[Connection] = Wheel(TICK_SECONDS, clock())
        self._empty = asyncio.Event()
        self._bridges = asyncio.Semaphore(BRIDGES)

    async def __aenter__(self) -> Hub:
        await self._broadcast.connect()
        self.tasks.start(self._tick_forever(), "ticks")
        self.tasks.start(self._check_idle_forever(), "idle feeds")
        self.tasks.start(self.ingest.run(), "ingest")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for connection in list(self.connections.values()):
            connection.session.end()
            connection.abort()
        await self.tasks.stop()
        await self._broadcast.disconnect()

    # Connections

    def open_session(self, connection: Connection, outbox: Outbox, token: str | None) -> None:
        """A connection's handshake is done. Its adapter sets `connection.session` here."""
        now = self.clock()
        session = Session(secrets.token_urlsafe(9), outbox, self.limits, now)
        connection.session = session
        self.connections[session] = connection
        self.metrics.accepted += 1
        connection.due_at = float("inf")
        session.welcome(__version__, now)
        if token is not None:
            self.carry_out(connection, self._verify(session, token, None, now), now)
        self.schedule(connection, session.next_deadline())

    def refuse(self, connection: Connection, outbox: Outbox, code: Code, reason: str) -> None:
        """A connection that must not go on: its client hears why, which a browser only does after
        the handshake."""
        self.metrics.refused(code)
        session = connection.session = Session("", outbox, self.limits, self.clock())
        self.connections[session] = connection
        connection.due_at = float("inf")
        session.end()
        self._close(connection, code, reason)

    def receive(self, connection: Connection, text: bytes) -> None:
        """A text frame arrived."""
        now = self.clock()
        self.carry_out(connection, connection.session.receive(text, now), now)

    def paused(self, connection: Connection) -> None:
        """The connection's transport takes nothing for now."""
        now = self.clock()
        session = connection.session
        session.outbox.pause(now)
        if not session.closed:
            self.schedule(connection, session.next_deadline())

    def resumed(self, connection: Connection) -> None:
        """The connection's transport takes frames again."""
        if not connection.session.closed:
            connection.session.outbox.resume(self.clock())

    def closed(self, connection: Connection, code: Code, reason: str) -> None:
        """The client breached RFC 6455, or closed: end the session; adapters send the frame."""
        if connection.session.close(code, reason) is not None:
            self._close(connection, code, reason)

    def lost(self, connection: Connection) -> None:
        """The connection's transport is gone."""
        connection.session.end()
        self.connections.pop(connection.session, None)
        if self.draining and not self.connections:
            self._empty.set()

    def schedule(self, connection: Connection, deadline: float) -> None:
        """Look at the connection once `deadline` has passed, if nothing brings it up before."""
        if deadline < connection.due_at:
            connection.due_at = deadline
            self._wheel.add(connection, deadline)

    @property
    def is_full(self) -> bool:
        """Whether as many connections are open as may be."""
        most = self.settings.max_connections
        return most is not None and len(self.connections) >= most

    # Effects

    def carry_out(self, connection: Connection, effect: Effect | None, now: float) -> None:
        """Do what the core decided."""
        match effect:
            case Close(code, reason):
                self._close(connection, code, reason)
            case Abort():
                self.metrics.closed(codes.ABNORMAL)
                connection.abort()
            case Beat():
                self._beat(connection.session, now)
            case Verify(id, token):
                session = connection.session
                self.carry_out(connection, self._verify(session, token, id, now), now)
                if not session.closed:
                    self.schedule(connection, session.next_deadline())
            case Follow():
                self._follow(connection.session, effect, now)
            case Offer():
                self._offer(connection.session, effect)

    def _close(self, connection: Connection, code: Code, reason: str) -> None:
        self.metrics.closed(code)
        connection.close(code, reason)
        self.schedule(connection, self.clock() + CLOSING_SECONDS)

    def _beat(self, session: Session, now: float) -> None:
        if session.outbox.clear:
            ts = round(self.wall_clock() * 1_000_000)
            session.outbox.send(Frame(frames.heartbeat(ts, session.heads())), now)

    def _verify(self, session: Session, token: str, id: int | None, now: float) -> Close | None:
        try:
            grant = self.authenticator.authenticate(token)
        except AuthError as error:
            return session.refuse(error.reason)
        ends_at = None
        if grant.expires_at is not None:
            ends_at = now + grant.expires_at - self.wall_clock()
        return session.authorize(grant, ends_at, now, id)

    def _follow(self, session: Session, effect: Follow, now: float) -> None:
        channel = effect.params.channel
        audience = self.registry.get(channel)
        if audience is None:
            if self.registry.wait(Waiter(session, effect.id, effect.params)):
                self._keeping[channel] = self.tasks.start(
                    self._keep(channel, self._keeping.get(channel)), f"feed {channel}"
                )
        elif not session.join(audience, effect.id, effect.params, now):
            self.tasks.start(self._bridge(session, effect), f"bridge {channel}")

    async def _bridge(self, session: Session, effect: Follow) -> None:
        """Catch a client up that was away longer than the feed remembers."""
        channel, since = effect.params.channel, effect.params.since
        assert since is not None, "without it the feed has the answer"
        limit = stream_options(channel, self.streams).keep
        try:
            async with self._bridges:
                reading = await self.broker.read(channel, since.seq, limit, state=False)
        except BrokerUnavailableError as error:
            message = str(error)
            session.fail_subscribe(effect.id, channel, codes.UNAVAILABLE, message, self.clock())
            return
        audience = self.registry.get(channel)
        if audience is None:
            self._follow(session, effect, self.clock())
        else:
            session.join(audience, effect.id, effect.params, self.clock(), reading)

    def _offer(self, session: Session, effect: Offer) -> None:
        params = effect.params
        assert session.grant is not None, "the session has checked it"
        producer, n = params.producer, params.n
        if producer is None or n is None:
            producer, n = secrets.token_hex(8), 0
        request = PublishRequest(
            params.channel,
            params.event,
            bytes(params.data),
            producer_id(session.grant.subject, producer),
            n,
            params.key,
        )

        def answer(done: asyncio.Future[Receipt]) -> None:
            if done.cancelled():
                return
            match done.exception():
                case None:
                    receipt = done.result()
                    session.published(
                        effect.id,
                        params.channel,
                        receipt.position,
                        self.clock(),
                        unchanged=receipt.unchanged,
                    )
                case ProtocolError() as refused:
                    session.fail_publish(effect.id, refused.code, refused.message, self.clock())
                case error:
                    session.fail_publish(effect.id, codes.UNAVAILABLE, str(error), self.clock())

        self.ingest.submit(request).add_done_callback(answer)

    # Feeds

    async def _keep(self, channel: str, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            # The earlier keeper's unsubscribe must not take away this one's subscription.
            await asyncio.wait([before])
        keeper = FeedKeeper(
            channel,
            stream_options(channel, self.streams),
            self.broker,
            self._broadcast,
            self.metrics,
            self.clock,
            opened=self._opened,
            changed=self._changed,
            applied=self._applied,
            heard=self._heard,
        )
        self._keepers[channel] = keeper
        code, reason = codes.INTERNAL, f"the feed of {channel} failed"
        try:
            await keeper.run(OPEN_SECONDS)
        except BrokerUnavailableError as error:
            code, reason = codes.UNAVAILABLE, str(error)
        finally:
            del self._keepers[channel]
            for session, id, _ in self.registry.give_up(channel):
                session.fail_subscribe(id, channel, code, reason, self.clock())
            # Nobody is left in it where the keeper ends for want of listeners.
            audience = self.registry.close(channel)
            for subscription in audience.subscriptions() if audience is not None else []:
                connection = self.connections.get(subscription.session)
                if connection is not None:
                    self.closed(connection, codes.INTERNAL, reason)

    def _opened(self, keeper: FeedKeeper) -> None:
        now = self.clock()
        keeper.feed.check_freshness(now)
        audience, waiters = self.registry.open(keeper.feed)
        for session, id, params in waiters:
            if not session.join(audience, id, params, now):
                self.tasks.start(self._bridge(session, Follow(id, params)), "bridge")

    def _changed(self, keeper: FeedKeeper, loaded: Loaded) -> None:
        audience = self.registry.get(keeper.channel)
        if audience is None:
            return
        if loaded.reset:
            self.metrics.resets += 1
            logger.warning("%s: a new history; subscribers start anew", keeper.channel)
            feed = keeper.feed
            reset = frames.channel_state(feed.channel, ChannelState.RESET, self._now_us())
            # The snapshot has what was held back during the reading too.
            audience.restart(Frame(reset), self.clock())
        else:
            for entry in loaded.entries:
                self._deliver(keeper, entry)

    def _applied(self, keeper: FeedKeeper, entry: Envelope) -> None:
        self._deliver(keeper, entry)

    def _deliver(self, keeper: FeedKeeper, entry: Envelope) -> None:
        audience = self.registry.get(keeper.channel)
        if audience is None:
            return
        now = self.clock()
        if (state := keeper.feed.check_freshness(now)) is not None:
            self._announce_turn(audience, state, now)
        self.metrics.delivered += audience.deliver(entry.seq, Frame(entry.payload), now)
        for subscription in audience.overflowed():
            session = subscription.session
            if session in self.connections:
                self.carry_out(self.connections[session], session.tick(now), now)

    def _heard(self, keeper: FeedKeeper, foreign: Foreign) -> None:
        audience = self.registry.get(keeper.channel)
        if audience is not None:
            frame = Frame(frames.foreign(keeper.channel, foreign, self._now_us()))
            audience.announce(frame, self.clock())

    def _announce_turn(self, audience: Audience, state: ChannelState, now: float) -> None:
        since = audience.feed.ts if state is ChannelState.STALE else self._now_us()
        audience.announce(Frame(frames.channel_state(audience.channel, state, since)), now)

    # Time

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.tick(self.clock())

    def tick(self, now: float) -> None:
        """Let every deadline that has passed have its effect."""
        for connection in self._wheel.advance(now):
            if connection.due_at <= now:
                connection.due_at = float("inf")
                self._look_at(connection, now)
        self.registry.flush_due(now)
        for audience, state in self.registry.turned(now):
            self._announce_turn(audience, state, now)

    def _look_at(self, connection: Connection, now: float) -> None:
        session = connection.session
        if session not in self.connections:
            return
        while not session.closed and (effect := session.tick(now)) is not None:
            self.carry_out(connection, effect, now)
        if not session.closed:
            self.schedule(connection, session.next_deadline())
        elif connection.due_at == float("inf"):
            # It was closed `CLOSING_SECONDS` ago, and its client did not answer.
            connection.abort()

    async def _check_idle_forever(self) -> None:
        """Compare the position of quiet channels with the broker's, and let unheard feeds go."""
        idle_seconds = self.settings.idle_check_seconds
        while True:
            await asyncio.sleep(min(idle_seconds, max(self.settings.feed_linger_seconds, 0.1)) / 2)
            now = self.clock()
            for channel in self.registry.idle(now, self.settings.feed_linger_seconds):
                self.registry.close(channel)
                self._keeping[channel].cancel()
            quiet = [k for k in self._keepers.values() if now - k.heard_at >= idle_seconds]
            await self._compare_heads(quiet)

    async def _compare_heads(self, quiet: list[FeedKeeper]) -> None:
        try:
            heads = await self.broker.heads([keeper.channel for keeper in quiet])
        except BrokerUnavailableError:
            return
        now = self.clock()
        for keeper, head in zip(quiet, heads, strict=True):
            keeper.heard_at = now
            if not keeper.feed.is_at(head):
                self.metrics.silent_losses += 1
                keeper.repair()

    # The end

    async def drain(self) -> None:
        """Tell every client that this hub ends, and close the connections one after another.

        Clients reconnect elsewhere; the spread keeps them from doing so all at once.
        """
        self.draining = True
        seconds, spread = self.settings.drain_seconds, self.settings.drain_spread_seconds
        ends_at = self.clock() + seconds
        notice = Frame(frames.shutdown_notice(round(seconds * 1000), round(spread * 1000)))
        leaving = list(self.connections.values())
        if not leaving:
            return
        for connection in leaving:
            if not connection.session.closed:
                connection.session.outbox.send(notice, self.clock())
        steps = max(1, min(len(leaving), round(spread / TICK_SECONDS)))
        for step in range(steps):
            for connection in leaving[step::steps]:
                self.closed(connection, codes.RESTART, "the hub restarts")
            await asyncio.sleep(spread / steps)
        try:
            async with asyncio.timeout(max(0.0, ends_at - self.clock())):
                await self._empty.wait()
        except TimeoutError:
            logger.warning("%d connections were still open after the drain", len(self.connections))

    def _now_us(self) -> int:
        return round(self.wall_clock() * 1_000_000)


def producer_id(subject: str, producer: str) -> str:
    """A publish id of `subject`'s own: nobody else can be answered, or silenced, by it."""
    return hashlib.sha256(f"{subject}\0{producer}".encode()).hexdigest()[:24]
