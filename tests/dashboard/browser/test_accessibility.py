"""The page by keyboard, by the rules for screen readers, on a phone, in both colours, unmoving."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from playwright.async_api import Page, expect

from producers.events import Alert, Severity
from producers.publisher import Publisher
from tests.dashboard.browser.conftest import OpenScreen
from tests.dashboard.browser.producing import PORTFOLIO, decision, position
from tests.dashboard.browser.screen import Screen
from tests.support.livehub import LiveHub
from tests.support.node import DASHBOARD

pytestmark = pytest.mark.asyncio(loop_scope="package")

AXE = DASHBOARD / "node_modules" / "axe-core" / "axe.min.js"
PHONE = {"width": 320, "height": 640}
DESK = {"width": 1440, "height": 900}


async def violations(page: Page) -> list[str]:
    """What axe finds: rule, element, and what it wants."""
    if not await page.evaluate("'axe' in window"):
        await page.add_script_tag(path=AXE)
    found: dict[str, Any] = await page.evaluate("axe.run({ resultTypes: ['violations'] })")
    return [
        f"{each['id']} {node['target']}: {node['failureSummary']}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


async def furnish_fully(publisher: Publisher) -> None:
    """Something of every sort, long texts and amounts among it."""
    await publisher.positions([position(n, "1234567.12345678") for n in range(1, 13)])
    long = Decimal("-123456789012.123456789")
    names = ("balance", "available", "exposure", "realized_pnl", "unrealized_pnl")
    amounts = dict.fromkeys(names, long)
    await publisher.portfolio(msgspec.structs.replace(PORTFOLIO, equity=-long, **amounts))
    for number in range(2, 30):
        wordy = msgspec.structs.replace(decision(number), reasoning="unbroken" * 60)
        await publisher.decision(decision(number) if number % 2 else wordy)
    for severity in Severity:
        await publisher.alert(Alert(severity=severity, title=f"{severity} " * 5, detail="x" * 90))


@pytest.mark.parametrize("colours", ["dark", "light"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
async def test_axe_finds_nothing(
    live: LiveHub,
    publisher: Publisher,
    open_screen: OpenScreen,
    colours: str,
    size: dict[str, int],
) -> None:
    """Names, roles, contrast and order are right on every page and in every state of it."""
    await furnish_fully(publisher)
    # For axe, which is no part of the page.
    screen = await open_screen(live.url, color_scheme=colours, viewport=size, bypass_csp=True)
    page = screen.page
    await page.goto(screen.url)
    await expect(screen.token_field).to_be_visible()
    found = {"log-in": await violations(page)}
    await screen.log_in()
    await expect(screen.positions).to_have_count(12)
    found["dashboard"] = await violations(page)
    await publisher.portfolio(PORTFOLIO, lease=0.2)
    await expect(screen.panel("portfolio")).to_have_attribute("data-state", "stale")
    found["stale"] = await violations(page)
    await screen.go_to("Hub")
    await expect(page.get_by_role("region", name="Channels", exact=True)).to_be_visible()
    found["hub"] = await violations(page)
    await screen.go_to("Developer")
    await expect(page.get_by_label("Frames, newest first").locator("li").first).to_be_visible()
    found["developer"] = await violations(page)
    # By the keyboard: frames that come in above it move the button on a phone.
    await page.get_by_role("button", name="Stall the socket").press("Enter")
    await expect(page.get_by_role("button", name="Let it through")).to_be_visible()
    await expect(screen.banner).to_be_visible()
    await screen.go_to("Dashboard")
    found["not heard"] = await violations(page)
    assert {state: each for state, each in found.items() if each} == {}


async def test_axe_bites(live: LiveHub, publisher: Publisher, open_screen: OpenScreen) -> None:
    """A button without a name, and text that can hardly be seen, are found."""
    screen = await open_screen(live.url, bypass_csp=True)
    await screen.log_in()
    await screen.page.evaluate("""() => {
        const main = document.querySelector("main");
        const text = Object.assign(document.createElement("p"), { textContent: "hardly seen" });
        text.style.cssText = "color: #777; background: #888";
        main.append(document.createElement("button"), text);
    }""")
    found = json.dumps(await violations(screen.page))
    assert "button-name" in found
    assert "color-contrast" in found


async def test_nothing_lies_beside_a_phone(
    live: LiveHub, publisher: Publisher, open_screen: OpenScreen
) -> None:
    """At 320 pixels nothing scrolls sideways but what says so, whatever is shown; nor anywhere up
    to a wide screen."""
    await furnish_fully(publisher)
    screen = await open_screen(live.url, viewport=PHONE)
    page = screen.page
    await page.goto(screen.url)
    await expect(screen.token_field).to_be_visible()
    widths = {"log-in": await width_of(page)}
    await screen.log_in()
    await expect(screen.positions).to_have_count(12)
    for title in ("Hub", "Developer", "Dashboard"):
        await screen.go_to(title)
        await expect(page.get_by_role("heading", level=1)).to_contain_text(title)
        widths[title] = await width_of(page)
    await page.evaluate("location.hash = '#/dev'")
    # By the keyboard: frames that come in above it move the button on a phone.
    await page.get_by_role("button", name="Stall the socket").press("Enter")
    await expect(page.get_by_role("button", name="Let it through")).to_be_visible()
    await expect(screen.banner).to_be_visible()
    await screen.go_to("Dashboard")
    widths["not heard"] = await width_of(page)
    assert {state: width for state, width in widths.items() if width > PHONE["width"]} == {}
    assert await page.evaluate(CUT_OFF) == []
    for width in (390, 561, 768, 1080, 1280, 1920, 2560):
        await page.set_viewport_size({"width": width, "height": 900})
        assert await width_of(page) <= width


CUT_OFF = """() => [...document.querySelectorAll(".amount")]
    .filter((amount) => amount.checkVisibility())
    .filter((amount) => {
        const { right } = amount.getBoundingClientRect();
        return right > amount.closest("dd, td, th, p, li").getBoundingClientRect().right + 1
            || right > innerWidth;
    })
    .map((amount) => amount.outerHTML)"""
"""Amounts that lie over what is beside them, or beyond the window."""


async def width_of(page: Page) -> int:
    """How wide the page is, with what can be scrolled to."""
    width: int = await page.evaluate("document.documentElement.scrollWidth")
    return width


async def test_nothing_is_cut_on_a_desk(
    live: LiveHub, publisher: Publisher, open_screen: OpenScreen
) -> None:
    """The developer's table of channels shows all its columns, also of one that is stale, and the
    head of each of the hub's charts is one line."""
    screen = await open_screen(live.url)
    page = screen.page
    await screen.log_in()
    await publisher.portfolio(PORTFOLIO, lease=0.2)
    await expect(screen.panel("portfolio")).to_have_attribute("data-state", "stale")
    for width in (1280, 1366, 1440, 1600, 1920):
        await page.set_viewport_size({"width": width, "height": 900})
        await screen.go_to("Developer")
        table = page.get_by_label("Table of positions")
        await expect(table).to_contain_text("as of")
        beyond = "(table) => table.scrollWidth - table.clientWidth"
        assert await table.evaluate(beyond) == 0, width
        await screen.go_to("Hub")
        await expect(page.get_by_role("region", name="Lag to socket")).to_contain_text("p99")
        heads = "document.querySelectorAll('.hub-chart > header')"
        heights = await page.evaluate(f"[...{heads}].map((head) => head.offsetHeight)")
        assert len(set(heights)) == 1, (width, heights)


