"""Carries publishes to Redis in rounds, until each has its answer.

The rules:

1. One round is one pipeline: at most `ROUND_PUBLISHES`, far fewer than the answers that the
   publish script remembers, so that a repeated round is answered as the first one was.
2. A publish gets its id (producer, n) when it goes into a round. A round whose link broke or timed
   out may have happened: it is sent again, unchanged, before anything newer of any channel.
3. What Redis can't do just now is sent again; what it refuses for good fails for its caller alone.
4. While nothing gets through, what is not in a round waits in the buffer and conflates there.

One task of the sender does all the sending; when it dies, whoever waits is told.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections import Counter
from dataclasses import dataclass
from hashlib import sha1
from types import TracebackType
from typing import Any, Final, Self, TypeAlias, cast

import hiredis
import msgspec
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from hub.protocol import keys
from hub.protocol.publication import Publication, Receipt, Touch
from hub.protocol.scripts import ANSWERS_KEPT, PUBLISH, parse_receipt, publish_call, refusal
from hub.protocol.streams import Stream
from producers.buffer import Buffer, Waiting
from producers.errors import BufferFull, PublisherClosed, PublishRefused

logger = logging.getLogger(__name__)

ROUND_PUBLISHES: Final = 256
ROUND_BYTES: Final = 4 * 1024 * 1024
assert ROUND_PUBLISHES <= ANSWERS_KEPT

_PUBLISH_SHA: Final = sha1(PUBLISH.encode(), usedforsecurity=False).hexdigest()

# Redis's own words for "not now" (redis.io, "Client-side error codes" and server sources).
_NOT_NOW: Final = frozenset(
    {
        "BUSY",
        "CLUSTERDOWN",
        "LOADING",
        "MASTERDOWN",
        "MISCONF",
        "NOREPLICAS",
        "NOSCRIPT",
        "OOM",
        "READONLY",
        "TRYAGAIN",
    }
)


class Superseded(msgspec.Struct, frozen=True):
    """The answer to a publish that a newer one took the place of before it was sent."""

    channel: str


Answer: TypeAlias = Receipt | Superseded
Ticket: TypeAlias = "asyncio.Future[Answer]"


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """How long the sender is patient, in seconds."""

    connect_seconds: float = 3.0
    answer_seconds: float = 3.0
    check_idle_seconds: float = 15.0
    """A link that was idle for longer is checked by a PING before it is used."""
    first_pause_seconds: float = 0.05
    longest_pause_seconds: float = 2.0
    drain_seconds: float = 5.0
    """How long closing waits for what was published and not answered."""


@dataclass(slots=True)
class _InRound:
    """A publish with its id, on its way."""

    waiting: Waiting[Ticket]
    publication: Publication
    stream: Stream


class Sender:
    """An asynchronous context manager; `submit` works inside of it."""

    def __init__(
        self,
        url: str,
        *,
        producer: str,
        buffer: Buffer[Ticket],
        timing: Timing,
    ) -> None:
        self.producer = producer
        self.counts: Counter[str] = Counter()
        """Publishes by what became of them: stored, unchanged, superseded, refused, given_up."""
        self._buffer = buffer
        self._timing = timing
        self._streams: dict[str, Stream] = {}
        self._numbers: Counter[str] = Counter()
        self._round: list[_InRound] = []
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._script_loaded = False
        self._failures = 0
        self._given_up = 0
        self._task: asyncio.Task[None] | None = None
        # Every one of these has another default somewhere, so all of them stand here. Retries
        # are this class's, since only it knows which ids a round had.
        self._redis: Redis = Redis.from_url(
            url,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            # With one of its own, redis-py sends from a task of its own: after all that is waiting
            # to run, so that Redis idles while callers prepare what they publish next.
            socket_timeout=None,
            socket_connect_timeout=timing.connect_seconds,
            health_check_interval=timing.check_idle_seconds,
            client_name=producer,
        )

    @property
    def is_away(self) -> bool:
        """Whether the last round found no Redis."""
        return self._failures > 0

    @property
    def unanswered(self) -> int:
        """How many publishes wait or are in the round."""
        return len(self._buffer) + len(self._round)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name=f"sender {self.producer}")
        self._task.add_done_callback(self._ended)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._task is not None
        try:
            async with asyncio.timeout(self._timing.drain_seconds):
                await self._idle.wait()
        except TimeoutError:
            logger.warning("closed with %d publishes unanswered", self.unanswered)
        finally:
            self._task.cancel()
            await asyncio.wait([self._task])
            await self._redis.aclose()

    def submit(self, waiting: Waiting[Ticket], stream: Stream) -> Ticket:
        """Let a publish wait for its turn; the future gets its answer, or a PublishError.

        Publishes of one channel are sent in the order in which they were submitted. Raises
        BufferFull, and PublisherClosed.
        """
        if self._task is None or self._task.done():
            raise PublisherClosed(waiting.channel, "the publisher is closed")
        ticket: Ticket = asyncio.get_running_loop().create_future()
        # Whoever was cancelled while waiting doesn't ask for the error any more.
        ticket.add_done_callback(_seen)
        waiting.tickets.append(ticket)
        self._streams[waiting.channel] = stream
        added = self._buffer.add(waiting)
        for superseded in added.superseded:
            self.counts["superseded"] += 1
            _answer(superseded, Superseded(waiting.channel))
        for given_up in added.given_up:
            self._give_up(given_up)
        if not added.accepted:
            self._count_given_up(waiting)
            raise BufferFull(waiting.channel, self._full())
        self._idle.clear()
        self._news.set()
        return ticket

    async def ping(self) -> None:
        """Return when Redis answers; raises RedisError or OSError where it does not."""
        async with asyncio.timeout(self._timing.answer_seconds):
            await self._redis.ping()

    async def read_rows(self, channel: str) -> dict[str, bytes]:
        """The rows of a table as they stand in Redis; raises RedisError or OSError."""
        async with asyncio.timeout(self._timing.answer_seconds):
            reply: Any = await self._redis.hgetall(keys.state(channel))
        return {key.decode(errors="replace"): row for key, row in reply.items()}

    async def _run(self) -> None:
        while True:
            if not self._round:
                await self._next_round()
            try:
                replies = await self._send()
            except (RedisConnectionError, RedisTimeoutError, OSError) as error:
                await self._pause(error)
                continue
            not_now = self._settle(replies)
            if not_now is not None:
                await self._pause(not_now)
            elif self._failures:
                self._returned()

    async def _next_round(self) -> None:
        while not len(self._buffer):
            self._idle.set()
            self._news.clear()
            await self._news.wait()
        taken = self._buffer.take(ROUND_PUBLISHES, ROUND_BYTES)
        self._round = [self._with_id(waiting) for waiting in taken]

    def _with_id(self, waiting: Waiting[Ticket]) -> _InRound:
        # A touch has no effect that could double, so it needs no number.
        if not isinstance(waiting.change, Touch):
            self._numbers[waiting.channel] += 1
        publication = Publication(
            waiting.channel,
            waiting.kind,
            waiting.event,
            waiting.change,
            self.producer,
            self._numbers[waiting.channel],
            waiting.lease_ms,
        )
        return _InRound(waiting, publication, self._streams[waiting.channel])

    async def _send(self) -> list[Any]:
        """The reply to each publish of the round; a refused one is an exception."""
        new_epoch = secrets.token_urlsafe(6)
        commands = [] if self._script_loaded else [_pack(("SCRIPT", "LOAD", PUBLISH))]
        for each in self._round:
            keys, args = publish_call(each.publication, each.stream, new_epoch)
            commands.append(_pack(("EVALSHA", _PUBLISH_SHA, len(keys), *keys, *args)))
        # redis-py's own pipeline packs in Python, which took half of a publish's time.
        pool, timing = self._redis.connection_pool, self._timing
        now = asyncio.get_running_loop().time
        async with asyncio.timeout(timing.connect_seconds) as deadline:
            connection = await pool.get_connection()  # type: ignore[no-untyped-call]
            try:
                deadline.reschedule(now() + timing.answer_seconds)
                await connection.send_packed_command(b"".join(commands))
                deadline.reschedule(now() + timing.answer_seconds)
                replies = [await _reply(connection) for _ in commands]
            finally:
                await pool.release(connection)
        self._script_loaded = True
        return replies[-len(self._round) :]

    def _settle(self, replies: list[Any]) -> ResponseError | None:
        """Answer what can be answered; keep the rest in the round, and say why."""
        again: list[_InRound] = []
        not_now: ResponseError | None = None
        for each, reply in zip(self._round, replies, strict=True):
            channel = each.waiting.channel
            if not isinstance(reply, ResponseError):
                receipt = parse_receipt(reply)
                self.counts["unchanged" if receipt.unchanged else "stored"] += 1
                _answer_all(each.waiting, receipt)
            elif _code_of(reply) in _NOT_NOW:
                again.append(each)
                not_now = reply
            else:
                why = refusal(str(reply))
                self.counts["refused"] += 1
                error = PublishRefused(channel, why.message if why else f"Redis: {reply}")
                _fail_all(each.waiting, error)
        self._round = again
        return not_now

    async def _pause(self, error: Exception) -> None:
        """Wait before the round is sent again: longer each time, with full jitter."""
        # Whatever Redis comes back may be another one, without the script.
        self._script_loaded = False
        if not self._failures:
            logger.warning("Redis is away, publishes wait: %s", error)
        timing = self._timing
        longest = timing.first_pause_seconds * 2 ** min(self._failures, 16)
        self._failures += 1
        await asyncio.sleep(random.uniform(0, min(longest, timing.longest_pause_seconds)))

    def _returned(self) -> None:
        self._failures = 0
        logger.info("Redis answers again, %d publishes wait", self.unanswered)
        if self._given_up:
            logger.warning("gave up %d publishes while Redis was away", self._given_up)
            self._given_up = 0

    def _give_up(self, waiting: Waiting[Ticket]) -> None:
        self._count_given_up(waiting)
        _fail_all(waiting, BufferFull(waiting.channel, f"given up for newer ones, {self._full()}"))

    def _count_given_up(self, waiting: Waiting[Ticket]) -> None:
        self.counts["given_up"] += len(waiting.tickets)
        # One line when it begins and one when it ends: a full buffer comes with enough trouble.
        if not self._given_up:
            logger.warning("%s: gave up %s, %s", waiting.channel, waiting.event, self._full())
        self._given_up += len(waiting.tickets)

    def _full(self) -> str:
        return f"the buffer is full: {len(self._buffer)} publishes wait for Redis"

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        why = "closed before Redis answered; it may have happened"
        if error is not None:
            logger.error("the sender failed", exc_info=error)
            why = f"the sender failed: {error!r}"
        left = [each.waiting for each in self._round]
        self._round = []
        while len(self._buffer):
            left += self._buffer.take(ROUND_PUBLISHES, ROUND_BYTES)
        for waiting in left:
            _fail_all(waiting, PublisherClosed(waiting.channel, why))
        self._idle.set()


def _pack(command: tuple[str | bytes | int, ...]) -> bytes:
    # hiredis' own annotation says a tuple of one.
    return cast(bytes, hiredis.pack_command(command))  # type: ignore[arg-type]


async def _reply(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def _code_of(error: ResponseError) -> str:
    # redis-py takes the first word off the errors that it knows.
    known: str | None = getattr(error, "status_code", None)
    return known or str(error).partition(" ")[0]


def _answer_all(waiting: Waiting[Ticket], receipt: Receipt) -> None:
    for ticket in waiting.tickets:
        _answer(ticket, receipt)


def _answer(ticket: Ticket, answer: Answer) -> None:
    if not ticket.done():
        ticket.set_result(answer)


def _fail_all(waiting: Waiting[Ticket], error: Exception) -> None:
    for ticket in waiting.tickets:
        if not ticket.done():
            ticket.set_exception(error)


def _seen(ticket: Ticket) -> None:
    if not ticket.cancelled():
        ticket.exception()
