"""The own pub/sub reader: one link to Redis for all subscriptions, mended for ever.

redis-py resubscribes by itself and hides that messages were lost meanwhile; nor does it notice a
server that is frozen. Here every new link says `Link.RESTORED` on every channel, and a silent one
is asked (PING) and cut.

RESP2 on purpose (HELLO is never sent): every Redis and Valkey speaks it, and its arrays are the
cheapest to parse. SELECT is never sent either: pub/sub knows no databases (Redis documentation,
"Pub/Sub", "Database & Scoping").
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Callable
from typing import Any, NamedTuple, Self, cast

import hiredis
from redis.asyncio.connection import (
    ConnectionPool,
    SSLConnection,
    UnixDomainSocketConnection,
)

from hub.broker.base import BrokerUnavailableError, Link
from hub.broker.handover import HandOver, Message, Route
from hub.broker.resp import pack
from hub.broker.subscriptions import Subscriptions, UnexpectedReplyError
from hub.broker.timing import Timing

logger = logging.getLogger(__name__)

HAND_OVER_BYTES = 16 * 1024 * 1024
"""What may wait for `next_message`. When it is reached the link is read no further; if that lasts,
Redis cuts it by its own `client-output-buffer-limit pubsub`, and the new link says RESTORED. So
memory is bounded here and there, and nothing is lost in silence."""


class Endpoint(NamedTuple):
    """Where a Redis URL points, in redis-py's own reading of it."""

    host: str
    port: int
    path: str
    tls: ssl.SSLContext | None
    credentials: tuple[str, ...]

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Read `redis://`, `rediss://` or `unix://`. Raises ValueError."""
        # Never connected: it only reads the URL, the options of TLS included.
        target = ConnectionPool.from_url(url).make_connection()  # type: ignore[no-untyped-call]
        credentials = tuple(part for part in (target.username, target.password) if part)
        if isinstance(target, UnixDomainSocketConnection):
            return cls("", 0, target.path, None, credentials)
        tls = target.ssl_context.get() if isinstance(target, SSLConnection) else None
        return cls(target.host, target.port, "", tls, credentials)

    def __str__(self) -> str:
        """What may be logged."""
        return self.path or f"{self.host}:{self.port}"


class PubSubReader:
    """Follows pub/sub names; `run` must be running for anything to arrive.

    links: how many were made so far, this one too.
    """

    def __init__(
        self, endpoint: Endpoint, timing: Timing, *, hand_over_bytes: int = HAND_OVER_BYTES
    ) -> None:
        self._endpoint = endpoint
        self._timing = timing
        self._subscriptions = Subscriptions()
        self._hand_over = HandOver(hand_over_bytes)
        self._confirmations: dict[bytes, asyncio.Future[None]] = {}
        self._wire: Wire | None = None
        self._failures = 0
        self.links = 0

    def route(self, channel: str) -> Route:
        """A route whose messages `next_message` returns."""
        return Route(channel, self._hand_over.put)

    def follows(self, name: bytes) -> bool:
        """Whether a name was subscribed to and confirmed; a lost link does not change that."""
        return self._subscriptions.wants(name) and name not in self._confirmations

    async def subscribe(self, name: bytes, route: Route) -> None:
        """Follow a name; returns when the server has confirmed it.

        Raises BrokerUnavailableError where that took too long; the name is not followed then.
        """
        command = self._subscriptions.add(name, route)
        confirmation = asyncio.get_running_loop().create_future()
        self._confirmations[name] = confirmation
        self._send(command)
        try:
            async with asyncio.timeout(self._timing.subscribe_seconds):
                await confirmation
        except TimeoutError:
            self.unsubscribe(name)
            raise BrokerUnavailableError(
                f"no confirmation from {self._endpoint} in {self._timing.subscribe_seconds} s"
            ) from None
        except asyncio.CancelledError:
            self.unsubscribe(name)
            raise

    def unsubscribe(self, name: bytes) -> None:
        """Follow a name no longer; nothing that arrived under it is handed over any more."""
        self._confirmations.pop(name, None)
        self._send(self._subscriptions.remove(name))

    async def next_message(self) -> tuple[str, Message]:
        """The next message, or RESTORED, of any route that `route` made; for one task alone."""
        arrived = await self._hand_over.take()
        if self._wire is not None and self._wire.paused and self._hand_over.roomy:
            self._wire.resume()
        return arrived

    async def run(self) -> None:
        """Keep a link until cancelled."""
        while True:
            reason: Exception | str = "closed by the server"
            try:
                await self._live_through_one_link()
            except (OSError, hiredis.HiredisError, UnexpectedReplyError) as error:
                reason = error
            ceiling = min(
                self._timing.retry_most_seconds,
                self._timing.retry_least_seconds * 2.0 ** min(self._failures, 30),
            )
            self._failures += 1
            logger.warning("no pub/sub link to %s, trying again: %s", self._endpoint, reason)
            await asyncio.sleep(random.uniform(0, ceiling))

    async def _live_through_one_link(self) -> None:
        wire = await self._open()
        self.links += 1
        self._wire = wire
        try:
            # Not waited for one by one: an error reply to any of them fails the link.
            if self._endpoint.credentials:
                wire.send(pack(("AUTH", *self._endpoint.credentials)))
            for command in self._subscriptions.link_made():
                wire.send(command)
            await self._watch(wire)
        finally:
            self._wire = None
            self._subscriptions.link_lost()
            wire.cut(None)

    async def _open(self) -> Wire:
        loop = asyncio.get_running_loop()
        at, seconds = self._endpoint, self._timing.connect_seconds
        try:
            async with asyncio.timeout(seconds):
                if at.path:
                    _, wire = await loop.create_unix_connection(self._make_wire, at.path)
                else:
                    _, wire = await loop.create_connection(
                        self._make_wire, at.host, at.port, ssl=at.tls
                    )
        except TimeoutError:
            raise TimeoutError(f"not made in {seconds} s") from None
        return wire

    def _make_wire(self) -> Wire:
        return Wire(self._subscriptions.live, self._hand_over, self._take_reply)

    async def _watch(self, wire: Wire) -> None:
        """Return when the link has ended; raises what it ended with, TimeoutError for silence."""
        while not wire.ended.done():
            heard = wire.heard
            await asyncio.wait([wire.ended], timeout=self._timing.ping_seconds)
            # A link that we do not read is silent by our own will.
            if wire.heard != heard or wire.paused or wire.ended.done():
                continue
            wire.send(_PING)
            await asyncio.wait([wire.ended], timeout=self._timing.pong_seconds)
            if wire.heard == heard:
                wire.cut(TimeoutError(f"no answer to PING in {self._timing.pong_seconds} s"))
        if wire.reason is not None:
            raise wire.reason

    def _send(self, command: bytes) -> None:
        if self._wire is not None and command:
            self._wire.send(command)

    def _take_reply(self, reply: Any) -> None:
        """Take what is no message: an answer about a name, to AUTH or to PING."""
        match reply:
            case [b"subscribe" | b"unsubscribe", bytes(name), int()]:
                route = self._subscriptions.answered(name)
                if route is not None:
                    self._confirm(name, route)
                if self._subscriptions.settled:
                    self._failures = 0
            case b"OK" | b"PONG" | [b"pong", b""]:
                pass
            case hiredis.ReplyError():
                raise reply
            case _:
                raise UnexpectedReplyError(f"{reply!r:.200}")

    def _confirm(self, name: bytes, route: Route) -> None:
        confirmation = self._confirmations.pop(name, None)
        if confirmation is None:
            # Nobody waits for it, so it was confirmed before, on a link that is gone.
            route.take(route, Link.RESTORED)
        elif not confirmation.done():
            confirmation.set_result(None)


_PING = pack(("PING",))


class Wire(asyncio.Protocol):
    """One link: from bytes to messages, which go to their routes, and other replies."""

    def __init__(
        self, live: dict[bytes, Route], hand_over: HandOver, take_reply: Callable[[Any], None]
    ) -> None:
        self.heard = 0
        self.paused = False
        self.reason: Exception | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._live = live
        self._hand_over = hand_over
        self._take_reply = take_reply
        reader = hiredis.Reader()
        self._feed = reader.feed
        self._next_reply = reader.gets
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.heard += 1
        live, next_reply = self._live, self._next_reply
        self._feed(data)
        try:
            # No reply in RESP2 is False: that is how the reader says that it needs more bytes.
            while (reply := next_reply()) is not False:
                if type(reply) is list and len(reply) == 3:
                    word, name, message = reply
                    if word == b"message":
                        if (route := live.get(name)) is not None:
                            route.take(route, message)
                        continue
                self._take_reply(reply)
        except (hiredis.HiredisError, UnexpectedReplyError) as error:
            self.cut(error)
        # Its `full`, without a call: most pieces hold one message.
        if self._hand_over.waiting_bytes >= self._hand_over.bound_bytes:
            self._pause()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.reason is None:
            self.reason = exc
        if not self.ended.done():
            self.ended.set_result(None)

    def send(self, command: bytes) -> None:
        """Write, unless the link has ended: then the next one is told all that is wanted."""
        assert self._transport is not None
        # uvloop raises RuntimeError for a write to a closed transport, asyncio ignores it.
        if not self._transport.is_closing():
            self._transport.write(command)

    def cut(self, reason: Exception | None) -> None:
        """End the link at once; harmless where it has ended."""
        assert self._transport is not None
        if self.reason is None:
            self.reason = reason
        self._transport.abort()

    def resume(self) -> None:
        assert self._transport is not None
        self.paused = False
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _pause(self) -> None:
        assert self._transport is not None
        if not self.paused and not self._transport.is_closing():
            self.paused = True
            self._transport.pause_reading()