async def test_all_of_it_is_reached_by_the_keyboard(screen: Screen, publisher: Publisher) -> None:
    """From the address bar: past the bar at the top, or through it; headings sort, buttons choose,
    and whatever has the focus shows it."""
    await publisher.positions([position(1, "90"), position(2, "95")])
    page = screen.page
    await page.goto(screen.url)
    # The page has loaded before its script has drawn the field.
    await expect(screen.token_field).to_be_focused()
    await page.keyboard.type("nonsense")
    await expect(screen.token_field).to_have_value("nonsense")
    await screen.log_in()
    await expect(screen.positions).to_have_count(2)

    await page.keyboard.press("Tab")
    skip = page.get_by_role("button", name="Skip to content")
    await expect(skip).to_be_focused()
    await expect(skip).to_be_in_viewport()
    await page.keyboard.press("Enter")
    await expect(page.locator("#main")).to_be_focused()

    await page.keyboard.press("Shift+Tab")
    link = page.get_by_role("navigation").get_by_role("link", name="Developer")
    for _ in range(20):
        if await link.evaluate("(link) => link === document.activeElement"):
            break
        await page.keyboard.press("Shift+Tab")
    await expect(link).to_be_focused()
    assert await link.evaluate("(link) => getComputedStyle(link).outlineStyle") != "none"
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Developer")
    await page.go_back()

    price = screen.panel("positions").get_by_role("button", name="Price")
    await price.focus()
    await page.keyboard.press("Enter")
    await expect(screen.positions.first).to_contain_text("PAIR002")
    await expect(price.locator("xpath=..")).to_have_attribute("aria-sort", "descending")
    await page.keyboard.press("Space")
    await expect(screen.positions.first).to_contain_text("PAIR001")

    buy = page.get_by_role("button", name="Buy")
    await buy.focus()
    await page.keyboard.press("Enter")
    await expect(buy).to_have_attribute("aria-pressed", "true")
    await expect(screen.feed).to_contain_text("No decision passes the filter")


