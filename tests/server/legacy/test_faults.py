"""Old dashboards over lost links, lost histories and silent producers, and those that are slow."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from contextlib import AsyncExitStack
from random import Random

import pytest
import redis

from hub.core.outbox import Outbox
from hub.protocol import codes
from tests.server.conftest import MakeHub
from tests.server.legacy.listening import is_whole, listening, settled
from tests.server.legacy.samples import PORTFOLIO, POSITION, WS, Agent, changed
from tests.support.brokers import eventually
from tests.support.livehub import ASGI, OWN, Adapter, LiveHub
from tests.support.socket_client import SocketClient
from tests.support.valkey import Valkey

DECISIONS = f"{WS}/decisions"
SMALL = 4096
"""A receive buffer that the kernel soon finds full."""


@pytest.fixture(params=[OWN, ASGI], ids=lambda adapter: adapter.name)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    found: Adapter = request.param
    return found


# Redis


async def test_a_killed_valkey(make_hub: MakeHub, durable_valkey: Valkey) -> None:
    """Killed and started again, it closes no socket, and every decision arrives once."""
    live = await make_hub(redis_url=durable_valkey.url, legacy_paths=True)
    agent = Agent(live.hub.broker)
    await agent.decisions(range(1))
    async with listening(live, DECISIONS) as one, listening(live) as everything:
        assert (await one.recv())["id"] == "d-0"
        await settled(live, everything)
        last = 0
        for _ in range(2):
            await agent.decisions(range(last + 1, last + 21))
            durable_valkey.kill()
            await asyncio.to_thread(durable_valkey.start)
            await agent.decisions(range(last + 21, last + 41))
            last += 40
        for client in (one, everything):
            told = await client.until(lambda frame: frame.get("id") == f"d-{last}")
            made = [frame["id"] for frame in told if frame["event"] == "decision_made"]
            assert made == [f"d-{n}" for n in range(1, last + 1)]


async def test_a_flushed_valkey(make_hub: MakeHub, valkey: Valkey) -> None:
    """Where the history is lost a dashboard is told so, and hears what is newer than what it heard;
    states are those that are there now."""
    live = await make_hub(redis_url=valkey.url, legacy_paths=True, idle_check_seconds=3600.0)
    agent = Agent(live.hub.broker)
    await agent.portfolio()
    await agent.decisions(range(1, 4))
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(listening(live)) for _ in range(3)]
        for client in clients:
            await settled(live, client)
        await agent.decisions(range(4, 6))
        with redis.Redis(unix_socket_path=str(valkey.socket)) as admin:
            admin.flushall()
        # Two at once: the second is there when the hub reads the channel anew.
        await agent.decisions(range(6, 8))
        await agent.decisions(range(8, 9))
        for client in clients:
            told = await client.until(lambda frame: frame.get("id") == "d-8")
            lost = [frame["message"] for frame in told if frame["event"] == "error"]
            assert [each for each in lost if each.startswith("decisions: its history was lost")]
            made = [frame["id"] for frame in told if frame["event"] == "decision_made"]
            assert made == ["d-4", "d-5", "d-6", "d-7", "d-8"]
        await agent.portfolio(changed(PORTFOLIO, platform="other"))
        for client in clients:
            told = await client.until(lambda frame: frame.get("platform") == "other")
            assert told[-1]["event"] == "portfolio_update"


async def test_a_hub_under_load(make_hub: MakeHub, valkey: Valkey) -> None:
    """Twenty dashboards hear each of a thousand decisions, in order, while the account and its
    positions change all the time."""
    live = await make_hub(redis_url=valkey.url, legacy_paths=True)
    agent = Agent(live.hub.broker)
    done = asyncio.Event()

    async def trade() -> None:
        n = 0
        while not done.is_set():
            n += 1
            await agent.portfolio(changed(PORTFOLIO, positions_count=n))
            await agent.position(changed(POSITION, id=f"p-{n % 50}"))

    async def hear(client: SocketClient) -> list[str]:
        told = await client.until(lambda frame: frame.get("id") == "d-1000")
        return [frame["id"] for frame in told if frame["event"] == "decision_made"]

    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        clients = [await stack.enter_async_context(listening(live)) for _ in range(20)]
        for client in clients:
            await settled(live, client)
        trading = group.create_task(trade())
        hearing = [group.create_task(hear(client)) for client in clients]
        for first in range(1, 1001, 100):
            await agent.decisions(range(first, first + 100))
        for each in hearing:
            assert await each == [f"d-{n}" for n in range(1, 1001)]
        done.set()
        await trading


# Silent producers


async def test_a_silent_producer(live: LiveHub, agent: Agent) -> None:
    """When its producer stops a state says so and since when, in the field that old dashboards have
    for an error; with the next sign it is as before."""
    await agent.portfolio(lease_ms=300)
    await agent.status(lease_ms=300)
    async with listening(live) as client:
        awaited = {"portfolio_update", "status"}
        while awaited:
            frame = await client.recv()
            error = frame.get("error") or frame.get("error_message")
            if error is not None:
                assert "is stale: its producer is silent" in error
                assert is_whole(frame)
                awaited.discard(frame["event"])
        await agent.touch("portfolio", lease_ms=600_000)
        told = await client.until(lambda frame: frame["event"] == "portfolio_update")
        assert "error" not in told[-1]


async def test_a_silent_agent_is_no_longer_at_work(live: LiveHub, agent: Agent) -> None:
    """Its status says that it may have failed, from when it is known to be late, and to whoever
    comes later too; a portfolio value that may be old is none."""
    await agent.status(lease_ms=200)
    await agent.portfolio(lease_ms=200)
    async with listening(live) as client:
        told = await client.until(
            lambda frame: (
                frame["event"] == "status"
                and frame["state"] == "error"
                and frame["portfolio_value"] is None
            )
        )
        assert told[-1]["is_operational"] is False
        assert told[-1]["error_message"].startswith("status is stale")
        async with listening(live) as later:
            statuses = [f for f in await settled(live, later) if f["event"] == "status"]
            assert statuses
            assert {frame["state"] for frame in statuses} == {"error"}


async def test_a_value_that_may_be_old_leaves_the_status(live: LiveHub, agent: Agent) -> None:
    """An agent that is heard, while its account's poller is not, is told without the account's
    value; and with it once that is heard again."""
    await agent.status()
    await agent.portfolio(lease_ms=200)
    async with listening(live) as client:
        told = await client.until(
            lambda frame: frame["event"] == "status" and frame["portfolio_value"] is None
        )
        assert told[-1]["state"] == "running"
        await agent.portfolio()
        await client.until(lambda frame: frame["event"] == "status" and frame["portfolio_value"])


# Slow dashboards


async def stop_and_fill(live: LiveHub, agent: Agent, client: SocketClient) -> Outbox:
    """Let the client that came first stop reading, and publish more than all buffers on its way
    hold; returns its outbox, in which the rest waits."""
    client.stop_reading()
    outbox = next(iter(live.hub.connections)).outbox
    random = Random(1)
    for _ in range(60):
        await agent.did("filler", {"fill": b64encode(random.randbytes(40_000)).decode()})
    await eventually(lambda: outbox.paused and outbox.waiting_bytes > 0, "the rest waits")
    return outbox


@pytest.mark.every_loop
async def test_a_slow_dashboard_is_owed_each_event(make_hub: MakeHub) -> None:
    """Within its bounds what waits comes in order, and of states the newest."""
    live = await make_hub(legacy_paths=True, stall_seconds=3600.0, outbox_bytes=8 * 1024 * 1024)
    agent = Agent(live.hub.broker)
    async with listening(live, receive_buffer=SMALL) as client:
        await settled(live, client)
        outbox = await stop_and_fill(live, agent, client)
        await agent.decisions(range(1, 201))
        for n in range(1, 101):
            await agent.portfolio(changed(PORTFOLIO, positions_count=n))
        audience = live.hub.registry.get("decisions")
        assert audience is not None
        await eventually(lambda: audience.seq == 200, "all were fanned out")
        assert outbox.paused
        client.read_on()
        told = await client.until(lambda frame: frame.get("active_positions") == 100)
        made = [frame["id"] for frame in told if frame["event"] == "decision_made"]
        assert made == [f"d-{n}" for n in range(1, 201)]
        assert len([f for f in told if f["event"] == "filler"]) == 60
        assert len([f for f in told if f["event"] == "portfolio_update"]) < 50


async def test_a_dashboard_that_is_too_slow_is_closed(make_hub: MakeHub) -> None:
    """What would be more than may wait is no silent hole: the connection ends with 4508, and others
    notice nothing."""
    live = await make_hub(legacy_paths=True, stall_seconds=3600.0, outbox_bytes=64 * 1024)
    agent = Agent(live.hub.broker)
    async with listening(live, receive_buffer=SMALL) as slow, listening(live) as other:
        await settled(live, other)
        slow.stop_reading()
        audience = live.hub.registry.get("decisions")
        assert audience is not None
        last = 0
        while not live.hub.metrics.closes[codes.TOO_SLOW]:
            await agent.decisions(range(last + 1, last + 201))
            last += 200
            await eventually(lambda last=last: audience.seq == last, "they were fanned out")  # type: ignore[misc]
        # At once: a client that does not take the close is cut off.
        slow.read_on()
        told, code, _ = await slow.rest()
        assert code == codes.TOO_SLOW.number
        await agent.decisions(range(last + 1, last + 201))
        heard = await other.until(lambda frame: frame.get("id") == f"d-{last + 200}")
        assert len([f for f in heard if f["event"] == "decision_made"]) == last + 200
        made = [frame["id"] for frame in told if frame["event"] == "decision_made"]
        assert made == [f"d-{n}" for n in range(1, len(made) + 1)]


@pytest.mark.every_loop
async def test_a_dashboard_that_stopped_reading_is_freed(make_hub: MakeHub) -> None:
    """Within its deadline, as any client."""
    live = await make_hub(legacy_paths=True, stall_seconds=0.5, outbox_bytes=8 * 1024 * 1024)
    agent = Agent(live.hub.broker)
    async with listening(live, receive_buffer=SMALL) as stalled, listening(live) as other:
        await settled(live, other)
        await stop_and_fill(live, agent, stalled)
        await eventually(lambda: len(live.hub.connections) == 1, "the stalled one was let go")
        stalled.read_on()
        await agent.portfolio()
        await other.until(lambda frame: frame["event"] == "portfolio_update")
