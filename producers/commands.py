"""The agent's side of commands: each is taken by one worker, begun once, and told the end of.

    async with Publisher(url) as publisher:
        async for command in publisher.commands(agent="desk-7"):
            async with command:
                match command.event:
                    case "agent.pause":
                        command.result = {"paused": trader.pause()}
                    case _:
                        raise CommandFailed(f"{command.event}: this agent can't")

What the iterator yields has been accepted: Redis has recorded that this worker begins it, in time,
and nobody else does. Leaving the block says `done`, or `failed` where it raised. Several workers of
one agent share its commands. What is guaranteed, and what can't be, is in docs/commands.md.

`producers.handlers` has a table of functions instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections import OrderedDict
from collections.abc import AsyncGenerator, Collection, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from hub.protocol.agent_commands import (
    MAX_REASON_CHARACTERS,
    CommandState,
    agent_channel,
    check_outcome,
)
from hub.protocol.command_calls import (
    Lane,
    NoneWaiting,
    Outcome,
    Taken,
    Worker,
    parse_outcome,
    parse_taken,
)
from hub.protocol.command_scripts import ACCEPT, END, RENEW, TAKE
from hub.protocol.errors import PayloadError
from hub.protocol.payload import parse
from hub.protocol.streams import KNOWN, Stream, stream_options
from producers.command_link import CommandLink, CommandTiming
from producers.encoding import encode
from producers.errors import CommandFailed, CommandLost, InvalidPayload

logger = logging.getLogger(__name__)

BEGUN_KEPT: Final = 10_000
"""Commands that a worker remembers to have begun, should Redis forget that it did."""
LAST_WORDS_SECONDS: Final = 2.0
"""How long a worker that ends tries to say what became of its commands."""


class Command:
    """One command in this worker's hands: an asynchronous context manager for doing it.

    data: a JSON object; fractions are Decimal. sender: whose token was shown to the hub. attempt:
    from 1; more, where an earlier worker died. result: what `done` says at the end of the block.
    """

    def __init__(self, commands: Commands, taken: Taken, data: dict[str, Any]) -> None:
        self.id = taken.id
        self.event = taken.event
        self.data = data
        self.sender = taken.sender
        self.attempt = taken.attempt
        self.sent_at = _time(taken.sent_at)
        self.expires_at = _time(taken.expires_at)
        self.result: object = None
        self.is_accepted = False
        self.is_over = False
        """Whether it was ended or left here."""
        self.is_lost = False
        """Whether it is not this worker's any more."""
        self._commands = commands

    def __repr__(self) -> str:
        return f"<Command {self.event} {self.id} of {self.sender!r}, attempt {self.attempt}>"

    async def accept(self) -> bool:
        """Begin: whether this worker may. Where not, it is too late, or another's now."""
        if not self.is_accepted and not self.is_over and not self.is_lost:
            self.is_accepted = await self._commands.accept(self)
            self.is_lost = not self.is_accepted
        return self.is_accepted and not self.is_over and not self.is_lost

    async def done(self, result: object = None) -> None:
        """It was done; waits for Redis as long as it takes.

        Raises CommandLost where nobody may say so any more, and InvalidPayload for a result that
        JSON can't carry.
        """
        await self._end(CommandState.DONE, _outcome("result", result))

    async def fail(self, reason: str) -> None:
        """It was not done. Raises CommandLost, as `done` does."""
        await self._end(CommandState.FAILED, _outcome("reason", reason[:MAX_REASON_CHARACTERS]))

    async def give_back(self) -> None:
        """Leave it to another worker, where it was not accepted yet."""
        if not self.is_accepted and not self.is_over:
            self.is_over = True
            await self._commands.give_back(self)

    async def _end(self, state: CommandState, outcome: bytes) -> None:
        if self.is_over:
            raise CommandLost(f"{self.event} {self.id}: its end was told before")
        # Told also where it is lost, as far as is known here: the audit has it then.
        ended = await self._commands.end(self, state, outcome)
        self.is_over = True
        if not ended:
            raise CommandLost(f"{self.event} {self.id}: it is not this worker's any more")

    async def __aenter__(self) -> Self:
        if not await self.accept():
            raise CommandLost(f"{self.event} {self.id}: it may not begin any more")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Say the end. What the block raised is the reason, and ends the command alone: an agent
        that failed at one must obey the next."""
        if error is not None and not isinstance(error, Exception):
            await self._say_last_words(f"the agent ended while it was at it: {kind.__name__}")  # type: ignore[union-attr]
            return False
        if error is not None and not isinstance(error, CommandFailed):
            logger.error("%s %s failed", self.event, self.id, exc_info=error)
        if not self.is_over:
            try:
                await (self._say_done() if error is None else self._say_failed(error))
            except CommandLost as lost:
                logger.warning("%s", lost)
        return True

    async def _say_done(self) -> None:
        try:
            await self.done(self.result)
        except InvalidPayload as error:
            # It was done; only what came of it can't be told.
            logger.warning("%s %s: %s", self.event, self.id, error)
            await self.done(None)

    async def _say_failed(self, error: Exception) -> None:
        known = isinstance(error, CommandFailed)
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        try:
            await self.fail(reason or "no reason given")
        except InvalidPayload:
            # "NaN", or no Unicode: as Python spells it, which anybody can read.
            await self.fail(ascii(reason))

    async def _say_last_words(self, reason: str) -> None:
        if self.is_over:
            return
        try:
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self.fail(reason)
        except (TimeoutError, CommandLost) as lost:
            logger.warning("%s %s: its end could not be told: %s", self.event, self.id, lost)


class Commands:
    """The commands of one agent, for one worker: an asynchronous iterator, and context manager.

    agent: whose commands; None for those of the agent without a name. name: the worker's, for
    people. idempotent: the events that may be done again after a worker died at them.
    accept: whether the iterator accepts what it yields. Where not, `Command.accept` says whether
    it may begin, or `give_back` leaves it to another.

    Nothing is raised while Redis is away: the worker waits. Raises CommandsRefused where this user
    may not take commands at all.
    """

    def __init__(
        self,
        url: str,
        *,
        agent: str | None = None,
        name: str = "agent",
        idempotent: Collection[str] = (),
        accept: bool = True,
        streams: Mapping[str, Stream] = KNOWN,
        timing: CommandTiming | None = None,
    ) -> None:
        self.channel = agent_channel(agent)
        self.idempotent = frozenset(idempotent)
        self._accepts = accept
        self._timing = timing = timing or CommandTiming()
        self._worker = Worker(
            self.channel,
            f"{name}@{socket.gethostname()}:{os.getpid()}",
            stream_options(self.channel, streams).keep,
            lease_ms=round(1000 * timing.lease_seconds),
            listens_ms=round(1000 * timing.listens_seconds),
        )
        self._link = CommandLink(url, name=name, timing=timing)
        self._held: dict[str, Command] = {}
        self._begun: OrderedDict[str, None] = OrderedDict()
        self._renewing: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    async def __aenter__(self) -> Self:
        assert self._renewing is None, "commands are opened once"
        self._renewing = asyncio.create_task(self._renew(), name=f"leases of {self.channel}")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Tell others of what is left: what was handed out is given back, what was begun failed."""
        assert self._renewing is not None
        try:
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                for command in list(self._held.values()):
                    if command.is_accepted:
                        await self.end(command, CommandState.FAILED, _AGENT_ENDED)
                    else:
                        await self.give_back(command)
        except TimeoutError:
            logger.warning("%s: %d commands were left", self.channel, len(self._held))
        finally:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])
            await self._link.close()

    async def __aiter__(self) -> AsyncGenerator[Command]:
        async with contextlib.nullcontext() if self._renewing is not None else self:
            while (command := await self.next()) is not None:
                yield command

    def stop(self) -> None:
        """Take no more commands: iterators end. What was begun goes on."""
        self._stopping.set()

    async def next(self, lane: Lane = Lane.ANY) -> Command | None:
        """The next command, whenever one comes; None once no more are taken."""
        assert self._renewing is not None, "commands are opened first"
        while not self._stopping.is_set():
            if self._renewing.done():
                # Without it no command can be held, so none is begun.
                self._renewing.result()
            found = parse_taken(
                await self._link.ask(TAKE, lambda epoch: self._worker.take(epoch, lane))
            )
            if isinstance(found, NoneWaiting):
                await self._wait(found)
                continue
            command = await self._hold(found)
            if command is None:
                continue
            if self._stopping.is_set():
                await self.give_back(command)
            elif not self._accepts or await command.accept():
                return command
        return None

    async def _wait(self, found: NoneWaiting) -> None:
        """Return when there may be a command, and when no more are to be taken."""
        news = asyncio.ensure_future(self._link.wait(self.channel, found.seq, self._pause(found)))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait([news, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
            stopping.cancel()
            await asyncio.wait([news, stopping])

    def _pause(self, found: NoneWaiting) -> float:
        # A millisecond late: what is due then is due, and not almost.
        due = (found.due_ms + 1) / 1000 if found.due_ms is not None else self._timing.look_seconds
        return min(due, self._timing.look_seconds)

    async def _hold(self, taken: Taken) -> Command | None:
        try:
            data = parse(taken.data)
        except PayloadError as error:
            # Written by hand: no hub sends it.
            command = Command(self, taken, {})
            await self.end(command, CommandState.FAILED, _outcome("reason", error.message))
            return None
        command = self._held[taken.id] = Command(self, taken, data)
        return command

    # What a command asks of its worker

    async def accept(self, command: Command) -> bool:
        """Record that this worker begins, where it may."""
        again = command.event in self.idempotent
        if command.id in self._begun and not again:
            # Redis lost what it had recorded: a failover, or a file that was not written.
            await self.end(command, CommandState.FAILED, _BEGUN_BEFORE)
            return False
        outcome = parse_outcome(
            await self._link.ask(
                ACCEPT,
                lambda epoch: self._worker.accept(epoch, command.id, command.attempt, again=again),
            )
        )
        if outcome is Outcome.ACCEPTED:
            self._begun[command.id] = None
            if len(self._begun) > BEGUN_KEPT:
                self._begun.popitem(last=False)
            return True
        logger.info("%s: not begun, it is %s", command, outcome.value)
        self._held.pop(command.id, None)
        return False

    async def end(self, command: Command, state: CommandState, outcome: bytes) -> bool:
        """Record the end of a command; whether it was this worker's to end."""
        answer = await self._link.ask(
            END,
            lambda epoch: self._worker.end(epoch, command.id, command.attempt, state, outcome),
        )
        self._held.pop(command.id, None)
        return parse_outcome(answer) is Outcome.ENDED

    async def give_back(self, command: Command) -> None:
        """Let another worker have a command that was not accepted."""
        self._held.pop(command.id, None)
        await self._link.ask(
            END, lambda epoch: self._worker.give_back(epoch, command.id, command.attempt)
        )

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._timing.lease_seconds / 3)
            held = [(command.id, command.attempt) for command in self._held.values()]
            if not held:
                continue
            lost = await self._link.ask(
                RENEW,
                lambda epoch, held=held: self._worker.renew(epoch, held),  # type: ignore[misc]
            )
            for id in lost:
                command = self._held.pop(id.decode(), None)
                if command is not None:
                    command.is_lost = True
                    logger.warning("%s: it is not this worker's any more", command)


def _outcome(field: str, value: object) -> bytes:
    try:
        return check_outcome(field, encode(value))
    except PayloadError as error:
        raise InvalidPayload(field, error.message, value) from error


def _time(micros: int) -> datetime:
    return datetime.fromtimestamp(micros / 1_000_000, UTC)


_AGENT_ENDED: Final = msgspec.json.encode("the agent ended while it was at it")
_BEGUN_BEFORE: Final = msgspec.json.encode(
    "this worker began it before, and Redis has forgotten that; it may have been done"
)