async def test_nothing_moves_for_who_wants_it_still(
    live: LiveHub, publisher: Publisher, open_screen: OpenScreen
) -> None:
    """Numbers that change light up for a moment; not for somebody who asked for less motion."""
    for motion, least in (("no-preference", 1), ("reduce", 0)):
        screen = await open_screen(live.url, reduced_motion=motion)
        await screen.page.add_init_script(COUNT_ANIMATIONS)
        await screen.log_in()
        await expect(screen.positions).to_have_count(1)
        for price in ("101.5", "102.5"):
            await publisher.positions([position(1, price)])
            await expect(screen.positions.first).to_contain_text(price)
        animations = await screen.page.evaluate("window.animations")
        assert (animations > 0) == (least > 0), motion
        moving = "document.getAnimations().filter((each) => each.effect.getTiming().duration > 1)"
        if motion == "reduce":
            assert await screen.page.evaluate(f"{moving}.length") == 0


COUNT_ANIMATIONS = """
window.animations = 0;
const animate = Element.prototype.animate;
Element.prototype.animate = function (...how) {
    window.animations += 1;
    return animate.apply(this, how);
};
"""


async def test_colours_are_the_systems_or_those_that_were_chosen(
    live: LiveHub, publisher: Publisher, open_screen: OpenScreen
) -> None:
    """Dark and light follow the system, the switch goes before it, and is remembered."""
    screen = await open_screen(live.url, color_scheme="dark")
    await screen.log_in()
    assert await brightness(screen.page) < 60
    await screen.page.emulate_media(color_scheme="light")
    assert await brightness(screen.page) > 200
    await screen.page.get_by_role("button", name="Colours: as the system").click()
    await expect(screen.page.get_by_role("button", name="Colours: dark")).to_be_visible()
    assert await brightness(screen.page) < 60
    await screen.page.reload()
    await screen.is_live()
    assert await brightness(screen.page) < 60
    await screen.page.get_by_role("button", name="Colours: dark").click()
    await screen.page.emulate_media(color_scheme="dark")
    assert await brightness(screen.page) > 200


async def brightness(page: Page) -> float:
    """Of the page's ground, 0 to 255."""
    script = """() => {
        const context = new OffscreenCanvas(1, 1).getContext("2d");
        context.fillStyle = getComputedStyle(document.body).backgroundColor;
        context.fillRect(0, 0, 1, 1);
        return context.getImageData(0, 0, 1, 1).data.slice(0, 3).reduce((a, b) => a + b) / 3;
    }"""
    value: float = await page.evaluate(script)
    return value
