"""Servers that the tests of one module share, brokers on them, and both kinds of event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeAlias

import pytest
import redis
import uvloop

from hub.broker.base import Broker
from hub.broker.memory import MemoryBroker
from hub.broker.redis import RedisBroker
from hub.protocol.streams import KNOWN, Stream
from tests.support.redis_server import RedisServer
from tests.support.valkey import Valkey

STREAMS = {**KNOWN, "short": Stream(history=1, keep=10, keys_keep=2)}

MakeBroker: TypeAlias = Callable[[], Broker]

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}
ON_BOTH_LOOPS = ("test_pubsub", "test_redis")


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Try what holds a transport on uvloop too: it raises where asyncio looks away (a PING on a
    link that had just ended used to kill the reader)."""
    both = item.path.stem in ON_BOTH_LOOPS
    return LOOPS if both else {"asyncio": LOOPS["asyncio"]}


@pytest.fixture(scope="module")
def shared_valkey() -> Iterator[Valkey]:
    with Valkey() as server:
        yield server


@pytest.fixture(scope="module")
def shared_redis() -> Iterator[Valkey]:
    with RedisServer() as server:
        yield server


@pytest.fixture(params=["memory", "valkey", "redis"])
def make_broker(request: pytest.FixtureRequest) -> MakeBroker:
    """Makes the broker that the contract is tried on; on a server, an emptied one."""
    if request.param == "memory":
        return lambda: MemoryBroker(streams=STREAMS)
    server: Valkey = request.getfixturevalue(f"shared_{request.param}")
    with redis.Redis(unix_socket_path=str(server.socket)) as client:
        client.flushall()
    return lambda: RedisBroker(server.url, streams=STREAMS)


@pytest.fixture
async def broker(make_broker: MakeBroker) -> AsyncIterator[Broker]:
    broker = make_broker()
    await broker.connect()
    yield broker
    await broker.disconnect()
