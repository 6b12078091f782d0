"""The hub: it carries out what the core decides, for every connection of this process."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import time
from collections.abc import Callable
from math import inf
from types import TracebackType
from typing import TYPE_CHECKING

from hub import __version__
from hub.broker.base import Broker
from hub.core.frame import Frame
from hub.core.limits import Limits
from hub.core.outbox import Outbox
from hub.core.registry import Registry
from hub.core.session import (
    Abort,
    Beat,
    Close,
    Denied,
    Dispatch,
    Effect,
    Follow,
    Offer,
    Session,
    Verify,
)
from hub.core.wheel import Wheel
from hub.protocol import codes, frames
from hub.protocol.codes import Code
from hub.server.auth import Authenticator, AuthError
from hub.server.commanding import Commanding
from hub.server.connection import Connection
from hub.server.feeds import Feeds
from hub.server.identity import origin_allowed
from hub.server.ingest import Ingest
from hub.server.metrics import Metrics
from hub.server.offers import deny, dispatch, offer
from hub.server.pushing import Pushing
from hub.server.settings import Settings
from hub.server.tasks import Tasks
from hub.server.turnstile import Turnstile

if TYPE_CHECKING:
    from hub.server.legacy.places import Legacy

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.05
CLOSING_SECONDS = 5.0
NOT_RUNNING = "the hub does not run: the lifespan of its application was not started"


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
        self.connections: dict[Session, Connection] = {}
        self.running = False
        """Whether its tasks do; without them nobody would be served, and nobody be told."""
        self.draining = False
        self.leaving = asyncio.Event()
        """Set by the drain, for requests that are held."""
        self.tasks = Tasks()
        self.turnstile = Turnstile(clock)
        self.legacy: Legacy | None = None
        """The paths of the old bot server, where they are served."""
        self.ingest = Ingest(broker, settings.streams, self.metrics)
        self.commanding = Commanding(broker, self.metrics)
        self.pushing = Pushing(broker, authenticator, settings, wall_clock)
        self.feeds = Feeds(
            broker,
            settings.streams,
            self.tasks,
            self.metrics,
            clock,
            wall_clock,
            too_slow=self._close_slow,
            orphaned=self._close_orphaned,
        )
        # Of this tick, by the heads in them: sessions that heard the same are sent the same bytes.
        self._heartbeats: dict[tuple[tuple[str, int], ...], Frame] = {}
        self._wheel: Wheel[Connection] = Wheel(TICK_SECONDS, clock())
        self._empty = asyncio.Event()
        self._name = secrets.token_urlsafe(6)
        self._count = itertools.count(1)

    async def __aenter__(self) -> Hub:
        await self.feeds.connect()
        self.tasks.start(self._tick_forever(), "ticks")
        self.tasks.start(self._look_after_feeds(), "feeds")
        self.tasks.start(self.ingest.run(), "ingest")
        self.tasks.start(self.commanding.run(), "commands")
        self.tasks.start(self.commanding.note(), "denied commands")
        self.tasks.start(self.commanding.sweep(), "ends of commands")
        if self.pushing.is_on:
            self.tasks.start(self.pushing.sweep(), "ends of push subscriptions")
        self.running = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.running = False
        for connection in list(self.connections.values()):
            connection.session.end()
            connection.abort()
        await self.tasks.stop()
        await self.feeds.disconnect()

    @property
    def registry(self) -> Registry:
        """The channels that this hub serves now."""
        return self.feeds.registry

    # Connections

    def admit(
        self,
        connection: Connection,
        outbox: Outbox,
        *,
        origin: str | None,
        host: str,
        token: str | None,
    ) -> None:
        """A connection's handshake is done: open its session, or refuse it with a reason that a
        browser can see. Either sets `connection.session`."""
        if not self.running:
            self._refuse(connection, outbox, codes.INTERNAL, NOT_RUNNING)
        elif not origin_allowed(origin, host, self.settings.allowed_origins):
            self._refuse(connection, outbox, codes.FORBIDDEN, f"pages of {origin} may not connect")
        elif self.draining:
            self._refuse(connection, outbox, codes.RESTART, "the hub restarts")
        elif self._is_full:
            self._refuse(connection, outbox, codes.TRY_LATER, "the hub is full")
        else:
            self._open_session(connection, outbox, token)

    def _open_session(self, connection: Connection, outbox: Outbox, token: str | None) -> None:
        now = self.clock()
        # For logs and support, not for access: random once, counted from there.
        session = Session(f"{self._name}-{next(self._count)}", outbox, self.limits, now)
        connection.session = session
        self.connections[session] = connection
        self.metrics.accepted += 1
        connection.due_at = connection.abort_at = inf
        session.welcome(__version__, now)
        if token is not None:
            self.carry_out(connection, self._verify(session, token, None, now), now)
        if not session.closed:
            self.schedule(connection, session.next_deadline())

    def _refuse(self, connection: Connection, outbox: Outbox, code: Code, reason: str) -> None:
        self.metrics.refused(code)
        session = connection.session = Session("", outbox, self.limits, self.clock())
        self.connections[session] = connection
        connection.due_at = connection.abort_at = inf
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
            self._look_again(connection, now)

    def resumed(self, connection: Connection) -> None:
        """The connection's transport takes frames again."""
        if not connection.session.closed:
            self.feeds.flush()
            connection.session.outbox.resume(self.clock())

    def close(self, connection: Connection, code: Code, reason: str) -> None:
        """End a connection from this side, if it has not ended."""
        if connection.session.close(code, reason) is not None:
            self._close(connection, code, reason)

    def left(self, connection: Connection) -> None:
        """The client closed, and its adapter sees to the end of the connection."""
        if not connection.session.closed:
            connection.session.end()
            self.metrics.closed(codes.NORMAL)
            self._abort_later(connection)

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
    def _is_full(self) -> bool:
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
                self.carry_out(connection, self._beat(connection.session, now), now)
            case Verify(id, token):
                session = connection.session
                self.carry_out(connection, self._verify(session, token, id, now), now)
                if not session.closed:
                    self.schedule(connection, session.next_deadline())
            case Follow():
                self.feeds.follow(connection.session, effect)
            case Offer():
                offer(self.ingest, connection.session, effect, self.clock)
            case Dispatch():
                dispatch(self.commanding, connection, effect, self.clock)
            case Denied(params):
                deny(self.commanding, connection, params)

    def _close(self, connection: Connection, code: Code, reason: str) -> None:
        self.metrics.closed(code)
        connection.close(code, reason)
        self._abort_later(connection)

    def _abort_later(self, connection: Connection) -> None:
        connection.abort_at = self.clock() + CLOSING_SECONDS
        self.schedule(connection, connection.abort_at)

    def _close_slow(self, session: Session) -> None:
        connection = self.connections.get(session)
        if connection is not None:
            now = self.clock()
            self.carry_out(connection, session.tick(now), now)

    def _close_orphaned(self, session: Session, reason: str) -> None:
        connection = self.connections.get(session)
        if connection is not None:
            self.close(connection, codes.INTERNAL, reason)

    def _beat(self, session: Session, now: float) -> Close | None:
        if session.grant is not None and not self.authenticator.still_gives(session.grant):
            return session.refuse("the API key was revoked")
        if session.outbox.clear:
            session.outbox.send(self._heartbeat(session.heads()), now)
        return None

    def _heartbeat(self, heads: dict[str, int]) -> Frame:
        key = tuple(heads.items())
        frame = self._heartbeats.get(key)
        if frame is None:
            frame = self._heartbeats[key] = Frame(frames.heartbeat(self._now_us(), heads))
        return frame

    def _verify(self, session: Session, token: str, id: int | None, now: float) -> Close | None:
        try:
            grant = self.authenticator.authenticate(token)
        except AuthError as error:
            return session.refuse(error.reason)
        ends_at = None
        if grant.expires_at is not None:
            ends_at = now + grant.expires_at - self.wall_clock()
        return session.authorize(grant, ends_at, now, id)

    # Time

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.tick(self.clock())

    def tick(self, now: float) -> None:
        """Let every deadline that has passed have its effect."""
        self._heartbeats.clear()
        for connection in self._wheel.advance(now):
            if connection.due_at <= now:
                connection.due_at = inf
                self._look_at(connection, now)
        self.feeds.tick(now)

    def _look_at(self, connection: Connection, now: float) -> None:
        session = connection.session
        if session not in self.connections:
            return
        while not session.closed and (effect := session.tick(now)) is not None:
            self.carry_out(connection, effect, now)
        if not session.closed:
            self._look_again(connection, now)
        elif now < connection.abort_at:
            self.schedule(connection, connection.abort_at)
        else:
            # It was closed `CLOSING_SECONDS` ago, and its client did not answer.
            connection.abort()

    def _look_again(self, connection: Connection, now: float) -> None:
        session = connection.session
        deadline = session.next_deadline()
        if session.outbox.paused:
            # In time for what comes to wait after this.
            deadline = min(deadline, now + self.limits.outbox_seconds)
        self.schedule(connection, deadline)

    async def _look_after_feeds(self) -> None:
        quiet, linger = self.settings.idle_check_seconds, self.settings.feed_linger_seconds
        while True:
            await asyncio.sleep(min(quiet, max(linger, 0.1)) / 2)
            self.feeds.let_go(linger)
            await self.feeds.compare_heads(quiet)

    # The end

    async def drain(self) -> None:
        """Tell every client that this hub ends, and close the connections one after another.

        Clients reconnect elsewhere; the spread keeps them from doing so all at once.
        """
        self.draining = True
        self.leaving.set()
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
                self.close(connection, codes.RESTART, "the hub restarts")
            await asyncio.sleep(spread / steps)
        try:
            async with asyncio.timeout(max(0.0, ends_at - self.clock())):
                await self._empty.wait()
        except TimeoutError:
            logger.warning("%d connections were still open after the drain", len(self.connections))

    def _now_us(self) -> int:
        return round(self.wall_clock() * 1_000_000)
