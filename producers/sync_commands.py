"""Commands for agents that are not asynchronous: those of `producers.commands`, from threads.

    with SyncPublisher(url) as publisher:
        for command in publisher.commands(agent="desk-7"):
            with command:
                command.result = obey(command)

What is guaranteed is the same. The publisher's thread looks after the leases, so a block may take
as long as it needs. When the publisher is closed, from any thread or at the end of the program, no
more commands are taken and loops end. What was begun has as long as `Timing.drain_seconds`, and
fails then.

`producers.handlers.SyncHandlers` has a table of functions instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable, Coroutine, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from hub.protocol.command_calls import Lane
from producers.commands import LAST_WORDS_SECONDS, Command, Commands
from producers.errors import CommandLost, PublisherClosed

if TYPE_CHECKING:
    from producers.publisher import Publisher
    from producers.sync import SyncPublisher

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger(__name__)


def _blocking(
    method: Callable[Concatenate[Command, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[SyncCommand, P], T]:
    """A method of Command as one of SyncCommand, which returns what that would."""

    @functools.wraps(method)
    def blocking(self: SyncCommand, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._call(method, *args, **kwargs)

    return blocking


class SyncCommand:
    """One command in this worker's hands: a context manager for doing it.

    The attributes are those of `Command`. `is_lost` may be asked while the command is done.
    """

    def __init__(self, publisher: SyncPublisher, command: Command) -> None:
        self.id = command.id
        self.event = command.event
        self.data = command.data
        self.sender = command.sender
        self.attempt = command.attempt
        self.sent_at = command.sent_at
        self.expires_at = command.expires_at
        self._publisher = publisher
        self._command = command

    def __repr__(self) -> str:
        return repr(self._command)

    @property
    def result(self) -> object:
        """What `done` says at the end of the block."""
        return self._command.result

    @result.setter
    def result(self, result: object) -> None:
        self._command.result = result

    @property
    def is_accepted(self) -> bool:
        """Whether it was begun here."""
        return self._command.is_accepted

    @property
    def is_over(self) -> bool:
        """Whether it was ended or left here."""
        return self._command.is_over

    @property
    def is_lost(self) -> bool:
        """Whether it is not this worker's any more."""
        return self._command.is_lost

    accept = _blocking(Command.accept)
    done = _blocking(Command.done)
    fail = _blocking(Command.fail)
    give_back = _blocking(Command.give_back)

    def __enter__(self) -> Self:
        self._call(Command.__aenter__)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """As `Command` does: what the block raised ends the command alone."""
        try:
            return self._call(Command.__aexit__, kind, error, traceback)
        except CommandLost as lost:
            logger.warning("%s", lost, exc_info=error)
            return isinstance(error, Exception)

    def _call(
        self,
        method: Callable[Concatenate[Command, P], Coroutine[Any, Any, T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        async def call(_publisher: Publisher) -> T:
            return await method(self._command, *args, **kwargs)

        try:
            return self._publisher.call(call)
        except PublisherClosed as closed:
            text = f"{self.event} {self.id}: the publisher was closed before its end was told"
            raise CommandLost(text) from closed


class SyncCommands:
    """The commands of one agent, for one worker: an iterator, and context manager.

    Raises what `Commands` does, and PublisherClosed where the publisher was closed before.
    """

    def __init__(self, publisher: SyncPublisher, commands: Commands) -> None:
        self.channel = commands.channel
        self._publisher = publisher
        self._commands = commands
        self._taking: set[asyncio.Task[Any]] = set()
        self._is_open = False
        self._is_stopped = False
        self._left = asyncio.Event()

    @property
    def idempotent(self) -> frozenset[str]:
        """The events that may be done again after a worker died at them."""
        return self._commands.idempotent

    @idempotent.setter
    def idempotent(self, events: frozenset[str]) -> None:
        self._commands.idempotent = events

    def __enter__(self) -> Self:
        self._publisher.call(self._open)
        self._is_open = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """As `Commands` does: what is left here is told of."""
        # Where the publisher was closed meanwhile, that was done then.
        with contextlib.suppress(PublisherClosed):
            self._publisher.call(self._close)

    def __iter__(self) -> Iterator[SyncCommand]:
        with contextlib.nullcontext() if self._is_open else self:
            while (command := self.next()) is not None:
                yield command

    def stop(self) -> None:
        """Take no more commands: loops end. What was begun goes on."""
        with contextlib.suppress(PublisherClosed):
            self._publisher.call(self._stop)

    def next(self, lane: Lane = Lane.ANY) -> SyncCommand | None:
        """The next command, whenever one comes; None once no more are taken."""
        try:
            command = self._publisher.call(self._take, lane)
        except PublisherClosed:
            if self._is_stopped:
                return None
            raise
        return None if command is None else SyncCommand(self._publisher, command)

    # In the publisher's thread

    async def end(self, seconds: float) -> None:
        """Take no more commands, and leave what is being done so long to end."""
        await self._stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._left.wait()
        await self._close()

    async def _open(self, _publisher: Publisher) -> None:
        await self._commands.__aenter__()
        self._publisher.workers.add(self)

    async def _take(self, _publisher: Publisher, lane: Lane) -> Command | None:
        task = asyncio.current_task()
        assert task is not None
        self._taking.add(task)
        try:
            return await self._commands.next(lane)
        finally:
            self._taking.discard(task)

    async def _close(self, _publisher: Publisher | None = None) -> None:
        if self not in self._publisher.workers:
            return
        self._publisher.workers.remove(self)
        await self._stop()
        # What an interrupted thread does not wait for any more may still be handed to it.
        if self._taking:
            await asyncio.wait(self._taking, timeout=LAST_WORDS_SECONDS)
        await self._commands.__aexit__(None, None, None)
        self._left.set()

    async def _stop(self, _publisher: Publisher | None = None) -> None:
        self._is_stopped = True
        self._commands.stop()
