"""Hubs for the tests of sockets: one behaviour, held against both adapters."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import pytest
from playwright.async_api import Browser

from hub.broker.base import Broker
from hub.broker.memory import MemoryBroker
from tests.support import chromium
from tests.support.brokers import eventually
from tests.support.livehub import ASGI, ASGI_COMPRESSED, OWN, OWN_COMPRESSED, Adapter, LiveHub

MakeHub: TypeAlias = Callable[..., Awaitable[LiveHub]]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "every_loop: run on asyncio's event loop and on uvloop, which `serve` takes"
    )
    config.addinivalue_line("markers", "complains(text): errors that hold this text may be logged")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]] | None:
    if item.get_closest_marker("every_loop") is None:
        return {"asyncio": asyncio.new_event_loop}
    uvloop = pytest.importorskip("uvloop")
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Under another ASGI server the loop is that server's business.
    items[:] = [item for item in items if "[uvloop-asgi" not in item.name]


@pytest.fixture(params=[OWN, ASGI], ids=lambda adapter: adapter.name)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    """Each of the two ways to hold a connection."""
    found: Adapter = request.param
    return found


@pytest.fixture(
    params=[OWN, ASGI, OWN_COMPRESSED, ASGI_COMPRESSED], ids=lambda adapter: adapter.name
)
def every_adapter(request: pytest.FixtureRequest) -> Adapter:
    """Compressed or not, what is said is the same: `adapter` of modules that hold it to that."""
    found: Adapter = request.param
    return found


@pytest.fixture
async def make_hub(
    adapter: Adapter, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[MakeHub]:
    """Starts hubs, with the settings given, and stops them.

    When the test's clients have gone no connection may be left, no task have failed, and no error
    have been logged but those that the test is marked to expect (`complains`).
    """
    running: list[LiveHub] = []

    async def make(broker: Broker | None = None, **settings: Any) -> LiveHub:
        if broker is None and "redis_url" not in settings:
            broker = MemoryBroker()
        # Tests that are not about heartbeats hear none.
        live = LiveHub(broker, adapter, **{"heartbeat_seconds": 3600.0, **settings})
        running.append(live)
        await live.start()
        return live

    yield make
    for live in running:
        await eventually(lambda live=live: not live.hub.connections, "every connection was let go")  # type: ignore[misc]
        failed = live.hub.tasks.failed
        await live.stop()
        assert failed == []
    expected = [mark.args[0] for mark in request.node.iter_markers("complains")]
    errors = [
        record.getMessage()
        for record in (*caplog.get_records("call"), *caplog.records)
        if record.levelno >= logging.ERROR
    ]
    assert [e for e in errors if not any(text in e for text in expected)] == []


@pytest.fixture
async def live(make_hub: MakeHub) -> LiveHub:
    """A hub on channels in memory, with the default settings, but for heartbeats."""
    return await make_hub()


@pytest.fixture
def broker(live: LiveHub) -> Broker:
    """Where the channels of `live` are."""
    return live.hub.broker


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A Chromium of the system."""
    async with chromium.running(chromium.installed()) as browser:
        yield browser
