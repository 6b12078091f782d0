"""Senders of commands, as clients of several hubs: what they sent, and what they heard."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final

from hub.client import Client, Snapshot, Update
from hub.protocol.agent_commands import agent_channel
from hub.server.auth import mint_token
from tests.exact.agents import AGAIN
from tests.exact.endings import ENDS, Heard, Sent

EVENTS: Final = ("agent.pause", "agent.resume", "config.set", "position.close", AGAIN, AGAIN)
SHORTEST_MS: Final = 100
LONGEST_MS: Final = 15_000


class Commander:
    """One sender. `sent` are the commands that a hub has answered for, `heard` every step."""

    def __init__(self, name: str, urls: Sequence[str], secret: str, agents: Sequence[str]) -> None:
        self.name = name
        self.sent: dict[str, Sent] = {}
        self.heard: list[Heard] = []
        self._urls = urls
        self._agents = agents
        self._chance = random.Random(name)
        self._token = mint_token(
            secret, name, command=["commands:*"], ttl_seconds=3600, now=time.time()
        )

    @property
    def waits_for(self) -> set[str]:
        """The commands whose end it has not heard."""
        return self.sent.keys() - {step.id for step in self.heard if step.event in ENDS}

    async def run(self, commands: int, seconds: float, ended: asyncio.Event) -> None:
        """Send so many commands in so many seconds, and listen until told to end."""
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(Client(self._urls, self._token))
            async with asyncio.TaskGroup() as tasks:
                listening = [
                    tasks.create_task(self._listen(client, agent)) for agent in self._agents
                ]
                sending = asyncio.create_task(self._send_all(client, commands, seconds))
                await sending
                await ended.wait()
                for task in listening:
                    task.cancel()

    async def _send_all(self, client: Client, commands: int, seconds: float) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(commands):
                tasks.create_task(self._send(client))
                await asyncio.sleep(self._chance.expovariate(commands / seconds))

    async def _send(self, client: Client) -> None:
        event = self._chance.choice(EVENTS)
        data = {"id": "p-1", "by": self.name}
        sent = await client.publish(
            agent_channel(self._chance.choice(self._agents)),
            event,
            data,
            expires_in_ms=self._chance.choice((SHORTEST_MS, LONGEST_MS, LONGEST_MS)),
        )
        assert sent.command is not None
        assert sent.command not in self.sent, "two commands, and one id"
        self.sent[sent.command] = Sent(self.name, again=event == AGAIN)

    async def _listen(self, client: Client, agent: str) -> None:
        async for frame in client.subscribe(agent_channel(agent)):
            if isinstance(frame, Snapshot):
                for entry in frame.data["entries"]:
                    self._hear(entry["event"], entry["data"])
            elif isinstance(frame, Update):
                self._hear(frame.event, frame.data)
            else:
                assert type(frame).__name__ != "Reset", f"{self.name}: {frame}"

    def _hear(self, event: str, data: dict[str, object]) -> None:
        if event.startswith("command.") and data["sender"] == self.name:
            self.heard.append(Heard(str(data["id"]), event, int(str(data["attempt"]))))
