"""What the tests in a browser share: the built dashboard, a Chromium, a hub and its producer.

The browser lives as long as the package's tests on one worker, and so does the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext

from dashboard import shipping
from hub.server import page_files
from producers.publisher import Publisher
from tests.cli.conftest import RunningHub
from tests.dashboard.browser.producing import furnish
from tests.dashboard.browser.screen import Screen
from tests.dashboard.browser.watch import Watch
from tests.support.chromium import installed, running
from tests.support.livehub import LiveHub
from tests.support.node import Node
from tests.support.valkey import Valkey

SHORT_DELAYS = "Math.random = () => 0.05;"
"""Delays before another attempt are a random share of a bound: a small one, so that none waits."""

OpenScreen = Callable[..., Awaitable[Screen]]


@pytest.fixture(scope="session")
def chromium() -> str:
    """The Chromium of the system."""
    return installed()


@pytest.fixture(scope="session")
def dashboard(node: Node) -> None:
    """The dashboard, built from these sources, where hubs of this checkout serve it from."""
    said: list[str] = []
    shipping.ship(node.root, {shipping.VARIABLE: "require"}, said.append)
    # A hub of an earlier test may have found none.
    page_files._read.cache_clear()


@pytest_asyncio.fixture(loop_scope="package", scope="package")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """A running Chromium, whose contexts share nothing."""
    async with running(chromium) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="package")
async def live(dashboard: None, valkey: Valkey) -> AsyncIterator[LiveHub]:
    """A hub on the test's Valkey, that is heard twice a second."""
    async with LiveHub(redis_url=valkey.url, heartbeat_seconds=0.5) as live:
        yield live


@pytest_asyncio.fixture(loop_scope="package")
async def killable(dashboard: None, valkey: Valkey) -> AsyncIterator[RunningHub]:
    """A hub in a process of its own, that can be killed."""
    killable = RunningHub(valkey)
    await asyncio.to_thread(killable.start)
    yield killable
    killable.kill()


@pytest_asyncio.fixture(loop_scope="package")
async def publisher(valkey: Valkey) -> AsyncIterator[Publisher]:
    """A producer, that has published once to each channel."""
    async with Publisher(valkey.url) as publisher:
        await furnish(publisher)
        yield publisher


@pytest.fixture
def watch() -> Watch:
    """What the test's pages did wrong."""
    return Watch()


@pytest_asyncio.fixture(loop_scope="package")
async def open_screen(browser: Browser, watch: Watch) -> AsyncIterator[OpenScreen]:
    """Opens a tab for a hub's URL, in a context of its own where none is given; the test fails
    where any of them did what it must not. A hub that is to outlive its tabs is asked for before.
    """
    contexts: list[BrowserContext] = []

    async def open_screen(
        url: str, context: BrowserContext | None = None, **options: Any
    ) -> Screen:
        if context is None:
            context = await browser.new_context(**{"reduced_motion": "reduce", **options})
            await context.add_init_script(SHORT_DELAYS)
            contexts.append(context)
        watch.allow(url)
        page = await context.new_page()
        watch.follow(page)
        return Screen(page, url)

    yield open_screen
    for context in contexts:
        await context.close()
    assert watch.complaints == []


@pytest_asyncio.fixture(loop_scope="package")
async def screen(live: LiveHub, publisher: Publisher, open_screen: OpenScreen) -> Screen:
    """An empty tab for the test's hub, to which something was published."""
    return await open_screen(live.url)
