"""Servers that the tests of one module share, and brokers on them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeAlias

import pytest
import redis

from hub.broker.base import Broker
from hub.broker.memory import MemoryBroker
from hub.broker.redis import RedisBroker
from hub.protocol.streams import KNOWN, Stream
from tests.support.redis_server import RedisServer
from tests.support.valkey import Valkey

STREAMS = {**KNOWN, "short": Stream(history=1, keep=10, keys_keep=2)}

MakeBroker: TypeAlias = Callable[[], Broker]


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
