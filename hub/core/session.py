"""One client connection's protocol state, without the connection.

Rules:
1. Until a grant is there, every command but `auth` is refused, and the auth deadline runs.
2. A command is answered by one reply, a result or an error, under its own id. What the session
   cannot answer by itself it returns as an effect, and is told the outcome later.
3. The reply to a subscribe comes before anything else of its channel; then what was missed, or a
   snapshot; then whether the channel is stale; then the channel's frames.
4. A later subscribe to a channel replaces the earlier one, also one that still waits.
5. Text that is no JSON object is a strike; after `max_strikes` the session is closed.
6. A session ends when its grant does.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias, assert_never

from hub.core.audience import Audience
from hub.core.feed import Resume
from hub.core.frame import Frame
from hub.core.grant import Grant
from hub.core.limits import Limits
from hub.core.outbox import Outbox
from hub.core.subscription import Subscription
from hub.protocol import codes, frames
from hub.protocol.agent_commands import CommandReceipt, is_commands
from hub.protocol.codes import Code
from hub.protocol.commands import (
    Auth,
    Command,
    NotACommand,
    Ping,
    Publish,
    Subscribe,
    Unsubscribe,
    decode_command,
)
from hub.protocol.errors import CommandError
from hub.protocol.frames import ChannelState
from hub.protocol.position import Position
from hub.protocol.reading import ChannelReading
from hub.protocol.streams import Kind


class Close(NamedTuple):
    """End the connection with a close frame."""

    code: Code
    reason: str


class Abort(NamedTuple):
    """Free the connection at once: its transport takes nothing any more."""


class Beat(NamedTuple):
    """A heartbeat is due; the shell sends it, since sessions with the same heads share one."""


class Verify(NamedTuple):
    """Check a token, then call `authorize` or `refuse`."""

    id: int
    token: str


class Follow(NamedTuple):
    """Bring the channel's feed up, then call `join`, or `fail_subscribe` where it can't be."""

    id: int
    params: Subscribe


class Offer(NamedTuple):
    """Publish, then call `published` or `fail_publish`."""

    id: int
    params: Publish


class Dispatch(NamedTuple):
    """Send a command to an agent, then call `commanded` or `fail_publish`."""

    id: int
    params: Publish


class Denied(NamedTuple):
    """Somebody tried to send a command without the right to; it was refused, and is to be noted."""

    params: Publish


Effect: TypeAlias = Close | Abort | Beat | Verify | Follow | Offer | Dispatch | Denied


class Session:
    """Decides; the adapter that owns the connection carries out what is returned.

    Times are monotonic seconds. `receive` and `tick` return at most one effect.
    """

    __slots__ = ("_auth_by", "_beat_at", "_ends_at", "_following", "_limits", "_publishing",
                 "_strikes", "closed", "grant", "id", "outbox")  # fmt: skip

    def __init__(self, id: str, outbox: Outbox, limits: Limits, now: float) -> None:
        self.id = id
        self.outbox = outbox
        outbox.owner = self
        self.grant: Grant | None = None
        self.closed = False
        self._limits = limits
        self._auth_by = now + limits.auth_seconds
        self._beat_at = now + limits.heartbeat_seconds
        self._ends_at: float | None = None
        # Subscribes that wait for their feed: channel to the newest command's id.
        self._following: dict[str, int] | None = None
        self._publishing = 0
        self._strikes = 0

    # What the client sends

    def receive(self, text: bytes | str, now: float) -> Effect | None:
        """Take one text frame."""
        if self.closed:
            return None
        try:
            command = decode_command(text)
            return self._obey(command, now)
        except NotACommand as error:
            self._strikes += 1
            if self._strikes >= self._limits.max_strikes:
                return self.close(codes.BAD_REQUEST, error.message)
            self._send(frames.error(None, error.code, error.message), now)
        except CommandError as error:
            self._send(frames.error(error.id, error.code, error.message), now)
        return None

    def _obey(self, command: Command, now: float) -> Effect | None:
        id, params = command.id, command.params
        if isinstance(params, Auth):
            return Verify(id, params.token)
        if self.grant is None:
            raise CommandError("send auth first", id=id, code=codes.UNAUTHORIZED)
        match params:
            case Subscribe():
                self._check_subscribe(id, params.channel)
                if self._following is None:
                    self._following = {}
                self._supersede(params.channel, now)
                self._following[params.channel] = id
                return Follow(id, params)
            case Unsubscribe():
                self._supersede(params.channel, now)
                self._leave(params.channel)
                self._send(frames.result(id, {"channel": params.channel}), now)
            case Publish():
                return self._publish(id, params, self.grant, now)
            case Ping():
                self._send(frames.result(id, {}), now)
            case _:
                assert_never(params)
        return None

    def _check_subscribe(self, id: int, channel: str) -> None:
        assert self.grant is not None, "checked by the caller"
        if not self.grant.may_read(channel):
            raise CommandError(
                f"the token does not allow reading {channel}", id=id, code=codes.FORBIDDEN
            )
        mine = self.outbox.subscriptions
        wanted = {channel, *mine, *(self._following or ())}
        if len(wanted) > self._limits.max_subscriptions:
            raise CommandError(
                f"expected at most {self._limits.max_subscriptions} subscriptions",
                id=id,
                code=codes.TOO_MANY,
            )

    def _publish(self, id: int, params: Publish, grant: Grant, now: float) -> Effect:
        channel, commands = params.channel, is_commands(params.channel)
        if commands and not grant.may_command(channel):
            message = f"the token does not allow commanding {channel}"
            self._send(frames.error(id, codes.FORBIDDEN, message), now)
            return Denied(params)
        if not commands and not grant.may_publish(channel):
            message = f"the token does not allow publishing to {channel}"
            raise CommandError(message, id=id, code=codes.FORBIDDEN)
        if (params.producer is None) != (params.n is None):
            raise CommandError("producer and n: expected both, or neither", id=id)
        if commands and params.key:
            raise CommandError("a command takes no key: its id is producer and n", id=id)
        if not commands and params.expires_in_ms is not None:
            raise CommandError("expires_in_ms: expected a command, which alone expires", id=id)
        self._begin_publish(id)
        return Dispatch(id, params) if commands else Offer(id, params)

    def _begin_publish(self, id: int) -> None:
        if self._publishing >= self._limits.max_publishes:
            raise CommandError(
                f"expected at most {self._limits.max_publishes} unanswered publishes",
                id=id,
                code=codes.TOO_MANY,
            )
        self._publishing += 1

    def _supersede(self, channel: str, now: float) -> None:
        earlier = self._following.pop(channel, None) if self._following else None
        if earlier is not None:
            message = f"a later command replaced this subscribe to {channel}"
            self._send(frames.error(earlier, codes.BAD_REQUEST, message), now)

    # What the shell answers to effects

    def authorize(
        self, grant: Grant, ends_at: float | None, now: float, id: int | None
    ) -> Close | None:
        """The token was good. `ends_at` is when the grant ends; `id` is that of the auth command,
        None where the handshake carried the token."""
        if self.closed:
            return None
        if self.grant is not None and grant.subject != self.grant.subject:
            return self.close(codes.FORBIDDEN, "a connection keeps its subject")
        self.grant = grant
        self._ends_at = ends_at
        for channel in (*self.outbox.subscriptions, *(self._following or ())):
            if not grant.may_read(channel):
                return self.close(codes.FORBIDDEN, f"the new token does not allow {channel}")
        if id is not None:
            fields = {"subject": grant.subject, "expires_at": grant.expires_at}
            self._send(frames.result(id, fields), now)
        return None

    def welcome(self, version: str, now: float) -> None:
        """Say the first words; called once, when the connection is open."""
        heartbeat_ms = round(self._limits.heartbeat_seconds * 1000)
        self._send(frames.welcome(self.id, heartbeat_ms, version), now)

    def refuse(self, reason: str) -> Close | None:
        """The token was not good."""
        return self.close(codes.UNAUTHORIZED, reason)

    def awaits(self, id: int, channel: str) -> bool:
        """Whether this subscribe is still wanted: not closed, not replaced."""
        return not self.closed and (self._following or {}).get(channel) == id

    def join(
        self,
        audience: Audience,
        id: int,
        params: Subscribe,
        now: float,
        reading: ChannelReading | None = None,
    ) -> bool:
        """Answer a subscribe whose feed is up, and serve it from now on.

        Returns False, with nothing done, where only the broker knows what was missed: read the
        channel after `params.since` and call again with the reading.
        """
        if not self.awaits(id, params.channel):
            return True
        feed, since = audience.feed, params.since
        resume = None
        if since is not None:
            resume = feed.resume(since)
            if resume is None and not feed.reaches(since):
                if reading is None:
                    return False
                resume = feed.bridge(since, reading)
        assert self._following is not None, "awaits said so"
        del self._following[params.channel]
        self._leave(params.channel)
        self._serve(audience, id, params.interval_ms, resume, now)
        return True

    def _serve(
        self, audience: Audience, id: int, interval_ms: int, resume: Resume | None, now: float
    ) -> None:
        feed, outbox = audience.feed, self.outbox
        if resume is not None and not outbox.has_room_for(resume.frames):
            # Too much to be caught up with: say so, rather than overflow half way.
            resume = None
        if feed.kind is Kind.LOG:
            interval_ms = 0
        reply = frames.subscribed(
            id,
            feed.channel,
            feed.position,
            kind=feed.kind,
            stale=feed.stale,
            recovered=resume is not None,
            interval_ms=interval_ms,
        )
        what_follows = [feed.snapshot()] if resume is None else resume.frames
        outbox.send_answer([Frame(reply), *what_follows], now)
        if feed.stale:
            state = frames.channel_state(feed.channel, ChannelState.STALE, feed.ts)
            self._send(state, now)
        subscription = Subscription(outbox, audience, interval_ms)
        outbox.subscriptions[feed.channel] = subscription
        audience.join(subscription)

    def published(
        self, id: int, channel: str, position: Position, now: float, *, unchanged: bool
    ) -> None:
        """The broker took a publish."""
        self._publishing -= 1
        if not self.closed:
            self._send(frames.published(id, channel, position, unchanged=unchanged), now)

    def commanded(self, id: int, channel: str, receipt: CommandReceipt, now: float) -> None:
        """The broker took a command."""
        self._publishing -= 1
        if not self.closed:
            self._send(frames.commanded(id, channel, receipt), now)

    def fail_publish(self, id: int, code: Code, message: str, now: float) -> None:
        """A publish was refused, or could not be carried out."""
        self._publishing -= 1
        if not self.closed:
            self._send(frames.error(id, code, message), now)

    def fail_subscribe(self, id: int, channel: str, code: Code, message: str, now: float) -> None:
        """The channel's feed could not be brought up."""
        if self.awaits(id, channel):
            assert self._following is not None, "awaits said so"
            del self._following[channel]
            self._send(frames.error(id, code, message), now)

    # Time

    def tick(self, now: float) -> Effect | None:
        """Let time pass; called again after each effect, until there is none."""
        if self.closed:
            return None
        if self.outbox.is_stalled(now):
            self.end()
            return Abort()
        if self.outbox.is_too_slow(now):
            return self.close(codes.TOO_SLOW, "more waited than the outbox holds")
        if self.grant is None and now >= self._auth_by:
            return self.close(codes.AUTH_TIMEOUT, "no token came in time")
        if self._ends_at is not None and now >= self._ends_at:
            return self.close(codes.UNAUTHORIZED, "the token is at its end")
        if now >= self._beat_at:
            self._beat_at = now + self._limits.heartbeat_seconds
            return Beat()
        return None

    def next_deadline(self) -> float:
        """When `tick` has something to decide at the latest."""
        deadline = self._beat_at
        if self.grant is None:
            deadline = min(deadline, self._auth_by)
        if self._ends_at is not None:
            deadline = min(deadline, self._ends_at)
        return min(deadline, self.outbox.next_deadline())

    def heads(self) -> dict[str, int]:
        """Up to where this client should have been served, by channel."""
        return {
            channel: subscription.seq if subscription.interval_ms else subscription.head
            for channel, subscription in self.outbox.subscriptions.items()
        }

    # The end

    def close(self, code: Code, reason: str) -> Close | None:
        """End the session from this side; None where it has ended already."""
        if self.closed:
            return None
        self.end()
        return Close(code, reason)

    def end(self) -> None:
        """The connection is over: nothing is sent and nobody is followed any more."""
        self.closed = True
        for channel in list(self.outbox.subscriptions):
            self._leave(channel)
        self._following = None
        self.outbox.discard()

    def _leave(self, channel: str) -> None:
        subscription = self.outbox.subscriptions.pop(channel, None)
        if subscription is not None:
            subscription.audience.leave(subscription)

    def _send(self, payload: bytes, now: float) -> None:
        self.outbox.send(Frame(payload), now)
