"""The page of the hub itself."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Locator, expect

from producers.publisher import Publisher
from tests.dashboard.browser.conftest import OpenScreen
from tests.dashboard.browser.producing import PORTFOLIO, Decider
from tests.dashboard.browser.screen import Screen
from tests.support.livehub import LiveHub

pytestmark = pytest.mark.asyncio(loop_scope="package")


def chart(screen: Screen, title: str) -> Locator:
    """One thing that the hub counts: its newest value."""
    return screen.page.get_by_role("region", name=title, exact=True).locator(".value")


async def test_the_hub_says_how_it_does(
    screen: Screen, live: LiveHub, publisher: Publisher, open_screen: OpenScreen
) -> None:
    """Connections, deliveries, lag, stale channels and closes are those of the hub, and move."""
    await screen.log_in()
    await screen.go_to("Hub")
    await expect(chart(screen, "Connections")).to_have_text("1 open")
    second = await open_screen(live.url, screen.page.context)
    await second.page.goto(second.url)
    await second.is_live()
    await expect(chart(screen, "Connections")).to_have_text("2 open")
    async with Decider(publisher):
        await expect(chart(screen, "Deliveries")).not_to_have_text("0 a second")
        lag = chart(screen, "Lag to socket")
        await expect(lag).to_have_text(re.compile(r"^[\d.]+ / [\d.]+ ms$"))
    await publisher.portfolio(PORTFOLIO, lease=0.3)
    await expect(chart(screen, "Stale channels")).to_contain_text("1 of ")
    channels = screen.page.get_by_role("region", name="Channels", exact=True).locator("tbody tr")
    await expect(channels.first).to_contain_text("portfolio")
    await expect(channels.first).to_contain_text("stale")
    await second.page.close()
    closes = screen.page.get_by_role("region", name="Closes by code").locator("tbody tr")
    await expect(closes.filter(has_text="1000")).to_be_visible()
    await expect(chart(screen, "Connections")).to_have_text("1 open")
