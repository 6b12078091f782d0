"""What the paper agent does for each command.

A command is done between two steps of the loop, so nothing is half done when it begins.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from hub.protocol.agent_commands import Name
from producers.commands import Command
from producers.handlers import Handlers
from producers.sources.paper.agent import Agent


def handlers_of(agent: Agent, now: Callable[[], datetime]) -> Handlers:
    """The handlers of an agent. Each answers with where the agent is then."""
    handlers = Handlers()

    @handlers.on(Name.START, idempotent=True)
    async def start(command: Command) -> object:
        agent.start()
        return _where(agent)

    @handlers.on(Name.PAUSE, idempotent=True)
    async def pause(command: Command) -> object:
        agent.pause()
        return _where(agent)

    @handlers.on(Name.RESUME, idempotent=True)
    async def resume(command: Command) -> object:
        agent.resume()
        return _where(agent)

    @handlers.on(Name.STOP, idempotent=True)
    async def stop(command: Command) -> object:
        agent.stop("stopped")
        return _where(agent)

    @handlers.on(Name.EMERGENCY_STOP, idempotent=True)
    async def emergency_stop(command: Command) -> object:
        agent.stop("emergency stop")
        closed = agent.close_all(command.id, now())
        return {**_where(agent), "closed": [trade.position_id for trade in closed]}

    @handlers.on(Name.CLOSE_POSITION)
    async def close_position(command: Command) -> object:
        return agent.close(str(command.data["id"]), command.id, now())

    @handlers.on(Name.SET_CONFIG, idempotent=True)
    async def set_config(command: Command) -> object:
        return agent.configure(command.data)

    return handlers


def _where(agent: Agent) -> dict[str, object]:
    return {"state": agent.process}
