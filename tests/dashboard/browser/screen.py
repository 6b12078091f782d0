"""One tab with the dashboard, and what somebody sees on it."""

from __future__ import annotations

import re
from typing import Any

from playwright.async_api import CDPSession, Locator, Page, expect

from tests.support.livehub import token

DEADLINE_MS = 20_000
expect.set_options(timeout=DEADLINE_MS)

CONFLATED = re.compile(r"\d+ changes were conflated")
"""What the age of a channel says to who points at it."""
MINUS = "\N{MINUS SIGN}"

WATCH_PAGE = """() => {
    window.faults = [];
    window.states = [];
    window.banners = [];
    const keep = (list, value) => { if (list.at(-1) !== value) list.push(value); };
    const look = () => {
        const told = [...document.querySelectorAll("li.decision .reasoning > p")]
            .map((each) => Number(each.textContent.replace("decision ", "")));
        if (told.some((n, i) => i > 0 && n !== told[i - 1] - 1)) window.faults.push(told);
        keep(window.states, document.querySelector(".tapecast-badge").dataset.state);
        keep(window.banners, document.querySelector("p.banner").textContent);
    };
    look();
    new MutationObserver(look).observe(document.body,
        { attributes: true, characterData: true, childList: true, subtree: true });
}"""
"""Looks at the page whenever anything on it has changed. `states` and `banners` are those shown, in
order; `faults` are feeds in which a decision was missing or shown twice."""


class Screen:
    """A page of a hub."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.badge = page.get_by_role("banner").locator(".tapecast-badge")
        self.banner = page.locator("p.banner")
        self.equity = self.panel("portfolio").locator(".headline .amount")
        self.positions = self.panel("positions").locator("tbody tr")
        self.feed = page.get_by_label("Decisions, newest first")
        self.decisions = self.feed.locator("li.decision")
        self.token_field = page.get_by_label("Token or API key")

    def panel(self, channel: str) -> Locator:
        """What shows a channel."""
        return self.page.locator(f'section.panel[data-channel="{channel}"]')

    def age(self, channel: str) -> Locator:
        """How old what a channel shows is, in words."""
        return self.panel(channel).locator("header .age")

    async def log_in(self, shown: str | None = None) -> None:
        """Open the page as `make demo` prints it: with a token in the address."""
        await self.page.goto(f"{self.url}/#token={shown or token()}")
        await self.is_live()

    async def fill_in(self, shown: str) -> None:
        """Show a token in the form."""
        await self.token_field.fill(shown)
        await self.page.get_by_role("button", name="Sign in").click()

    async def is_live(self) -> None:
        """Return once the connection is."""
        await self.is_in("live")

    async def is_in(self, state: str) -> None:
        """Return once the connection is in this state."""
        await expect(self.badge).to_have_attribute("data-state", state)

    async def go_to(self, title: str) -> None:
        """Follow the link to another page of the dashboard."""
        # By the keyboard: what the bar shows of the account comes and goes beside the links.
        await self.page.get_by_role("navigation").get_by_role("link", name=title).press("Enter")

    async def devtools(self) -> CDPSession:
        """The browser's own tools, for this page."""
        return await self.page.context.new_cdp_session(self.page)

    async def decided(self) -> list[str]:
        """The reasoning of each decision in the feed, from the newest, to its end."""
        # What is near the end is there when somebody scrolls near it.
        script = """async (feed) => {
            for (let shown = -1; shown !== feed.querySelectorAll("li.decision").length;) {
                shown = feed.querySelectorAll("li.decision").length;
                feed.scrollTop = feed.scrollHeight;
                feed.dispatchEvent(new Event("scroll"));
                await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
            }
            return [...feed.querySelectorAll(".reasoning > p")].map((each) => each.textContent);
        }"""
        told: list[str] = await self.feed.evaluate(script)
        return told

    async def table(self) -> list[list[str]]:
        """The cells of each position, as they are on a wide screen."""
        script = """(rows) => rows.map((row) => [...row.cells].map((cell) => {
            const copy = cell.cloneNode(true);
            for (const narrow of copy.querySelectorAll(".narrow")) narrow.remove();
            return copy.textContent;
        }))"""
        cells: list[list[str]] = await self.positions.evaluate_all(script)
        return cells


async def kept_by_scripts(page: Page) -> dict[str, Any]:
    """All that a script of the page could find: its storages, cookies, address and document."""
    script = """async () => ({
        local: {...localStorage},
        session: {...sessionStorage},
        cookies: document.cookie,
        databases: (await indexedDB.databases()).map(({ name }) => name),
        caches: "caches" in window ? await caches.keys() : [],
        address: location.href,
        state: history.state,
        document: document.documentElement.outerHTML,
        fields: [...document.querySelectorAll("input")].map(({ value }) => value),
    })"""
    found: dict[str, Any] = await page.evaluate(script)
    return found
