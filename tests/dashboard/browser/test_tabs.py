"""Several tabs, and one that nobody looks at."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, async_playwright, expect

from benchmarks.chromium import OPTIONS
from producers.publisher import Publisher
from tests.dashboard.browser.conftest import OpenScreen
from tests.dashboard.browser.producing import decision, portfolio
from tests.dashboard.browser.screen import Screen
from tests.support.brokers import eventually
from tests.support.livehub import LiveHub

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_two_tabs_show_the_same(
    screen: Screen, publisher: Publisher, live: LiveHub, open_screen: OpenScreen
) -> None:
    """A second tab of a browser is logged in already, follows by a socket of its own, and outlives
    the first."""
    await screen.log_in()
    second = await open_screen(live.url, screen.page.context)
    await second.page.goto(second.url)
    await second.is_live()
    await eventually(lambda: len(live.hub.connections) == 2, "two sockets")
    for number in range(2, 6):
        await publisher.decision(decision(number))
    await publisher.portfolio(portfolio("10172.5"))
    for each in (screen, second):
        await expect(each.equity).to_have_text("10,172.50")
        await expect(each.decisions).to_have_count(5)
    assert await screen.decided() == await second.decided()
    await expect(second.page).to_have_title(await screen.page.title())
    await screen.page.close()
    await publisher.portfolio(portfolio("10173"))
    await expect(second.equity).to_have_text("10,173.00")


async def test_leaving_one_tab_ends_the_others(
    screen: Screen, live: LiveHub, open_screen: OpenScreen
) -> None:
    """The log-in is the browser's: a second tab shows nothing of an account that was left."""
    await screen.log_in()
    second = await open_screen(live.url, screen.page.context)
    await second.page.goto(second.url)
    await second.is_live()
    await screen.page.get_by_role("button", name="Sign out").click()
    await expect(screen.token_field).to_be_visible()
    await second.page.reload()
    await expect(second.token_field).to_be_visible()


@asynccontextmanager
async def undisturbed(chromium: str, folder: Path) -> AsyncIterator[BrowserContext]:
    """A Chromium that takes a tab behind another for hidden, as it does for people.

    Where Playwright starts it, every page is kept as if it were in front.
    """
    options = ("--headless", *OPTIONS, "--remote-debugging-port=0", "--no-first-run")
    process = await asyncio.create_subprocess_exec(
        chromium, *options, f"--user-data-dir={folder}", stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr
    try:
        found = None
        while found is None:
            line = await process.stderr.readline()
            assert line, "Chromium ended"
            found = re.search(r"DevTools listening on (\S+)", line.decode())
        async with async_playwright() as playwright:
            browser = await playwright.chromium.connect_over_cdp(found[1], no_defaults=True)
            yield browser.contexts[0]
            await browser.close()
    finally:
        process.terminate()
        await process.communicate()


async def test_a_tab_that_nobody_looks_at_rests_and_is_right_when_it_is_seen(
    live: LiveHub,
    publisher: Publisher,
    open_screen: OpenScreen,
    chromium: str,
    tmp_path: Path,
) -> None:
    """Behind another tab numbers move once a second at most and the title goes on; in front again
    they are the newest, and no decision is missing."""
    async with undisturbed(chromium, tmp_path) as context:
        screen = await open_screen(live.url, context)
        await screen.log_in()
        await screen.page.evaluate(COUNT_WHILE_HIDDEN)
        front = await context.new_page()
        await front.bring_to_front()
        await screen.page.wait_for_function("() => document.visibilityState === 'hidden'")
        for number in range(2, 82):
            await publisher.portfolio(portfolio(f"10200.{number:02d}"))
            await publisher.decision(decision(number))
        await publisher.portfolio(portfolio("10301.25"))
        await expect(screen.page).to_have_title(re.compile(r"\+133\.0588 "))
        changes, seconds = await screen.page.evaluate(
            "[window.changes, (performance.now() - window.hiddenFrom) / 1000]"
        )
        assert 1 <= changes <= seconds + 2
        await screen.page.bring_to_front()
        await screen.page.wait_for_function("() => document.visibilityState === 'visible'")
        await expect(screen.equity).to_have_text("10,301.25")
        await expect(screen.decisions.first).to_contain_text("decision 81")
        assert await screen.decided() == [f"decision {n}" for n in range(81, 0, -1)]


COUNT_WHILE_HIDDEN = """() => {
    window.changes = 0;
    document.addEventListener("visibilitychange", () => { window.hiddenFrom = performance.now(); },
        { once: true });
    new MutationObserver(() => { window.changes += document.visibilityState === "hidden"; })
        .observe(document.querySelector(".headline .amount"),
                 { characterData: true, childList: true, subtree: true });
}"""
"""Counts how often the equity that is shown changed while nobody saw it."""
