"""The plain page in a real Chromium, against a real hub: what is shown where no dashboard is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from playwright.async_api import Browser, Page, WebSocketRoute, expect

from hub.broker.memory import MemoryBroker
from hub.protocol import codes
from hub.protocol.publication import (
    AppendEntry,
    PatchRows,
    Publication,
    ReplaceRows,
    SetValue,
    Touch,
)
from hub.protocol.streams import Kind
from hub.server import page_files
from tests.support.brokers import store
from tests.support.livehub import LiveHub, token
from tests.support.valkey import Valkey

DEADLINE_MS = 20_000
expect.set_options(timeout=DEADLINE_MS)

PORTFOLIO = {
    "balance": "10000.00",
    "equity": "1234567.8912",
    "available": "9000.5",
    "exposure": "1000",
    "realized_pnl": "-6.50",
    "unrealized_pnl": "174.69",
    "positions_count": 1,
    "currency": "USD",
    "platform": "coinbase",
    "mode": "paper",
}
POSITION = {
    "id": "p1",
    "asset_pair": "BTCUSD",
    "side": "LONG",
    "size": "0.0280",
    "entry_price": "87537.2",
    "current_price": "87572.4",
    "unrealized_pnl": "0.98",
    "unrealized_pnl_pct": "0.04",
    "margin_used": "490.20",
    "opened_at": "2026-01-02T03:04:05Z",
}
DECISION = {
    "id": "d1",
    "asset_pair": "ETHUSD",
    "action": "BUY",
    "confidence": 72,
    "reasoning": "momentum",
    "executed": False,
}


class Publisher:
    """Publishes to the broker of a hub, as a producer would."""

    def __init__(self, live: LiveHub) -> None:
        self._live = live
        self._n = 0

    async def _publish(
        self, channel: str, kind: Kind, event: str, change: Any, lease_ms: int = 0
    ) -> None:
        self._n += 1
        one = Publication(channel, kind, event, change, "test", self._n, lease_ms)
        await store(self._live.hub.broker, one)

    async def value(self, channel: str, value: object, lease_ms: int = 0) -> None:
        change = SetValue(msgspec.json.encode(value))
        await self._publish(channel, Kind.VALUE, "updated", change, lease_ms)

    async def touch(self, channel: str, lease_ms: int) -> None:
        await self._publish(channel, Kind.VALUE, "touch", Touch(), lease_ms)

    async def rows(self, channel: str, rows: dict[str, object]) -> None:
        encoded = {key: msgspec.json.encode(row) for key, row in rows.items()}
        await self._publish(channel, Kind.TABLE, "updated", ReplaceRows(encoded))

    async def patch(self, channel: str, upsert: dict[str, object], *delete: str) -> None:
        encoded = {key: msgspec.json.encode(row) for key, row in upsert.items()}
        await self._publish(channel, Kind.TABLE, "updated", PatchRows(encoded, delete))

    async def entry(self, channel: str, event: str, data: object) -> None:
        await self._publish(channel, Kind.LOG, event, AppendEntry(msgspec.json.encode(data)))


@pytest.fixture
async def live() -> AsyncIterator[LiveHub]:
    """A hub whose channels live in memory."""
    async with LiveHub(MemoryBroker()) as live:
        yield live


@pytest.fixture
def publisher(live: LiveHub) -> Publisher:
    return Publisher(live)


@pytest.fixture
async def page(browser: Browser, live: LiveHub) -> AsyncIterator[Page]:
    """A page of a browser; the test fails where it logs an error or asks another host."""
    page = await browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(f"{said.type}: {said.text}"))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    own = urlsplit(live.url).netloc
    page.on("request", lambda request: complaints.extend(_strange(request.url, own)))
    page.on("websocket", lambda socket: complaints.extend(_strange(socket.url, own)))
    yield page
    await page.close()
    assert complaints == []


def _strange(url: str, own: str) -> list[str]:
    return [] if urlsplit(url).netloc == own else [f"request to {url}"]


async def sign_in(page: Page, live: LiveHub) -> None:
    """Open the page with a token for everything."""
    await page.goto(f"{live.url}/page/#token={token()}")
    await expect(page.locator("#link-text")).to_have_text("Connected")


def card(page: Page, channel: str) -> Any:
    """The panel of a channel."""
    return page.locator(f'[data-channel="{channel}"]')


async def test_numbers_are_live_without_a_reload(
    page: Page, live: LiveHub, publisher: Publisher
) -> None:
    """Somebody who signs in with a token sees every change of the portfolio as it was sent."""
    await publisher.value("portfolio", PORTFOLIO)
    await page.goto(f"{live.url}/page/")
    await page.evaluate("window.loadedOnce = true")
    await page.get_by_label("Token or API key").fill(token())
    await page.get_by_role("button", name="Sign in").click()
    portfolio = card(page, "portfolio")
    await expect(portfolio.locator(".equity")).to_have_text("1,234,567.8912")
    await expect(portfolio).to_contain_text("\u22126.50")
    await expect(portfolio.locator("dd.loss")).to_have_text("\u22126.50")
    await expect(portfolio.locator("dd.gain")).to_have_text("+174.69")
    await publisher.value("portfolio", PORTFOLIO | {"equity": "1234568.00000000000000001"})
    await expect(portfolio.locator(".equity")).to_have_text("1,234,568.00000000000000001")
    await expect(page.locator("#latency")).to_contain_text("ms")
    assert await page.evaluate("window.loadedOnce")


async def test_compressed_numbers_are_those_that_were_sent(browser: Browser) -> None:
    """Chromium agrees to the hub's compression, and shows snapshot and updates."""
    async with LiveHub(MemoryBroker(), compression=True) as live:
        publisher = Publisher(live)
        positions: dict[str, object] = {f"p{n}": POSITION | {"id": f"p{n}"} for n in range(200)}
        await publisher.rows("positions", positions)
        page = await browser.new_page()
        answers: list[dict[str, str]] = []
        network = await page.context.new_cdp_session(page)
        network.on(
            "Network.webSocketHandshakeResponseReceived",
            lambda said: answers.append(said["response"]["headers"]),
        )
        await network.send("Network.enable")
        await sign_in(page, live)
        rows = card(page, "positions").locator("tbody tr")
        await expect(rows).to_have_count(200)
        await publisher.patch("positions", {"p7": POSITION | {"size": "0.12345"}}, "p8")
        await expect(rows).to_have_count(199)
        await expect(card(page, "positions")).to_contain_text("0.12345")
        [answer] = answers
        assert answer["Sec-WebSocket-Extensions"].startswith("permessage-deflate; ")
        await page.close()


