"""Commands to agents that are killed at random: real hubs, Valkey, senders and workers."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from hub.protocol import keys
from hub.protocol.agent_commands import agent_channel
from producers.commands import Commands
from tests.exact.agents import EFFECTS, TIMING, Orders
from tests.exact.commanders import Commander
from tests.exact.endings import DONE, ENDS, EXPIRED, FAILED, Heard, Sent, breaches_of, ends_of
from tests.exact.rig import ROOT, SECRET, HubProcess, hub_process
from tests.support.command_desk import Desk
from tests.support.valkey import Valkey

pytestmark = pytest.mark.exact


class Size(msgspec.Struct, frozen=True):
    """How much of everything; kill_seconds between two kills of a worker, on average."""

    senders: int
    commands: int
    seconds: float
    agents: int
    workers: int
    kill_seconds: float


FULL = Size(senders=10, commands=1_000, seconds=45.0, agents=3, workers=2, kill_seconds=0.25)
SHORT = Size(senders=4, commands=120, seconds=4.0, agents=2, workers=2, kill_seconds=0.2)
LAST_END_SECONDS = 40.0
"""The longest that a command may be open, and the time that its end takes to be heard."""


@asynccontextmanager
async def nursery(orders: Orders) -> AsyncIterator[asyncio.subprocess.Process]:
    """The workers' process, told to begin."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.exact.agents"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        await say(process, msgspec.json.encode(orders))
        yield process
        await say(process, b"end")
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def say(process: asyncio.subprocess.Process, line: bytes) -> None:
    """Write a line to its standard input."""
    assert process.stdin is not None
    process.stdin.write(line + b"\n")
    await process.stdin.drain()


async def restart_a_hub(hubs: list[HubProcess], valkey: Valkey, folder: Path) -> Any:
    """Kill the first hub, and start another on its port."""
    port = int(hubs[0].url.rpartition(":")[2])
    hubs[0].kill()
    return hub_process(valkey, folder / "hub-again.log", 1, port=port)


async def test_a_thousand_commands_with_agents_killed(
    full_size: bool, durable_valkey: Valkey, tmp_path: Path, tell: Callable[..., None]
) -> None:
    """Workers are killed with -9 at random, and so is a hub, which comes back: each command ends
    once, none is done twice, and each sender hears the end once."""
    size = FULL if full_size else SHORT
    valkey = durable_valkey
    agents = [f"desk-{n}" for n in range(size.agents)]
    orders = Orders(valkey.url, agents, size.workers, size.kill_seconds, seed=7)
    ended = asyncio.Event()
    async with (
        hub_process(valkey, tmp_path / "hub-0.log", 1) as first,
        hub_process(valkey, tmp_path / "hub-1.log", 1) as second,
        nursery(orders) as workers,
    ):
        urls = [first.url, second.url]
        commanders = [
            Commander(f"sender-{n}", urls[n % 2 :] + urls[: n % 2], SECRET, agents)
            for n in range(size.senders)
        ]
        each = size.commands // size.senders
        running = [
            asyncio.create_task(commander.run(each, size.seconds, ended))
            for commander in commanders
        ]
        await asyncio.sleep(size.seconds / 2)
        async with await restart_a_hub([first], valkey, tmp_path):
            await asyncio.sleep(size.seconds / 2)
            await say(workers, b"kill no more")
            assert workers.stdout is not None
            killed = int(await workers.stdout.readline())
            async with asyncio.timeout(LAST_END_SECONDS):
                while sum(len(each.sent) for each in commanders) < each * size.senders or any(
                    commander.waits_for for commander in commanders
                ):
                    assert not any(task.done() for task in running), "a sender failed"
                    await asyncio.sleep(0.1)
            ended.set()
            await asyncio.gather(*running)
    sent = {id: what for commander in commanders for id, what in commander.sent.items()}
    heard = {commander.name: commander.heard for commander in commanders}
    with redis.Redis(unix_socket_path=str(valkey.socket)) as client:
        effects = effects_of(client)
        left = {agent: client.hlen(keys.open_commands(agent_channel(agent))) for agent in agents}
        stored = Counter(ends_in_the_log(client, agents))
    ends = ends_of(sent, heard)
    tell(
        # Done, failed, expired.
        scenario=f"commands {ends[DONE]}/{ends[FAILED]}/{ends[EXPIRED]}, {killed} kills",
        entries=sum(ends.values()),
        breaches=len(found := breaches_of(sent, heard, effects)),
    )
    assert found == []
    assert len(sent) == each * size.senders
    # What was heard is what is stored, and nothing is left.
    assert stored == Counter(dict.fromkeys(sent, 1))
    assert set(left.values()) == {0}
    # It was what it is meant to be: workers died, and commands came to every end.
    assert killed >= size.seconds / size.kill_seconds / 3
    assert ends[DONE] > len(sent) / 4
    assert ends[FAILED] > 0


def effects_of(client: redis.Redis) -> dict[str, int]:
    """How often the agents really did each command."""
    found: Any = client.hgetall(EFFECTS)
    return {id.decode(): int(times) for id, times in found.items()}


def ends_in_the_log(client: redis.Redis, agents: list[str]) -> list[str]:
    """The id of each end that is stored."""
    ids = []
    for agent in agents:
        found: Any = client.xrange(keys.log(agent_channel(agent)))
        for _, fields in found:
            envelope = msgspec.json.decode(fields[b"e"])
            if envelope["event"] in ENDS:
                ids.append(envelope["data"]["id"])
    return ids


@pytest.mark.parametrize("careful", [True, False])
async def test_a_careless_agent_is_seen(valkey: Valkey, careful: bool) -> None:
    """One that begins before it has accepted does a command twice when it is killed, and the
    checker sees it; one that accepts first does not."""
    with redis.Redis(unix_socket_path=str(valkey.socket)) as client:
        desk = Desk(client)
        desk.send("c1", sender="ann")

        async def begin(*, is_killed: bool) -> None:
            """Take the command and do it; killed, it tells nobody."""
            commands = Commands(valkey.url, agent="desk-7", accept=careful, timing=TIMING)
            await commands.__aenter__()
            command = await commands.next()
            assert command is not None
            client.hincrby(EFFECTS, command.id, 1)
            if is_killed:
                commands._held.clear()
                desk.let_the_lease_pass("c1")
                desk.sweep()
            else:
                await command.accept()
                await command.done()
            await commands.__aexit__(None, None, None)

        await begin(is_killed=True)
        if not careful:
            await begin(is_killed=False)
        steps = [
            Heard(data["id"], event, data["attempt"])
            for event, data in desk.log()
            if event.startswith("command.")
        ]
        found = breaches_of({"c1": Sent("ann", again=False)}, {"ann": steps}, effects_of(client))
    assert bool(found) is not careful
