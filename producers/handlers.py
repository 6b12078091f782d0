"""What an agent does for each command, as a table of functions.

    handlers = Handlers()

    @handlers.on("agent.pause", idempotent=True)
    async def pause(command: Command) -> object:
        return {"paused": trader.pause()}

    async with Publisher(url) as publisher:
        await handlers.obey(publisher.commands(agent="desk-7"))

One command is done at a time, in the order in which they were sent. An emergency stop does not wait
for that: it is begun at once, beside whatever is being done.

`SyncHandlers` has functions that are not asynchronous, for agents that are not. They are called in
threads of their own: one for emergency stops, one for all else.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeAlias, TypeVar

from hub.protocol.agent_commands import STEP_PREFIX
from hub.protocol.channels import check_event
from hub.protocol.command_calls import Lane
from producers.commands import Command, Commands
from producers.errors import CommandFailed, CommandsRefused
from producers.sync_commands import SyncCommand, SyncCommands

if TYPE_CHECKING:
    from producers.publisher import Publisher

logger = logging.getLogger(__name__)

Handler: TypeAlias = Callable[[Command], Awaitable[object]]
"""Does a command, and returns its result; raises CommandFailed with the reason where it can't."""

SyncHandler: TypeAlias = Callable[[SyncCommand], object]
"""The same in a thread."""

P = ParamSpec("P")
_Kind = TypeVar("_Kind", bound=Callable[[Any], object])


class _Table(Generic[_Kind]):
    """A handler for each event; another event fails, and says which there are."""

    def __init__(self) -> None:
        self._handlers: dict[str, _Kind] = {}
        self._idempotent: set[str] = set()

    def on(self, event: str, *, idempotent: bool = False) -> Callable[[_Kind], _Kind]:
        """Register the decorated function for an event.

        idempotent: to do it twice is the same as to do it once, so that another worker may do it
        after one that died at it. Raises ValueError for an event that has a handler.
        """
        if check_event(event).startswith(STEP_PREFIX) or event in self._handlers:
            raise ValueError(f"expected an event without a handler, got {event!r}")

        def register(handler: _Kind) -> _Kind:
            self._handlers[event] = handler
            if idempotent:
                self._idempotent.add(event)
            return handler

        return register

    def _find(self, event: str) -> _Kind:
        """The handler of an event; raises CommandFailed where there is none."""
        handler = self._handlers.get(event)
        if handler is None:
            known = ", ".join(sorted(self._handlers)) or "none"
            raise CommandFailed(f"{event}: this agent obeys {known}")
        return handler


class Handlers(_Table[Handler]):
    """Functions that are asynchronous."""

    async def obey(self, commands: Commands) -> None:
        """Do the commands of an agent, until cancelled. Raises CommandsRefused."""
        commands.idempotent = frozenset(self._idempotent)
        try:
            async with commands, asyncio.TaskGroup() as lanes:
                lanes.create_task(self._obey(commands, Lane.ORDINARY), name="commands")
                lanes.create_task(self._obey(commands, Lane.URGENT), name="emergency stops")
        except* CommandsRefused as refused:
            raise refused.exceptions[0] from None

    async def _obey(self, commands: Commands, lane: Lane) -> None:
        while (command := await commands.next(lane)) is not None:
            async with command:
                command.result = await self._find(command.event)(command)


class SyncHandlers(_Table[SyncHandler]):
    """Functions that are called in threads."""

    def obey(self, commands: SyncCommands) -> None:
        """Do the commands of an agent, until the publisher is closed. Raises CommandsRefused."""
        commands.idempotent = frozenset(self._idempotent)
        with commands:
            urgent = _in_thread(self._obey, commands, Lane.URGENT)
            self._obey(commands, Lane.ORDINARY)
            urgent.result()

    def obey_in_thread(self, commands: SyncCommands) -> concurrent.futures.Future[None]:
        """The same beside what the program does; the future is done when it ends.

        An agent that nobody can stop must not go on, so ask it: `while not obeying.done()`.
        """
        return _in_thread(self.obey, commands)

    def _obey(self, commands: SyncCommands, lane: Lane) -> None:
        try:
            while (command := commands.next(lane)) is not None:
                with command:
                    command.result = self._find(command.event)(command)
        finally:
            # One lane without the other would be an agent that obeys by half.
            commands.stop()


@asynccontextmanager
async def obeying(
    handlers: Handlers | None, publisher: Publisher, agent: str | None
) -> AsyncIterator[None]:
    """Obey the agent's commands for the length of the block, where there are handlers.

    An agent that nobody can stop must not go on: where obeying fails, the block is cancelled and
    the failure raised.
    """
    if handlers is None:
        yield
        return
    try:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(handlers.obey(publisher.commands(agent=agent)))
            yield
            task.cancel()
    except* CommandsRefused as refused:
        raise refused.exceptions[0] from None


def _in_thread(
    function: Callable[P, None], *args: P.args, **kwargs: P.kwargs
) -> concurrent.futures.Future[None]:
    """Call it in a daemon thread: not an executor's, which the end of the program waits for."""
    ended: concurrent.futures.Future[None] = concurrent.futures.Future()

    def call() -> None:
        try:
            function(*args, **kwargs)
        # Whatever it is, it is raised to whoever asks for the result.
        except BaseException as error:
            logger.error("commands are obeyed no more", exc_info=error)
            ended.set_exception(error)
        else:
            ended.set_result(None)

    threading.Thread(target=call, name="commands", daemon=True).start()
    return ended
