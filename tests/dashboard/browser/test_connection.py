"""A connection that is lost in every way, and comes back by itself."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import expect

from producers.publisher import Publisher
from tests.cli.conftest import RunningHub
from tests.dashboard.browser.conftest import OpenScreen
from tests.dashboard.browser.producing import Decider, decision, portfolio, position
from tests.dashboard.browser.screen import CONFLATED, WATCH_PAGE, Screen
from tests.dashboard.browser.watch import HUB_IS_AWAY, Watch
from tests.support.livehub import LiveHub

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_a_killed_hub_costs_the_feed_nothing(
    killable: RunningHub, publisher: Publisher, open_screen: OpenScreen, watch: Watch
) -> None:
    """While a hub is killed and started again, the badge shows reconnecting, then live; of the
    decisions that are made all the time none is missing and none is shown twice, at no moment."""
    watch.forgive(HUB_IS_AWAY)
    screen = await open_screen(killable.url)
    await screen.log_in()
    async with Decider(publisher) as decider:
        await expect(screen.decisions.nth(5)).to_be_visible()
        await screen.page.evaluate(WATCH_PAGE)
        killable.kill()
        await screen.is_in("reconnecting")
        await expect(screen.banner).to_contain_text("Not connected. What is shown is as of")
        await expect(screen.age("decisions")).to_contain_text("as of")
        await asyncio.to_thread(killable.start)
        await screen.is_live()
        await expect(screen.banner).to_be_hidden()
        await decider.goes_on()
    await expect(screen.decisions.first).to_contain_text(f"decision {decider.last}")
    assert await screen.page.evaluate("window.faults") == []
    assert await screen.page.evaluate("window.states") == ["live", "reconnecting", "live"]
    assert await screen.decided() == [f"decision {n}" for n in range(decider.last, 0, -1)]


@pytest.mark.parametrize(
    "fault", ["first.after(first.cloneNode(true))", "first.nextSibling.remove()"]
)
async def test_a_fault_in_the_feed_is_seen(
    screen: Screen, publisher: Publisher, fault: str
) -> None:
    """What looks at the feed all the time sees a decision that is there twice, or missing."""
    for number in (2, 3):
        await publisher.decision(decision(number))
    await screen.log_in()
    await expect(screen.decisions).to_have_count(3)
    await screen.page.evaluate(WATCH_PAGE)
    await publisher.decision(decision(4))
    await expect(screen.decisions).to_have_count(4)
    assert await screen.page.evaluate("window.faults") == []
    await screen.page.evaluate(
        f"() => {{ const first = document.querySelector('li.decision'); {fault}; }}"
    )
    assert await screen.page.evaluate("window.faults") != []


async def test_a_page_goes_on_after_it_was_offline(
    screen: Screen, publisher: Publisher, live: LiveHub, watch: Watch
) -> None:
    """Without a network the page says so and shows as of when it is; with one it is live again and
    has what was missed."""
    watch.forgive(HUB_IS_AWAY)
    await publisher.portfolio(portfolio("10170"))
    await screen.log_in()
    await expect(screen.equity).to_have_text("10,170.00")
    await screen.page.context.set_offline(True)
    await screen.is_in("offline")
    await expect(screen.banner).to_contain_text("Not connected")
    await expect(screen.age("portfolio")).to_contain_text("as of")
    async with Decider(publisher) as decider:
        await publisher.portfolio(portfolio("10180"))
        await screen.page.context.set_offline(False)
        await screen.is_live()
        await expect(screen.equity).to_have_text("10,180.00")
        await expect(screen.banner).to_be_hidden()
    await expect(screen.decisions.first).to_contain_text(f"decision {decider.last}")
    assert await screen.decided() == [f"decision {n}" for n in range(decider.last, 0, -1)]


async def test_a_slow_network_ends_at_the_newest(screen: Screen, publisher: Publisher) -> None:
    """On a line of a few kilobytes a second values are skipped on the way, and the last ones are
    those that are shown."""
    await publisher.positions([position(n) for n in range(1, 11)])
    await screen.log_in()
    await expect(screen.positions).to_have_count(10)
    tools = await screen.devtools()
    await tools.send("Network.enable")
    line = {"latency": 300, "downloadThroughput": 40_000, "uploadThroughput": 10_000}
    await tools.send("Network.emulateNetworkConditions", {"offline": False, **line})
    for price in range(200, 300):
        await publisher.positions([position(n, str(price)) for n in range(1, 11)])
        await publisher.portfolio(portfolio(f"10{price}"))
    await expect(screen.equity).to_have_text("10,299.00")
    await expect(screen.positions.last).to_contain_text("299")
    assert [row[4] for row in await screen.table()] == ["299"] * 10
    await screen.is_live()
    await expect(screen.age("portfolio")).to_have_attribute("title", CONFLATED)
