"""The client: one connection to one of several hubs, kept up, with every subscription on it."""

from __future__ import annotations

import asyncio
import enum
import itertools
import math
import random
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeAlias

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from hub.client.backoff import full_jitter
from hub.client.errors import ClientError, Closed, refused
from hub.client.frames import PublishResult
from hub.client.session import Request, Session
from hub.client.subscription import Subscription
from hub.client.tracker import Tracker
from hub.client.urls import websocket_url
from hub.protocol import codes
from hub.protocol.channels import check_channel, check_event
from hub.protocol.errors import PayloadError
from hub.protocol.frames import SUBPROTOCOL
from hub.protocol.position import Position

TokenSource: TypeAlias = Callable[[], Awaitable[str]]
"""Gives a token that is good now. An OSError that it raises is retried; any other error ends the
client."""

MAX_UNANSWERED = 32
"""How many publishes of one client are under way at once. A hub allows twice as many, and
remembers the answers of many more."""

CLOSE_SECONDS = 2.0

_encode = msgspec.json.encode
_decode_published = msgspec.json.Decoder(PublishResult).decode


class LinkState(enum.Enum):
    """What becomes of the connection."""

    CONNECTING = enum.auto()
    OPEN = enum.auto()
    """The hub said welcome."""
    WAITING = enum.auto()
    """For the next attempt."""
    ENDED = enum.auto()
    """The hub refused for good."""


class Link(NamedTuple):
    """A change of the connection: why it ended, and in how many seconds the next attempt is."""

    state: LinkState
    url: str
    code: int | None = None
    reason: str = ""
    retry_seconds: float | None = None


class Published(NamedTuple):
    """The hub's answer to a publish; an unchanged value stands where the one it equals stands.
    command: the id of a command to an agent, which its steps carry; else None."""

    position: Position
    unchanged: bool
    command: str | None = None


class _End(NamedTuple):
    """Why a connection ended. served: the hub said more than its welcome, which comes before it
    has looked at the token."""

    code: int
    reason: str
    served: bool = False


