"""Workers of agents as processes that are killed at random: `python -m tests.exact.agents`.

The first line of standard input has the orders. The processes are forked from this one, which has
imported everything, and so are there within milliseconds. At the end of standard input no more are
killed, and the number of the killed is printed; at a second line all end.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import select
import signal
import sys
from typing import Final

import msgspec
from redis.asyncio import Redis

from producers.command_link import CommandTiming
from producers.commands import Commands
from producers.errors import CommandFailed

EFFECTS: Final = "effects"
"""Hash in Redis: how often each command was really done, by its id."""
AGAIN: Final = "again"
"""The event that may be done again."""
TIMING: Final = CommandTiming(
    lease_seconds=1.0, look_seconds=0.1, answer_seconds=1.0, longest_pause_seconds=0.2
)
REFUSED_SHARE: Final = 0.05
WORK_SECONDS: Final = 0.03


class Orders(msgspec.Struct, frozen=True):
    """agents: names; workers: of each; kill_seconds: between two kills, on average."""

    url: str
    agents: list[str]
    workers: int
    kill_seconds: float
    seed: int


async def work(url: str, agent: str, seed: int) -> None:
    """Do commands until killed; what was done is counted at once, in Redis."""
    chance = random.Random(seed)
    async with (
        Redis.from_url(url) as effects,
        Commands(url, agent=agent, name=agent, idempotent={AGAIN}, timing=TIMING) as commands,
    ):
        async for command in commands:
            async with command:
                await asyncio.sleep(chance.uniform(0, WORK_SECONDS))
                if chance.random() < REFUSED_SHARE:
                    raise CommandFailed("not today")
                command.result = await effects.hincrby(EFFECTS, command.id, 1)
                await asyncio.sleep(chance.uniform(0, WORK_SECONDS))


def fork(url: str, agent: str, seed: int) -> int:
    """A worker's process."""
    pid = os.fork()
    if pid == 0:
        # It answers to nobody, and ends with its parent's word or a kill.
        os.close(sys.stdin.fileno())
        asyncio.run(work(url, agent, seed))
        os._exit(0)
    return pid


def main() -> None:
    """Keep the workers of the orders, and kill them."""
    logging.disable(logging.WARNING)
    stdin = sys.stdin.fileno()
    orders = msgspec.json.decode(_line(stdin), type=Orders)
    chance = random.Random(orders.seed)
    running = {
        fork(orders.url, agent, chance.getrandbits(32)): agent
        for agent in orders.agents
        for _ in range(orders.workers)
    }
    killed = 0
    while True:
        pause = chance.expovariate(1 / orders.kill_seconds)
        if select.select([stdin], [], [], pause)[0]:
            break
        pid = chance.choice(sorted(running))
        agent = running.pop(pid)
        _kill(pid)
        killed += 1
        running[fork(orders.url, agent, chance.getrandbits(32))] = agent
    _line(stdin)
    sys.stdout.write(f"{killed}\n")
    sys.stdout.flush()
    _line(stdin)
    for pid in running:
        _kill(pid)


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _line(descriptor: int) -> bytes:
    """One line, unbuffered: `select` must see what comes after it."""
    line = b""
    while (byte := os.read(descriptor, 1)) not in (b"\n", b""):
        line += byte
    return line


if __name__ == "__main__":
    main()
