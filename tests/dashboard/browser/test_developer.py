"""The developer's page: what crosses the socket, and means to break it."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from producers.publisher import Publisher
from tests.dashboard.browser.producing import Decider, decision, portfolio
from tests.dashboard.browser.screen import WATCH_PAGE, Screen
from tests.support.livehub import LiveHub, token

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_a_dropped_socket_resumes(
    screen: Screen, publisher: Publisher, live: LiveHub
) -> None:
    """Dropped by its button, the connection comes back by itself, asks for what was missed, and the
    feed has every decision once."""
    await screen.log_in()
    await screen.go_to("Developer")
    journal = screen.page.get_by_label("Gaps and resumes, newest first").locator("li")
    await expect(journal.filter(has_text="decisions begins at 1")).to_have_count(1)
    async with Decider(publisher) as decider:
        await screen.page.get_by_role("button", name="Drop the socket").click()
        await expect(
            journal.filter(has_text="resumed").filter(has_text="decisions")
        ).to_be_visible()
        await screen.is_live()
        await decider.goes_on()
    assert live.hub.metrics.accepted == 2
    await screen.go_to("Dashboard")
    await expect(screen.decisions.first).to_contain_text(f"decision {decider.last}")
    assert await screen.decided() == [f"decision {n}" for n in range(decider.last, 0, -1)]


async def test_a_stalled_socket_is_noticed(
    screen: Screen, publisher: Publisher, live: LiveHub
) -> None:
    """A socket on which nothing comes is not trusted for long: what is shown is called old, the
    socket is given up, and what came meanwhile is there when sockets are let through."""
    await screen.log_in()
    await screen.page.evaluate(WATCH_PAGE)
    await screen.go_to("Developer")
    await screen.page.get_by_role("button", name="Stall the socket").click()
    await publisher.portfolio(portfolio("10190"))
    await publisher.decision(decision(2))
    await expect(screen.banner).to_be_visible()
    await screen.go_to("Dashboard")
    await expect(screen.age("portfolio")).to_contain_text("as of")
    await expect(screen.equity).to_have_text("10,168.1912")
    await screen.is_in("reconnecting")
    await screen.go_to("Developer")
    await screen.page.get_by_role("button", name="Let it through").click()
    await screen.is_live()
    assert (await screen.page.evaluate("window.states"))[:3] == ["live", "stale", "reconnecting"]
    banners = await screen.page.evaluate("window.banners")
    assert banners[1].startswith("The hub does not answer. What is shown is as of ")
    await screen.go_to("Dashboard")
    await expect(screen.equity).to_have_text("10,190.00")
    await expect(screen.decisions).to_have_count(2)


async def test_frames_can_be_found_and_held(screen: Screen, publisher: Publisher) -> None:
    """Frames are listed as they cross, those with all words of the filter are shown, a pause holds
    the list, and no token is in any."""
    shown = token()
    await screen.log_in(shown)
    await screen.go_to("Developer")
    frames = screen.page.get_by_label("Frames, newest first")
    lines = frames.locator("li")
    search = screen.page.get_by_label("Filter frames")
    await search.fill("out subscribe positions")
    await expect(lines).to_have_count(1)
    await expect(lines).to_contain_text('"method":"subscribe","params":{"channel":"positions"')
    await search.fill("no frame has this")
    await expect(screen.page.get_by_text("No frame passes the filter")).to_be_visible()
    await search.fill("decision_made")
    await publisher.decision(decision(2))
    await expect(lines.first).to_contain_text('"id":"d2"')
    await screen.page.get_by_role("button", name="Pause").click()
    await publisher.decision(decision(3))
    positions = screen.page.get_by_role("row", name="decisions")
    await expect(positions).to_contain_text(":3:")
    await expect(lines.first).to_contain_text('"id":"d2"')
    await screen.page.get_by_role("button", name="Go on").click()
    await expect(lines.first).to_contain_text('"id":"d3"')
    await search.fill("")
    assert shown not in await screen.page.content()
