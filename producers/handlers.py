"""What an agent does for each command, as a table of functions.

    handlers = Handlers()

    @handlers.on("agent.pause", idempotent=True)
    async def pause(command: Command) -> object:
        return {"paused": trader.pause()}

    async with Publisher(url) as publisher:
        await handlers.obey(publisher.commands(agent="desk-7"))

One command is done at a time, in the order in which they were sent. An emergency stop does not wait
for that: it is begun at once, beside whatever is being done.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from hub.protocol.agent_commands import STEP_PREFIX
from hub.protocol.channels import check_event
from hub.protocol.command_calls import Lane
from producers.commands import Command, Commands
from producers.errors import CommandFailed, CommandsRefused

if TYPE_CHECKING:
    from producers.publisher import Publisher

Handler: TypeAlias = Callable[[Command], Awaitable[object]]
"""Does a command, and returns its result; raises CommandFailed with the reason where it can't."""

_Handler = TypeVar("_Handler", bound=Handler)


class Handlers:
    """A handler for each event; another event fails, and says which there are."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self._idempotent: set[str] = set()

    def on(self, event: str, *, idempotent: bool = False) -> Callable[[_Handler], _Handler]:
        """Register the decorated function for an event.

        idempotent: to do it twice is the same as to do it once, so that another worker may do it
        after one that died at it. Raises ValueError for an event that has a handler.
        """
        if check_event(event).startswith(STEP_PREFIX) or event in self._handlers:
            raise ValueError(f"expected an event without a handler, got {event!r}")

        def register(handler: _Handler) -> _Handler:
            self._handlers[event] = handler
            if idempotent:
                self._idempotent.add(event)
            return handler

        return register

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
        while True:
            command = await commands.next(lane)
            async with command:
                handler = self._handlers.get(command.event)
                if handler is None:
                    known = ", ".join(sorted(self._handlers)) or "none"
                    raise CommandFailed(f"{command.event}: this agent obeys {known}")
                command.result = await handler(command)


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
