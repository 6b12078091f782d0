"""Carries publishes to Redis in rounds, until each has its answer.

The rules:

1. One round is one pipeline: at most `ROUND_PUBLISHES`, far fewer than the answers that the
   publish script remembers, so that a repeated round is answered as the first one was.
2. A publish has its id (producer, n) before it is sent. A round whose link broke or timed out may
   have happened: it is sent again, unchanged, before anything newer of any channel.
3. What Redis can't do just now is sent again; what it refuses for good fails for its caller alone.
4. While nothing gets through, what is not in a round waits in the buffer and conflates there. All
   of it is spooled, where there is a spool, and who does not wait for Redis is told where it lies.
5. What Redis turns out to have lost is published again before all else: values and tables as they
   are, and entries of a log under their ids, so that each is there once. See `history`.

One task of the sender does all the sending; when it dies, whoever waits is told.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter, deque
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

import msgspec
from redis.exceptions import ResponseError

from hub.protocol.publication import Receipt, Touch
from hub.protocol.scripts import ANSWERS_KEPT, parse_receipt, refusal
from hub.protocol.streams import Stream
from producers.answers import Answer, Outcome, Ticket
from producers.buffer import Buffer, Waiting
from producers.errors import PublisherClosed, PublishRefused, RedisAway
from producers.history import History, Lost
from producers.keeping import Keeping
from producers.link import LINK_ERRORS, Link, Timing, is_not_now
from producers.rounds import LOAD_SCRIPT, InRound, calls, in_round, wait_call
from producers.spool import Spool

logger = logging.getLogger(__name__)

ROUND_PUBLISHES: Final = 256
ROUND_BYTES: Final = 4 * 1024 * 1024
assert ROUND_PUBLISHES <= ANSWERS_KEPT
_ANSWERED_AT_ONCE: Final = 32

_Stored: TypeAlias = tuple[Waiting[Ticket], Receipt]


class Sender:
    """An asynchronous context manager; `submit` works inside of it."""

    def __init__(
        self,
        link: Link,
        *,
        producer: str,
        streams: Mapping[str, Stream],
        buffer: Buffer[Ticket],
        timing: Timing,
        spool: Spool | None = None,
    ) -> None:
        self.counts: Counter[str] = Counter()
        """Publishes by what became of them: stored, unchanged, superseded, refused, given_up; and
        again, of what Redis had lost."""
        self._link = link
        self._producer = producer
        self._streams = streams
        self._buffer = buffer
        self._timing = timing
        self._keeping = Keeping(spool, self._give_id)
        self._numbers: Counter[str] = Counter()
        self._rounds: deque[list[InRound]] = deque()
        self._history = History()
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._script_loaded = False
        self._failures = 0
        self._given_up = 0
        self._refused: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def is_away(self) -> bool:
        """Whether the last round found no Redis."""
        return self._failures > 0

    @property
    def unanswered(self) -> int:
        """How many publishes wait or are in a round."""
        return len(self._buffer) + sum(map(len, self._rounds))

    async def __aenter__(self) -> Self:
        for left in await self._keeping.open():
            self._buffer.restore(left)
            self._history.expect(left.channel, left.producer)
            self._idle.clear()
        self._task = asyncio.create_task(self._run(), name=f"sender {self._producer}")
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
                await self.flush()
        except TimeoutError:
            kept = self._keeping.where
            logger.warning("closed with %d publishes unanswered, %s", self.unanswered, kept)
        finally:
            self._task.cancel()
            await asyncio.wait([self._task])
            await self._keeping.close()
            await self._link.close()

    async def flush(self) -> None:
        """Return once nothing waits for an answer of Redis."""
        # An answer may bring another publish with it, just after the last one.
        while not self._idle.is_set():
            await self._idle.wait()

    def submit(self, waiting: Waiting[Ticket]) -> None:
        """Let a publish wait for its turn; its tickets get its answer, or a PublishError.

        Publishes of one channel are sent in the order in which they were submitted. Raises
        PublisherClosed.
        """
        if self._task is None or self._task.done():
            raise PublisherClosed(waiting.channel, "the publisher is closed")
        added = self._buffer.add(waiting)
        for superseded in added.superseded:
            self.counts["superseded"] += 1
            superseded.answer(Answer(Outcome.SUPERSEDED))
        for given_up in added.given_up:
            self._give_up(given_up)
        if added.standing is None:
            self._give_up(waiting)
            return
        self._idle.clear()
        self._news.set()
        if self._keeping.keeps:
            self._keeping.keep(added.standing)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not self._rounds and self._history.is_sure:
                await self._next_round()
            held_up = loop.call_later(self._timing.patience_seconds, self._hold_up)
            try:
                if await self._link.open():
                    self._script_loaded = False
                    self._history.doubt()
                if (lost := await self._history.make_sure(self._link)) is not None:
                    self._send_again(lost)
                not_now = await self._carry()
            except (*LINK_ERRORS, RedisAway) as error:
                await self._pause(error)
                continue
            finally:
                held_up.cancel()
            if not_now is not None:
                await self._pause(not_now)
            else:
                self._went_through()

    async def _next_round(self) -> None:
        """Take what waits; nothing, where nothing came and it is time to look at the link."""
        while not len(self._buffer):
            self._history.expect_no_more()
            self._idle.set()
            self._news.clear()
            try:
                async with asyncio.timeout(self._timing.check_idle_seconds):
                    await self._news.wait()
            except TimeoutError:
                if self._link.was_open:
                    return
        taken = self._buffer.take(ROUND_PUBLISHES, ROUND_BYTES)
        for waiting in taken:
            self._give_id(waiting)
        self._rounds.append([in_round(waiting) for waiting in taken])

    def _give_id(self, waiting: Waiting[Ticket]) -> None:
        if waiting.producer:
            return
        waiting.producer = self._producer
        # A touch has no effect that could double, so it needs no number.
        if not isinstance(waiting.change, Touch):
            self._numbers[waiting.channel] += 1
            waiting.n = self._numbers[waiting.channel]

    def _send_again(self, lost: Lost) -> None:
        again: list[InRound] = []
        for state in lost.states:
            self._numbers[state.channel] += 1
            n = self._numbers[state.channel]
            again.append(InRound(msgspec.structs.replace(state, producer=self._producer, n=n)))
        again += map(InRound, lost.entries)
        starts = range(0, len(again), ROUND_PUBLISHES)
        rounds = [again[start : start + ROUND_PUBLISHES] for start in starts]
        self._rounds.extendleft(reversed(rounds))
        self._idle.clear()

    async def _carry(self) -> ResponseError | None:
        """Send the first round, and answer it; why not, where Redis can't just now."""
        if not self._rounds:
            await self._link.ask([("PING",)])
            return None
        batch = self._rounds[0]
        if self._history.is_expecting:
            batch = [each for each in batch if not self._was_stored_before(each)]
            self._rounds[0] = batch
        loading = [] if self._script_loaded else [LOAD_SCRIPT]
        waiting = wait_call(batch)
        commands = [*loading, *calls(batch, self._streams)]
        await self._link.send(commands if waiting is None else [*commands, waiting[0]])
        await self._link.replies(len(loading))
        stored: list[_Stored] = []
        again: list[InRound] = []
        not_now: ResponseError | None = None
        # Answered piece by piece, callers go on while Redis is at the rest.
        at_once = _ANSWERED_AT_ONCE if waiting is None else len(batch)
        while piece := batch[:at_once]:
            replies = await self._link.replies(len(piece))
            self._script_loaded = True
            not_now = self._settle(piece, replies, stored, again) or not_now
            del batch[: len(piece)]
            self._rounds[0] = [*again, *batch]
        if not again:
            self._rounds.popleft()
        if waiting is not None:
            await self._tell_replicated(stored, waiting[1])
        return not_now

    def _was_stored_before(self, each: InRound) -> bool:
        known = self._history.was_stored(each.publication)
        if known and each.waiting is not None:
            self._keeping.forget(each.waiting)
        return known

    def _settle(
        self,
        batch: list[InRound],
        replies: list[Any],
        stored: list[_Stored],
        again: list[InRound],
    ) -> ResponseError | None:
        """Answer what can be answered. What is stored and waits for replicas is added to `stored`,
        what is to be sent again to `again`, and why is returned."""
        now = asyncio.get_running_loop().time()
        not_now: ResponseError | None = None
        for each, reply in zip(batch, replies, strict=True):
            waiting = each.waiting
            if isinstance(reply, ResponseError) and is_not_now(reply):
                again.append(each)
                not_now = reply
                continue
            if waiting is not None and waiting.row:
                self._keeping.forget(waiting)
            if isinstance(reply, ResponseError):
                self._refuse(each, reply)
                continue
            receipt = parse_receipt(reply)
            self._history.note(each.publication, receipt, now)
            if self._refused:
                self._refused.pop(each.publication.channel, None)
            if waiting is None:
                if not (receipt.duplicate or receipt.unchanged):
                    self.counts["again"] += 1
                continue
            self.counts["unchanged" if receipt.unchanged else "stored"] += 1
            if waiting.replicas:
                stored.append((waiting, receipt))
            else:
                _answer_all(waiting, Answer(Outcome.STORED, receipt))
        return not_now

    async def _tell_replicated(self, stored: list[_Stored], seconds: float) -> None:
        have: int | Exception = 0
        try:
            [have] = await self._link.replies(1, more_seconds=seconds)
        finally:
            for waiting, receipt in stored:
                # Nothing was written for a duplicate, so nothing was waited for.
                is_replicated = isinstance(have, int) and have >= waiting.replicas
                is_replicated = is_replicated and not receipt.duplicate
                outcome = Outcome.REPLICATED if is_replicated else Outcome.STORED
                _answer_all(waiting, Answer(outcome, receipt))
        if isinstance(have, Exception):
            logger.warning("could not wait for replicas: %s", have)

    def _refuse(self, each: InRound, reply: ResponseError) -> None:
        channel = each.publication.channel
        why = refusal(str(reply))
        error = PublishRefused(channel, why.message if why else f"Redis: {reply}")
        self.counts["refused"] += 1
        heard = [ticket.fail(error) for ticket in each.waiting.tickets] if each.waiting else []
        # Once, where nobody heard: a source may be refused the same twice a second.
        if not any(heard) and self._refused.get(channel) != error.why:
            self._refused[channel] = error.why
            logger.warning("%s", error)

    async def _pause(self, error: Exception) -> None:
        """Wait before the round is sent again: longer each time, with full jitter."""
        # Whatever Redis comes back may be another one, without the script.
        self._script_loaded = False
        self._history.doubt()
        if not self._failures:
            logger.warning("Redis is away, publishes wait: %s", error)
        timing = self._timing
        longest = timing.first_pause_seconds * 2 ** min(self._failures, 16)
        self._failures += 1
        self._hold_up()
        await asyncio.sleep(random.uniform(0, min(longest, timing.longest_pause_seconds)))

    def _went_through(self) -> None:
        if self._failures:
            self._failures = 0
            logger.info("Redis answers again, %d publishes wait", self.unanswered)
        if self._given_up and len(self._buffer) <= ROUND_PUBLISHES:
            logger.warning("gave up %d publishes while Redis was away", self._given_up)
            self._given_up = 0
        if self.unanswered <= ROUND_PUBLISHES:
            self._keeping.let_go()

    def _hold_up(self) -> None:
        self._keeping.hold_up(self._all_waiting)

    def _all_waiting(self) -> list[Waiting[Ticket]]:
        """What has no answer of Redis: in its order."""
        in_rounds = [each.waiting for batch in self._rounds for each in batch]
        return [*(waiting for waiting in in_rounds if waiting is not None), *self._buffer]

    def _give_up(self, waiting: Waiting[Ticket]) -> None:
        self.counts["given_up"] += len(waiting.tickets)
        # One line when it begins and one when it ends: a full buffer comes with enough trouble.
        if not self._given_up:
            logger.warning(
                "%s: gave up %s, the buffer is full: %d publishes wait for Redis",
                waiting.channel,
                waiting.event,
                len(self._buffer),
            )
        self._given_up += len(waiting.tickets)
        self._keeping.forget(waiting)
        _answer_all(waiting, Answer(Outcome.GIVEN_UP))

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        why = "closed before Redis answered; it may have happened"
        if error is not None:
            logger.error("the sender failed", exc_info=error)
            why = f"the sender failed: {error!r}"
        left = self._all_waiting()
        self._rounds.clear()
        self._keeping.end(left, why)
        self._idle.set()


def _answer_all(waiting: Waiting[Ticket], answer: Answer) -> None:
    for ticket in waiting.tickets:
        ticket.answer(answer)