async def test_a_channel_that_begins_later_appears(
    page: Page, live: LiveHub, publisher: Publisher
) -> None:
    """With no channel the page says how to get one, and shows it when it is there."""
    await sign_in(page, live)
    await expect(page.get_by_text("No channels yet")).to_be_visible()
    await publisher.value("portfolio", PORTFOLIO)
    await expect(card(page, "portfolio")).to_be_visible()
    await expect(page.get_by_text("No channels yet")).to_be_hidden()


async def test_the_mode_is_always_in_view(page: Page, live: LiveHub, publisher: Publisher) -> None:
    """Whether the money is real is told in the bar, wherever the page is scrolled to."""
    await page.set_viewport_size({"width": 400, "height": 300})
    await publisher.value("portfolio", PORTFOLIO)
    for n in range(20):
        await publisher.entry("decisions", "decision_made", DECISION | {"id": f"d{n}"})
    await sign_in(page, live)
    await expect(card(page, "decisions").locator(".decision")).to_have_count(20)
    await page.keyboard.press("End")
    await expect(page.locator("#mode")).to_have_text("paper")
    await publisher.value("portfolio", PORTFOLIO | {"mode": "live"})
    await expect(page.locator("#mode")).to_have_text("live")
    await expect(page.locator("#mode")).to_be_in_viewport()


