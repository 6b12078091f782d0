"""An agent with two positions, that does what a page tells it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from producers.commands import Command
from producers.errors import CommandFailed
from producers.events import ProcessState
from producers.handlers import Handlers, obeying
from producers.publisher import Publisher
from tests.dashboard.browser.producing import PORTFOLIO, STATUS, position


class Trader:
    """Its positions are PAIR001, long, and PAIR003, short.

    done: what it did, in order. may_go_on: while it is cleared, what was begun is not ended.
    """

    def __init__(self, publisher: Publisher, agent: str | None = None) -> None:
        self.publisher = publisher
        self.agent = agent
        self._suffix = f":{agent}" if agent else ""
        self._positions = {each.id: each for each in (position(1), position(3))}
        self._state = ProcessState.RUNNING
        self._config: dict[str, Any] = {"min_confidence": 55, "stop_loss_pct": "-1.5"}
        self.done: list[tuple[str, dict[str, Any]]] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    @asynccontextmanager
    async def works(self) -> AsyncIterator[None]:
        """It is there, and obeys, for the length of the block."""
        await self.show()
        async with obeying(self._handlers(), self.publisher, self.agent):
            yield

    async def show(self) -> None:
        """Publish all that it is."""
        status = msgspec.structs.replace(
            STATUS,
            state=self._state,
            paused=self._state is ProcessState.PAUSED,
            config=self._config,
        )
        publisher, suffix = self.publisher, self._suffix
        await asyncio.gather(
            publisher.portfolio(PORTFOLIO, channel=f"portfolio{suffix}"),
            publisher.status(status, channel=f"status{suffix}"),
            publisher.positions(self._positions.values(), channel=f"positions{suffix}"),
        )

    def _handlers(self) -> Handlers:
        handlers = Handlers()
        states = {
            "agent.start": ProcessState.RUNNING,
            "agent.pause": ProcessState.PAUSED,
            "agent.resume": ProcessState.RUNNING,
            "agent.stop": ProcessState.STOPPED,
            "emergency.stop": ProcessState.STOPPED,
        }

        async def obey(command: Command) -> object:
            await self.may_go_on.wait()
            self.done.append((command.event, command.data))
            self._state = states[command.event]
            if command.event == "emergency.stop":
                self._positions.clear()
            await self.show()
            return {"state": self._state}

        for event in states:
            handlers.on(event)(obey)

        @handlers.on("position.close")
        async def close(command: Command) -> object:
            if command.data["id"] == "p3":
                raise CommandFailed("the market of PAIR003 is closed")
            self.done.append((command.event, command.data))
            closed = self._positions.pop(command.data["id"])
            await self.show()
            return {"id": command.id, "asset_pair": closed.asset_pair, "price": "100.25"}

        @handlers.on("config.set")
        async def configure(command: Command) -> object:
            self.done.append((command.event, command.data))
            self._config.update(command.data)
            await self.show()
            return self._config

        return handlers