class Client:
    """A dashboard or an agent, seen from inside: `async with Client(url, token) as client`.

    url: the hub's, or several of one cluster; after each lost or failed connection the next one
        is tried. token: the token, or what gives one for each connection.
    min_delay_seconds, max_delay_seconds: bounds of the full jitter between attempts.
    open_seconds: from the start of an attempt to the hub's welcome. silent_heartbeats: a
        connection on which nothing comes for so many heartbeats is given up.
    queue_frames, queue_bytes: what may wait in one subscription, see `Subscription`.
    max_frame_bytes: the largest frame that is taken from the hub.
    on_link: told of every change of the connection, for status lines and logs.

    Nothing is raised for a hub that is away: the client goes on trying. A refusal for good ends
    every subscription and request with it, as does an error of the token source.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        token: str | TokenSource | None = None,
        *,
        min_delay_seconds: float = 0.1,
        max_delay_seconds: float = 10.0,
        open_seconds: float = 10.0,
        silent_heartbeats: float = 3.0,
        queue_frames: int = 1_000,
        queue_bytes: int = 4 * 1024 * 1024,
        max_frame_bytes: int = 64 * 1024 * 1024,
        on_link: Callable[[Link], None] | None = None,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._urls = [websocket_url(each) for each in ([url] if isinstance(url, str) else url)]
        if not self._urls:
            raise ValueError("expected the URL of at least one hub, got none")
        self._token = token
        self._min_delay_seconds = min_delay_seconds
        self._max_delay_seconds = max_delay_seconds
        self._open_seconds = open_seconds
        self._silent_heartbeats = silent_heartbeats
        self._queue_frames = queue_frames
        self._queue_bytes = queue_bytes
        self._max_frame_bytes = max_frame_bytes
        self._on_link = on_link
        self._random = random
        self._outgoing = asyncio.Event()
        self._session = Session(wake=self._outgoing.set, later=self._later)
        self._task: asyncio.Task[None] | None = None
        self._timers: set[asyncio.TimerHandle] = set()
        self._error: ClientError | None = Closed("the client was not opened")
        self._producer = secrets.token_hex(8)
        self._n = 0
        self._unanswered: deque[asyncio.Future[Any]] = deque()

    async def __aenter__(self) -> Self:
        assert self._task is None, "a client is opened once"
        self._error = None
        self._task = asyncio.create_task(self._run(), name="tapecast client")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._task is not None, "a client is closed after it was opened"
        self._end(Closed("the client was closed"))
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    def subscribe(
        self, channel: str, *, interval_ms: int = 0, since: Position | None = None
    ) -> Subscription:
        """Follow a channel, from `since` where given; once a channel at a time.

        interval_ms: at most one update in so long, conflated by the hub; 0 for each.
        Raises ChannelNameError, ValueError for a second subscription of one channel, and
        ClientError where the client has ended.
        """
        self._check_open()
        tracker = Tracker(check_channel(channel), interval_ms=interval_ms, since=since)
        subscription = Subscription(
            self._session, tracker, queue_frames=self._queue_frames, queue_bytes=self._queue_bytes
        )
        self._session.subscribe(tracker, subscription)
        return subscription

    async def publish(
        self,
        channel: str,
        event: str,
        data: Any,
        *,
        key: str = "",
        id: tuple[str, int] | None = None,
        expires_in_ms: int | None = None,
    ) -> Published:
        """Publish, and return where it stands; waits for a hub as long as it takes.

        Published once, however often the link breaks meanwhile: the publish carries an id. A
        publish that was cancelled may have happened. Several at a time may be stored in any order.
        data: what JSON can say; a Decimal becomes a string. key: see
        `hub.protocol.publication.AppendEntry`. id: (producer, n) where another run of the
        program may publish the same again, n counted up; otherwise one of this client's own.
        expires_in_ms: of a command to an agent, counted from when the hub has it; whoever waits for
        a hub must give up by itself.
        Raises ChannelNameError, PayloadError for NaN and infinity, and ClientError where it was
        refused.
        """
        params = {"channel": check_channel(channel), "event": check_event(event)}
        # What is no built-in, such as JSON that is encoded already, is the encoder's business.
        _check_finite(msgspec.to_builtins(data, enc_hook=lambda _other: None))
        raw = msgspec.Raw(_encode(data))
        # The oldest unanswered publish holds up the ones that are far ahead of it, so that the
        # hub still remembers its id.
        while len(self._unanswered) >= MAX_UNANSWERED:
            oldest = self._unanswered[0]
            await asyncio.wait([oldest])
            if self._unanswered and self._unanswered[0] is oldest:
                self._unanswered.popleft()
        if id is None:
            self._n += 1
            id = self._producer, self._n
        fields: dict[str, Any] = {**params, "data": raw, "producer": id[0], "n": id[1]}
        if key:
            fields["key"] = key
        if expires_in_ms is not None:
            fields["expires_in_ms"] = expires_in_ms
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._unanswered.append(answer)
        result = _decode_published(await self._request("publish", fields, answer))
        command = result.command.id if result.command else None
        position = Position(result.epoch, result.seq, result.tag)
        return Published(position, result.unchanged, command)

    async def ping(self) -> float:
        """Seconds until the hub answered; waits for a hub as long as it takes."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        await self._request("ping", {}, loop.create_future())
        return loop.time() - start

    async def _request(
        self, method: str, params: dict[str, Any], answer: asyncio.Future[bytes]
    ) -> bytes:
        def succeed(result: bytes) -> None:
            if not answer.done():
                answer.set_result(result)

        def fail(error: ClientError) -> None:
            if not answer.done():
                answer.set_exception(error)

        request = Request(method, params, succeed, fail)
        try:
            self._check_open()
            self._session.request(request)
            return await answer
        finally:
            answer.cancel()
            self._session.forget(request)

    def _check_open(self) -> None:
        if self._error is not None:
            raise self._error

    def _end(self, error: ClientError) -> None:
        if self._error is None:
            self._error = error
            for timer in self._timers:
                timer.cancel()
            self._timers.clear()
            self._session.end(error)

    # The connection

    async def _run(self) -> None:
        try:
            await self._keep_connected()
        except Exception as error:
            ended = ClientError(f"the client failed: {error!r}")
            ended.__cause__ = error
            self._end(ended)

    async def _keep_connected(self) -> None:
        failures = 0
        refusals = 0
        for url in itertools.cycle(self._urls):
            self._tell(Link(LinkState.CONNECTING, url))
            end = await self._converse(url)
            self._session.closed()
            if end.served:
                failures = refusals = 0
            if end.code in (codes.UNAUTHORIZED.number, codes.AUTH_TIMEOUT.number):
                refusals += 1
            # A token source gets a second chance: its token may have ended on the way.
            another_token = callable(self._token) and refusals == 1
            if not codes.should_reconnect(end.code) and not another_token:
                self._tell(Link(LinkState.ENDED, url, end.code, end.reason))
                self._end(refused(end.code, end.reason))
                return
            delay = self._delay(failures)
            failures += 1
            self._tell(Link(LinkState.WAITING, url, end.code, end.reason, delay))
            await asyncio.sleep(delay)

    async def _converse(self, url: str) -> _End:
        """Hold one connection from its opening to its end."""
        try:
            connection = await connect(
                url,
                subprotocols=[Subprotocol(SUBPROTOCOL)],
                additional_headers=await self._authorization(),
                compression=None,
                open_timeout=self._open_seconds,
                # The hub's heartbeats say more than pings of ours would.
                ping_interval=None,
                close_timeout=CLOSE_SECONDS,
                max_size=self._max_frame_bytes,
            )
        except InvalidStatus as error:
            status = error.response.status_code
            # The codes from 4400 on are HTTP's, moved by 4000.
            return _End(4000 + status, f"HTTP status {status}")
        except (OSError, WebSocketException) as error:
            return _End(codes.ABNORMAL.number, str(error) or type(error).__name__)
        try:
            if connection.subprotocol != SUBPROTOCOL:
                return _End(codes.PROTOCOL_BREACH.number, f"expected a hub of {SUBPROTOCOL}")
            async with asyncio.TaskGroup() as tasks:
                sender = tasks.create_task(self._send(connection), name="tapecast client: send")
                end = await self._receive(connection, url)
                sender.cancel()
            return end
        finally:
            await connection.close()

    async def _authorization(self) -> dict[str, str]:
        token = await self._token() if callable(self._token) else self._token
        return {} if token is None else {"Authorization": f"Bearer {token}"}

    async def _send(self, connection: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            while True:
                await self._outgoing.wait()
                self._outgoing.clear()
                for text in self._session.take_outgoing():
                    await connection.send(text, text=True)

    async def _receive(self, connection: ClientConnection, url: str) -> _End:
        now = asyncio.get_running_loop().time
        quiet_seconds = self._open_seconds
        welcomed = served = False
        try:
            async with asyncio.timeout(quiet_seconds) as silence:
                while True:
                    self._session.receive(await connection.recv(decode=False))
                    if welcomed:
                        served = True
                    elif (welcome := self._session.welcome) is not None:
                        welcomed = True
                        quiet_seconds = self._silent_heartbeats * welcome.heartbeat_ms / 1000
                        self._tell(Link(LinkState.OPEN, url))
                    silence.reschedule(now() + quiet_seconds)
        except TimeoutError:
            connection.transport.abort()
            return _End(codes.ABNORMAL.number, f"silent for {quiet_seconds:g} s", served)
        except msgspec.DecodeError as error:
            return _End(codes.ABNORMAL.number, f"expected a frame of the hub: {error}", served)
        except ConnectionClosed as error:
            return _end_of(error, served)

    def _later(self, attempts: int, action: Callable[[], None]) -> None:
        def run() -> None:
            self._timers.discard(timer)
            action()

        timer = asyncio.get_running_loop().call_later(self._delay(attempts), run)
        self._timers.add(timer)

    def _delay(self, failures: int) -> float:
        return full_jitter(
            failures,
            min_seconds=self._min_delay_seconds,
            max_seconds=self._max_delay_seconds,
            random=self._random,
        )

    def _tell(self, link: Link) -> None:
        if self._on_link is not None:
            self._on_link(link)


def _check_finite(data: Any) -> None:
    """Refuse NaN and infinity, which msgspec would write as null; PayloadError."""
    if isinstance(data, float) and not math.isfinite(data):
        raise PayloadError(f"expected a finite number, got {data}")
    if isinstance(data, dict):
        data = list(data.values())
    if isinstance(data, list | tuple):
        for child in data:
            _check_finite(child)


def _end_of(error: ConnectionClosed, served: bool) -> _End:
    # Whoever closed first says why; the other side only repeats it.
    mine_first = error.sent is not None and error.rcvd_then_sent is not True
    close = error.sent if mine_first else error.rcvd
    if close is None:
        return _End(codes.ABNORMAL.number, "the link broke", served)
    return _End(close.code, close.reason, served)