async def test_positions_come_change_and_go(
    page: Page, live: LiveHub, publisher: Publisher
) -> None:
    """Rows are shown as they are upserted and deleted, each number as it was sent."""
    await publisher.rows("positions", {"p1": POSITION})
    await sign_in(page, live)
    rows = card(page, "positions").locator("tbody tr")
    await expect(rows).to_have_count(1)
    await expect(rows.first).to_contain_text("0.0280")
    await publisher.patch("positions", {"p2": POSITION | {"asset_pair": "SOLUSD"}})
    await expect(rows).to_have_count(2)
    await publisher.patch("positions", {"p1": POSITION | {"unrealized_pnl": "-3.5"}})
    await expect(rows.first.locator(".loss")).to_have_text("\u22123.5")
    await publisher.patch("positions", {}, "p1", "p2")
    await expect(card(page, "positions")).to_contain_text("No open positions")


async def test_a_decision_that_is_updated_keeps_its_place(
    page: Page, live: LiveHub, publisher: Publisher
) -> None:
    """A decision that was carried out later is shown once, as it is now."""
    await publisher.entry("decisions", "decision_made", DECISION)
    await publisher.entry("decisions", "decision_made", DECISION | {"id": "d2", "action": "HOLD"})
    await sign_in(page, live)
    decisions = card(page, "decisions").locator(".decision")
    await expect(decisions).to_have_count(2)
    await publisher.entry("decisions", "decision_updated", DECISION | {"executed": True})
    await expect(decisions.last).to_contain_text("executed")
    await expect(decisions).to_have_count(2)
    await expect(decisions.last.get_by_role("meter")).to_have_attribute("aria-valuenow", "72")


async def test_what_is_published_is_text_and_nothing_else(
    page: Page, live: LiveHub, publisher: Publisher
) -> None:
    """Markup in a payload is shown as it was written, and makes no element."""
    markup = '<img src="/x" onerror="alert(1)"><b>bold</b>'
    await publisher.entry("decisions", "decision_made", DECISION | {"reasoning": markup})
    await publisher.value("notes", {markup: markup})
    await publisher.entry("agent", "error", {"component": markup, "detail": markup})
    await sign_in(page, live)
    for channel in ("decisions", "notes", "agent"):
        await expect(card(page, channel)).to_contain_text(markup)
    assert await page.locator("#board img, #board b").count() == 0


async def test_any_other_channel_is_shown_by_its_kind(
    page: Page, live: LiveHub, publisher: Publisher
) -> None:
    """A stream that the page knows nothing of has a panel all the same."""
    await publisher.value("weather", {"wind_speed": "12.5"})
    await publisher.value("motto", "steady")
    await publisher.rows("orders", {"o1": {"limit": "10.10", "venue": "X"}, "o2": "raw"})
    await publisher.entry("trail", "moved", {"to": "north"})
    # Not of the kind that the page expects of such a stream.
    await publisher.entry("portfolio:odd", "said", "something")
    await sign_in(page, live)
    await expect(card(page, "weather")).to_contain_text("Wind speed")
    await expect(card(page, "weather")).to_contain_text("12.5")
    await expect(card(page, "motto")).to_contain_text("steady")
    await expect(card(page, "orders").locator("tbody tr")).to_have_count(2)
    await expect(card(page, "orders").locator("tbody tr").first).to_contain_text("10.10")
    await expect(card(page, "trail")).to_contain_text('{"to":"north"}')
    await expect(card(page, "portfolio:odd")).to_contain_text("something")


async def test_agent_events_can_be_filtered(
    page: Page, live: LiveHub, publisher: Publisher
) -> None:
    """Each event can be hidden by its button, by the keyboard too; updates are hidden at first."""
    moved = {"from_state": "IDLE", "to_state": "PERCEPTION"}
    await publisher.entry("agent", "state_transition", moved)
    await publisher.entry("agent", "position_updated", POSITION)
    await sign_in(page, live)
    events = card(page, "agent")
    lines = events.get_by_role("log").locator("li")
    await expect(lines).to_have_count(1)
    await expect(lines).to_contain_text("IDLE \u2192 PERCEPTION")
    await events.get_by_role("button", name="position updated").press("Enter")
    await expect(lines).to_have_count(2)
    await events.get_by_role("button", name="state transition").press("Enter")
    await expect(lines).to_have_count(1)
    await expect(lines).to_contain_text("BTCUSD LONG")


