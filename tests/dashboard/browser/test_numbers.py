"""What is published is on the screen as it was sent, without a reload, and nothing else is."""

from __future__ import annotations

import random

import msgspec
import pytest
from playwright.async_api import expect

from producers.events import (
    Alert,
    AlertState,
    Mode,
    OodaState,
    Severity,
    StateTransition,
    TradingPosition,
)
from producers.publisher import Publisher
from tests.dashboard.browser.producing import (
    PORTFOLIO,
    STATUS,
    decision,
    grouped,
    portfolio,
    position,
)
from tests.dashboard.browser.screen import CONFLATED, MINUS, Screen
from tests.support.livehub import LiveHub

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_every_panel_follows_its_channel(screen: Screen, publisher: Publisher) -> None:
    """Portfolio, positions, decisions, the agent's step and alerts change as they are published,
    and the tab's title with them."""
    await screen.log_in()
    await screen.page.evaluate("window.loadedOnce = true")
    await expect(screen.equity).to_have_text("10,168.1912")
    await expect(screen.panel("portfolio")).to_contain_text(f"{MINUS}6.50")

    await publisher.portfolio(portfolio("10171.0000000000000000001"))
    await expect(screen.equity).to_have_text("10,171.0000000000000000001")
    await expect(screen.page).to_have_title(
        "+2.8088000000000000001 (+0.03 %) USD · paper · Tapecast"
    )

    await publisher.positions([position(1, "99.5"), position(2)])
    await expect(screen.positions).to_have_count(2)
    await expect(screen.positions.first).to_contain_text(f"{MINUS}0.90")

    await publisher.decision(decision(2))
    await expect(screen.decisions).to_have_count(2)
    await expect(screen.decisions.first).to_contain_text("decision 2")
    await publisher.decision(msgspec.structs.replace(decision(1), executed=True))
    await expect(screen.decisions.last).to_contain_text("executed")
    await expect(screen.decisions).to_have_count(2)

    await publisher.status(msgspec.structs.replace(STATUS, ooda_state=OodaState.EXECUTION))
    step = screen.panel("status").locator('[aria-current="step"]')
    await expect(step).to_have_text("Execute")
    moved = StateTransition(
        from_state=OodaState.REASONING, to_state=OodaState.EXECUTION, reason="the band broke"
    )
    await publisher.agent_event("state_transition", moved)
    await expect(screen.panel("status")).to_contain_text("the band broke")

    alert = Alert(severity=Severity.CRITICAL, title="Margin call", detail="at 80 per cent")
    await publisher.alert(alert)
    await expect(screen.panel("alerts")).to_contain_text("Margin call")
    newest = screen.page.get_by_role("status", name="Newest alert")
    await expect(newest).to_have_text("critical alert: Margin call: at 80 per cent")
    assert await screen.page.evaluate("window.loadedOnce")

    begun = Alert(
        severity=Severity.CRITICAL, title="Drawdown", state=AlertState.FIRING, incident="dd:1"
    )
    await publisher.alert(begun)
    badge = screen.panel("alerts").locator("li", has_text="Drawdown").last.locator(".badge")
    await expect(badge).to_have_text("critical")
    ended = msgspec.structs.replace(begun, title="Resolved: Drawdown", state=AlertState.RESOLVED)
    await publisher.alert(ended)
    await expect(badge).to_have_text("critical, over")


async def test_markup_is_shown_as_it_was_written(screen: Screen, publisher: Publisher) -> None:
    """Whatever a producer sends is text: it makes no element and runs nothing."""
    markup = '<img src="/x" onerror="document.title=1"><b>bold</b>'
    await screen.log_in()
    told = msgspec.structs.replace(
        decision(2), reasoning=markup, provider=markup, asset_pair=markup
    )
    await publisher.decision(told)
    await publisher.alert(Alert(severity=Severity.INFO, title=markup, detail=markup))
    await publisher.positions([msgspec.structs.replace(position(1), asset_pair=markup)])
    for channel in ("decisions", "alerts", "positions"):
        await expect(screen.panel(channel)).to_contain_text(markup)
    assert await screen.page.locator("main img, main b").count() == 0


async def test_the_mode_is_always_in_view(screen: Screen, publisher: Publisher) -> None:
    """Whether the money is real is told in the bar, wherever the page is scrolled to."""
    await screen.page.set_viewport_size({"width": 400, "height": 500})
    await screen.log_in()
    mode = screen.page.get_by_role("banner").locator(".mode")
    await expect(mode).to_have_text("Paper")
    await screen.page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    assert await screen.page.evaluate("scrollY") > 0
    await expect(mode).to_be_in_viewport()
    await publisher.portfolio(msgspec.structs.replace(PORTFOLIO, mode=Mode.LIVE))
    await expect(mode).to_have_text("Live money")
    await expect(mode).to_be_in_viewport()
    await screen.go_to("Hub")
    await expect(mode).to_be_in_viewport()


async def test_what_is_being_read_stays_where_it_is(screen: Screen, publisher: Publisher) -> None:
    """New decisions are counted while somebody reads older ones, and shift nothing."""
    for number in range(2, 41):
        await publisher.decision(decision(number))
    await screen.log_in()
    await expect(screen.decisions.first).to_contain_text("decision 40")
    read = screen.decisions.filter(has_text="decision 25")
    await read.scroll_into_view_if_needed()
    before = await read.bounding_box()
    for number in range(41, 44):
        await publisher.decision(decision(number))
    pill = screen.page.get_by_role("button", name="3 new decisions")
    await expect(pill).to_be_visible()
    assert await read.bounding_box() == before
    await pill.click()
    await expect(screen.decisions.first).to_contain_text("decision 43")
    await expect(screen.decisions.first).to_be_in_viewport()
    await expect(pill).to_be_hidden()


def cells(of: TradingPosition) -> list[str]:
    """What a row shows of a position, but for how long it was held."""
    return [
        of.asset_pair,
        of.side,
        grouped(of.size),
        grouped(of.entry_price),
        grouped(of.current_price),
        grouped(of.unrealized_pnl, places=2, signed=True),
        f"{grouped(of.unrealized_pnl_pct, signed=True)} %",
        grouped(of.margin_used, places=2),
    ]


async def test_positions_end_as_they_are_at_the_broker(
    screen: Screen, publisher: Publisher, live: LiveHub
) -> None:
    """After hundreds of changes, most of them conflated, the table shows each row as the broker has
    it, and no other."""
    chance = random.Random(7)
    await screen.log_in()
    open_now = {number: position(number) for number in range(1, 41)}
    for _ in range(300):
        for number in chance.sample(range(1, 56), 5):
            if number in open_now and chance.random() < 0.2:
                del open_now[number]
            else:
                open_now[number] = position(number, f"{chance.uniform(50, 2000):.4f}")
        await publisher.positions(open_now.values())
    last = position(99, "1234567.89")
    await publisher.positions([*open_now.values(), last])

    await expect(screen.positions.last).to_contain_text("1,234,567.89")
    stored = await live.hub.broker.read("positions", None, 0)
    rows = [msgspec.json.decode(row, type=TradingPosition) for row in stored.rows.values()]
    shown = [row[:-1] for row in await screen.table()]
    assert shown == [cells(row) for row in sorted(rows, key=lambda row: row.asset_pair)]
    await expect(screen.age("positions")).to_have_attribute("title", CONFLATED)
