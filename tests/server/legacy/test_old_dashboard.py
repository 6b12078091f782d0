"""A dashboard that was written for the old server, in a real Chromium, against a real hub."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from producers.events import (
    Action,
    Health,
    HealthState,
    OodaState,
    Side,
    StateTransition,
)
from tests.server.legacy.samples import DECISION, PORTFOLIO, POSITION, STATUS, Agent, changed
from tests.support.brokers import eventually
from tests.support.livehub import LiveHub, token
from tests.support.valkey import Valkey

DEADLINE_MS = 20_000
expect.set_options(timeout=DEADLINE_MS)

PAGE = Path(__file__).with_name("old_dashboard.html").read_text(encoding="utf-8")


class Elsewhere:
    """Serves the dashboard from an origin of its own, with the one line that was changed in it."""

    def __init__(self) -> None:
        self.page = ""
        self._server: asyncio.Server | None = None

    @property
    def origin(self) -> str:
        assert self._server is not None, "it serves"
        port: int = self._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    async def __aenter__(self) -> Elsewhere:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._server is not None, "it serves"
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            body = self.page.encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"
                b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body)
            )
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            # A browser opens connections that it may need.
            pass
        finally:
            writer.close()


@pytest.fixture
async def elsewhere() -> AsyncIterator[Elsewhere]:
    async with Elsewhere() as elsewhere:
        yield elsewhere


MakePage = Callable[..., Awaitable[Page]]


@pytest.fixture
async def open_page(browser: Browser, elsewhere: Elsewhere) -> AsyncIterator[MakePage]:
    """Opens the dashboard with a key for a hub; the test fails where its script does."""
    errors: list[str] = []
    pages: list[Page] = []

    async def open_page(live: LiveHub, shown: str | None = None) -> Page:
        elsewhere.page = PAGE.replace("{{API_BASE_URL}}", live.url).replace(
            "{{API_KEY}}", token() if shown is None else shown
        )
        page = await browser.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        pages.append(page)
        await page.goto(elsewhere.origin)
        return page

    yield open_page
    for page in pages:
        await page.close()
    assert errors == []


@asynccontextmanager
async def serving(valkey: Valkey, elsewhere: Elsewhere, **settings: Any) -> AsyncIterator[LiveHub]:
    """A hub for old dashboards that are served from elsewhere."""
    async with LiveHub(
        redis_url=valkey.url,
        legacy_paths=True,
        legacy_query_token=True,
        allowed_origins=(elsewhere.origin,),
        **settings,
    ) as live:
        yield live


@pytest.fixture
async def live(valkey: Valkey, elsewhere: Elsewhere) -> AsyncIterator[LiveHub]:
    async with serving(valkey, elsewhere) as live:
        yield live


@pytest.fixture
async def agent(live: LiveHub) -> Agent:
    """Has published an account with a position, and a decision."""
    agent = Agent(live.hub.broker)
    await agent.portfolio()
    await agent.positions(POSITION)
    await agent.status()
    await agent.health(Health(state=HealthState.OK))
    await agent.decision()
    return agent


async def shows(page: Page, id: str, text: str) -> None:
    """Return once the element has just this text."""
    await expect(page.locator(f"#{id}")).to_have_text(text)


async def test_the_first_answer(live: LiveHub, agent: Agent, open_page: MakePage) -> None:
    """What there is is shown right at once: no account of $0.00, no decision called UNKNOWN."""
    page = await open_page(live)
    await shows(page, "connection", "connected")
    await shows(page, "total", "$10000.00")
    await shows(page, "available", "$9000.50")
    await shows(page, "value", "$10174.69")
    await shows(page, "active", "1 / 2")
    await shows(page, "pnl", "$0.98")
    await shows(page, "agent", "running REASONING active operational $10174.69 3")
    await shows(page, "health", "healthy 10000")
    await shows(page, "exposure", "$2452.03")
    await expect(page.locator("#positions tr")).to_have_text(
        ["p-1 BTCUSD LONG 0.028 @ $87537.20: $0.98 0.04%"]
    )
    await expect(page.locator("#decisions li")).to_have_text(["d-1 BUY ETHUSD 73% momentum"])
    await shows(page, "error", "")


async def test_what_changes_is_shown_live(live: LiveHub, agent: Agent, open_page: MakePage) -> None:
    """Without a reload, by the frames of its one socket alone."""
    page = await open_page(live)
    await shows(page, "exposure", "$2452.03")
    await page.evaluate("window.loadedOnce = true")
    richer = changed(PORTFOLIO, balance=Decimal("10500.25"), equity=Decimal("10600.10"))
    await agent.portfolio(changed(richer, positions_count=2))
    await shows(page, "total", "$10500.25")
    await shows(page, "value", "$10600.10")
    await shows(page, "active", "2 / 2")
    second = changed(POSITION, id="p-2", asset_pair="SOLUSD", side=Side.SHORT, size=Decimal("3"))
    await agent.positions(POSITION, second)
    await agent.did("position_opened", second)
    rows = page.locator("#positions tr")
    await expect(rows).to_have_count(2)
    await expect(rows.last).to_contain_text("p-2 SOLUSD SHORT 3 @ $87537.20")
    await shows(page, "pnl", "$1.96")
    await shows(page, "exposure", "$265169.23")
    await agent.did("position_updated", changed(second, unrealized_pnl=Decimal("-5.00")))
    await shows(page, "pnl", "$-4.02")
    await agent.positions(POSITION)
    await agent.did("position_closed", second)
    await expect(rows).to_have_count(1)
    step = StateTransition(from_state=OodaState.IDLE, to_state=OodaState.PERCEPTION)
    await agent.did("state_transition", step)
    trade = {"action": "BUY", "size": Decimal("0.5"), "price": Decimal("3100.10")}
    await agent.did("trade_executed", trade)
    await expect(page.locator("#events li")).to_have_text(
        ["IDLE to PERCEPTION", "BUY 0.5 at $3100.10"]
    )
    await agent.status(changed(STATUS, ooda_state=OodaState.IDLE))
    await shows(page, "agent", "running IDLE ready operational $10600.10 3")
    assert await page.evaluate("window.loadedOnce && service.opened") == 1


async def test_every_decision_is_shown_once(
    live: LiveHub, agent: Agent, open_page: MakePage
) -> None:
    """Many at once too, and while Valkey restarts; the hub keeps the socket open."""
    page = await open_page(live)
    await shows(page, "connection", "connected")
    session = next(iter(live.hub.connections))
    await eventually(lambda: "decisions" in session.outbox.subscriptions, "it is followed")
    await agent.decisions(range(2, 302))
    made = page.locator("#decisions li")
    await expect(made).to_have_count(301)
    texts = await made.all_text_contents()
    assert [text.split(" ")[0] for text in texts] == [f"d-{n}" for n in range(301, 0, -1)]
    hold = changed(DECISION, id="d-302", action=Action.HOLD, confidence=None, reasoning=None)
    await agent.decision(hold)
    await expect(made.first).to_have_text("d-302 HOLD ETHUSD 0% ")
    assert await page.evaluate("service.opened") == 1


async def test_decisions_over_a_restart_of_valkey(
    durable_valkey: Valkey, elsewhere: Elsewhere, open_page: MakePage
) -> None:
    """Killed and started again: nothing is missing and nothing doubled, on the same socket."""
    async with serving(durable_valkey, elsewhere) as live:
        agent = Agent(live.hub.broker)
        await agent.portfolio()
        await agent.decision()
        page = await open_page(live)
        made = page.locator("#decisions li")
        await expect(made).to_have_count(1)
        await shows(page, "connection", "connected")
        session = next(iter(live.hub.connections))
        await eventually(lambda: "decisions" in session.outbox.subscriptions, "it is followed")
        await agent.decisions(range(2, 12))
        durable_valkey.kill()
        await asyncio.to_thread(durable_valkey.start)
        await agent.decisions(range(12, 22))
        await expect(made).to_have_count(21)
        texts = await made.all_text_contents()
        assert [text.split(" ")[0] for text in texts] == [f"d-{n}" for n in range(21, 0, -1)]
        assert await page.evaluate("service.opened") == 1


async def test_a_wrong_key_is_told(live: LiveHub, agent: Agent, open_page: MakePage) -> None:
    """The dashboard sees the code of the refusal, and does not try again and again."""
    page = await open_page(live, "nonsense")
    await shows(page, "connection", "unauthorized")
    await shows(page, "error", "the token is malformed or signed with another secret")
    await shows(page, "total", "")


async def test_a_link_that_broke(live: LiveHub, agent: Agent, open_page: MakePage) -> None:
    """The dashboard connects again by itself, and is shown what there is now."""
    page = await open_page(live)
    await shows(page, "connection", "connected")
    live.break_links()
    await agent.portfolio(changed(PORTFOLIO, balance=Decimal("20000.00")))
    await shows(page, "total", "$20000.00")
    await shows(page, "connection", "connected")
    assert await page.evaluate("service.opened") == 2
    await expect(page.locator("#decisions li")).to_have_count(1)


async def test_a_start_is_answered(live: LiveHub, agent: Agent, open_page: MakePage) -> None:
    """The button of the old dashboard leads to a clear error, where its token may not command."""
    page = await open_page(live)
    await shows(page, "connection", "connected")
    await page.evaluate("service.send('start', {autonomous: true, asset_pairs: ['BTCUSD']})")
    await expect(page.locator("#error")).to_contain_text("does not allow commanding")


async def test_a_stream_of_events(live: LiveHub, agent: Agent, open_page: MakePage) -> None:
    """A browser's EventSource takes the stream from a hub of another origin."""
    page = await open_page(live)
    await page.evaluate(
        """() => {
            window.heard = [];
            const url = `${API_BASE_URL}/api/v1/bot/stream?token=${API_KEY}`;
            new EventSource(url).onmessage = ({ data }) => window.heard.push(JSON.parse(data));
        }"""
    )
    await page.wait_for_function("heard.some((f) => f.event === 'portfolio_update')")
    await eventually(
        lambda: all("decisions" in each.outbox.subscriptions for each in live.hub.connections),
        "both follow",
    )
    await agent.decision(changed(DECISION, id="d-2"))
    await page.wait_for_function("heard.some((f) => f.event === 'decision_made')")
    told = await page.evaluate("heard.filter((f) => f.event === 'decision_made').map((f) => f.id)")
    assert told == ["d-2"]


async def test_a_browser_shows_its_token_after_bearer(
    live: LiveHub, agent: Agent, open_page: MakePage
) -> None:
    """As a sub-protocol: a browser keeps the connection only where one that it offered is answered,
    and sees the code of a refusal."""
    page = await open_page(live)
    connect = """(token) => new Promise((done) => {
        const url = `${API_BASE_URL}/api/v1/bot/ws/portfolio`.replace(/^http/, "ws");
        const socket = new WebSocket(url, ["bearer", token]);
        socket.onmessage = ({ data }) => done([socket.protocol, JSON.parse(data).event]);
        socket.onclose = ({ code }) => done([socket.protocol, code]);
    })"""
    assert await page.evaluate(connect, token()) == ["bearer", "portfolio_update"]
    assert await page.evaluate(connect, "nonsense") == ["bearer", 4001]