async def test_a_stale_channel_is_marked_until_its_producer_is_back(
    page: Page, live: LiveHub, publisher: Publisher
) -> None:
    """Numbers whose producer missed its deadline are dimmed and say as of when they are."""
    await publisher.value("portfolio", PORTFOLIO, lease_ms=300)
    await sign_in(page, live)
    portfolio = card(page, "portfolio")
    await expect(portfolio.locator(".age")).to_contain_text("stale, as of")
    await expect(portfolio.locator(".body")).to_have_css("opacity", "0.45")
    await expect(page.locator("#banner")).to_contain_text("portfolio")
    await publisher.touch("portfolio", lease_ms=600_000)
    await expect(portfolio.locator(".age")).to_contain_text("changed")
    await expect(page.locator("#banner")).to_be_hidden()


async def test_the_token_leaves_the_address_and_outlives_a_reload(
    page: Page, live: LiveHub, publisher: Publisher
) -> None:
    """A token in the fragment is in no address and no history, and is kept for this tab alone."""
    await publisher.value("portfolio", PORTFOLIO)
    await sign_in(page, live)
    assert page.url == f"{live.url}/page/"
    await page.reload()
    await expect(card(page, "portfolio")).to_be_visible()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("Token or API key")).to_be_visible()
    assert await page.evaluate("sessionStorage.length") == 0
    assert await card(page, "portfolio").count() == 0


async def test_where_no_dashboard_is_the_printed_address_leads_here(
    browser: Browser, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The token in the fragment of `/` survives the way, and leaves the address all the same."""
    monkeypatch.setattr(page_files, "DASHBOARD", tmp_path / "nothing")
    async with LiveHub(MemoryBroker()) as live:
        page = await browser.new_page()
        await page.goto(f"{live.url}/#token={token()}")
        await expect(page.locator("#link-text")).to_have_text("Connected")
        assert page.url == f"{live.url}/page/"
        await page.close()


async def test_a_wrong_token_is_told(browser: Browser, live: LiveHub) -> None:
    """Whoever shows a token that the hub does not take is told so, and can try another."""
    page = await browser.new_page()
    await page.goto(f"{live.url}/page/")
    await page.get_by_label("Token or API key").fill("nonsense")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text("does not take this token")
    await page.get_by_label("Token or API key").fill(token())
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.locator("#link-text")).to_have_text("Connected")


async def test_a_restarted_hub_is_found_again(browser: Browser, valkey: Valkey) -> None:
    """The page says that it is not connected, and goes on where it was, with every entry once."""
    async with LiveHub(redis_url=valkey.url) as live:
        publisher = Publisher(live)
        await publisher.entry("decisions", "decision_made", DECISION)
        page = await browser.new_page()
        await sign_in(page, live)
        decisions = card(page, "decisions")
        await expect(decisions.locator(".decision")).to_have_count(1)
        live.settings = msgspec.structs.replace(live.settings, port=urlsplit(live.url).port)
        await live.stop()
        await expect(page.locator("#banner")).to_contain_text("Not connected")
        await expect(decisions.locator(".age")).to_contain_text("not connected, as of")
        await live.start()
        for n in (2, 3):
            await publisher.entry("decisions", "decision_made", DECISION | {"id": f"d{n}"})
        await expect(page.locator("#link-text")).to_have_text("Connected")
        await expect(decisions.locator(".decision")).to_have_count(3)
        await expect(page.locator("#banner")).to_be_hidden()
        await page.close()


async def test_a_channel_that_begins_anew_as_another_kind(
    page: Page, live: LiveHub, publisher: Publisher
) -> None:
    """Its panel is that of what it is now; the page used to break on it."""
    await publisher.entry("orders", "placed", {"limit": "10.10"})
    await sign_in(page, live)
    await expect(card(page, "orders")).to_contain_text("placed")
    broker = live.hub.broker
    assert isinstance(broker, MemoryBroker)
    broker._channels.clear()
    await publisher.rows("orders", {"o1": {"limit": "20.20"}})
    await expect(card(page, "orders").locator("tbody tr")).to_have_count(1)
    await expect(card(page, "orders")).to_contain_text("20.20")


async def test_a_hole_is_mended(page: Page, live: LiveHub, publisher: Publisher) -> None:
    """A frame that never came is noticed at the next one, and what it held is shown."""
    lost = asyncio.Event()

    def lose_one(route: WebSocketRoute) -> None:
        server = route.connect_to_server()

        def pass_on(message: str | bytes) -> None:
            frame = json.loads(message)
            if frame.get("type") == "update" and not lost.is_set():
                lost.set()
            else:
                route.send(message)

        server.on_message(pass_on)

    await page.route_web_socket("**/ws", lose_one)
    await publisher.entry("decisions", "decision_made", DECISION)
    await sign_in(page, live)
    decisions = card(page, "decisions").locator(".decision")
    await expect(decisions).to_have_count(1)
    for n in (2, 3, 4):
        await publisher.entry("decisions", "decision_made", DECISION | {"id": f"d{n}"})
    await expect(decisions).to_have_count(4)
    assert lost.is_set()


async def test_the_page_fits_its_window(page: Page, live: LiveHub, publisher: Publisher) -> None:
    """From a phone to a wide screen nothing lies beside the window."""
    await publisher.value("portfolio", PORTFOLIO | {"equity": "123456789012.123456789"})
    await publisher.rows("positions", {"p1": POSITION})
    reasoning = "unbroken" * 60
    await publisher.entry("decisions", "decision_made", DECISION | {"reasoning": reasoning})
    await publisher.value("status", {"state": "RUNNING", "ooda_state": "RISK_CHECK"})
    await sign_in(page, live)
    for channel in ("portfolio", "positions", "decisions", "status"):
        await expect(card(page, channel)).to_be_visible()
    for width in (340, 768, 1080, 1280, 1920):
        await page.set_viewport_size({"width": width, "height": 800})
        assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_the_page_reconnects_by_the_table_of_codes(page: Page, live: LiveHub) -> None:
    """The page's rule says of every close code what the table says."""
    await page.goto(f"{live.url}/page/")
    numbers = [*(code.number for code in codes.TABLE), 1005, 3000, 4400, 4499, 4500, 4599, 4600]
    rule = "async (numbers) => numbers.map((await import('/page/client.js')).shouldReconnect)"
    assert await page.evaluate(rule, numbers) == [codes.should_reconnect(n) for n in numbers]


async def test_decimals_are_compared_as_text(page: Page, live: LiveHub) -> None:
    """Which way a number moved is right beyond what a float can tell apart."""
    await page.goto(f"{live.url}/page/")
    compare = "async ([a, b]) => (await import('/page/format.js')).compareDecimals(a, b)"
    for a, b, order in [
        ("1", "1.00", 0),
        ("0.1", "0.09", 1),
        ("-1", "1", -1),
        ("-2", "-10", 1),
        ("-0.0", "0", 0),
        ("9007199254740993", "9007199254740992", 1),
        ("0.10000000000000000001", "0.1", 1),
        ("10", "9.99", 1),
        ("x", "1", 0),
    ]:
        assert await page.evaluate(compare, [a, b]) == order, (a, b)
        assert await page.evaluate(compare, [b, a]) == -order, (b, a)


async def test_files_are_asked_for_again_only_when_they_changed(page: Page, live: LiveHub) -> None:
    """A reload is answered with 304 for each file, so that another version is never mixed in."""
    await page.goto(f"{live.url}/page/")
    statuses: list[int] = []
    for name in ("/page/", "/page/page.js", "/page/page.css", "/page/icon.svg"):
        first = await page.request.get(live.url + name)
        etag = first.headers["etag"]
        again = await page.request.get(live.url + name, headers={"If-None-Match": etag})
        statuses += [first.status, again.status]
    assert statuses == [200, 304] * 4
