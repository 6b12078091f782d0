"""Who gets in, what is kept of a token, and what happens at its end."""

from __future__ import annotations

import json
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import BrowserContext, Page, expect

from hub.server import keys
from producers.publisher import Publisher
from tests.dashboard.browser.conftest import OpenScreen
from tests.dashboard.browser.producing import portfolio
from tests.dashboard.browser.screen import Screen, kept_by_scripts
from tests.dashboard.browser.watch import REFUSED, Watch
from tests.support.brokers import eventually
from tests.support.livehub import LiveHub, token

pytestmark = pytest.mark.asyncio(loop_scope="package")

EQUITY = "10,168.1912"


async def cookie_of(context: BrowserContext) -> dict[str, object]:
    """The one cookie that the browser keeps."""
    [cookie] = await context.cookies()
    return dict(cookie)


async def history_of(page: Page) -> list[str]:
    """The addresses that the tab can go back to."""
    tools = await page.context.new_cdp_session(page)
    history = await tools.send("Page.getNavigationHistory")
    return [entry["url"] for entry in history["entries"]]


async def test_a_token_in_the_address_opens_the_page_and_is_nowhere_after(
    screen: Screen, watch: Watch
) -> None:
    """It is handed to the hub once, in the body of a request; what is kept is a cookie that no
    script can read. No storage, no address, no history and no frame has it."""
    shown = token()
    sent: list[str] = []
    screen.page.on("request", lambda request: sent.append(request.post_data or ""))
    frames: list[str] = []
    screen.page.on(
        "websocket",
        lambda socket: socket.on("framesent", lambda text: frames.append(str(text))),
    )
    await screen.log_in(shown)
    await expect(screen.equity).to_have_text(EQUITY)
    assert screen.page.url == f"{screen.url}/#/"
    assert [shown in body for body in sent if body] == [True]
    assert shown not in json.dumps(await kept_by_scripts(screen.page))
    # The browser's own list of what was opened begins with what was typed, without its fragment.
    assert not [url for url in await history_of(screen.page) if shown in url]
    assert not [url for url in watch.urls if shown in url.partition("#")[0]]
    assert frames
    assert not [text for text in frames if shown in text]
    cookie = await cookie_of(screen.page.context)
    assert (cookie["value"], cookie["httpOnly"], cookie["sameSite"]) == (shown, True, "Strict")


async def test_the_form_takes_a_token(screen: Screen) -> None:
    """Without one in the address the page asks for it; a reload needs none."""
    shown = token()
    await screen.page.goto(screen.url)
    await expect(screen.token_field).to_be_focused()
    await screen.fill_in(shown)
    await expect(screen.equity).to_have_text(EQUITY)
    assert shown not in json.dumps(await kept_by_scripts(screen.page))
    await screen.page.reload()
    await expect(screen.equity).to_have_text(EQUITY)
    await screen.is_live()


async def test_the_first_numbers_need_few_requests(screen: Screen, watch: Watch) -> None:
    """Four round trips, one after another, lead to the first numbers: the page, its script, the
    log-in, and then the list of channels beside the socket. That is why it is alive so soon. What
    it may command is asked after them."""
    await screen.log_in()
    await expect(screen.equity).to_have_text(EQUITY)
    asked = [urlsplit(url).path for url in watch.urls]
    assert [path.partition("-")[0] for path in asked[:3]] == ["/", *["/assets/index"] * 2]
    assert asked[3] == "/api/v1/session"
    needed = [path for path in asked[4:] if not path.startswith("/assets/icon")]
    assert set(needed[:2]) == {"/api/v1/channels", "/ws"}
    later = {path for path in needed[2:] if not path.endswith("/history")}
    assert later <= {"/api/v1/channels", "/api/v1/session"}


async def test_a_wrong_token_is_told(screen: Screen, watch: Watch) -> None:
    """Whoever shows a token that the hub does not take is told so, and can try another."""
    watch.forgive(REFUSED)
    await screen.page.goto(screen.url)
    await screen.fill_in("nonsense")
    await expect(screen.page.get_by_role("alert")).to_contain_text("does not take this token")
    assert await screen.page.context.cookies() == []
    await screen.fill_in(token())
    await screen.is_live()


async def test_whoever_leaves_is_out(screen: Screen, live: LiveHub) -> None:
    """Cookie, socket and numbers are gone, and a reload asks for a token."""
    await screen.log_in()
    await expect(screen.equity).to_have_text(EQUITY)
    await screen.page.get_by_role("button", name="Sign out").click()
    await expect(screen.token_field).to_be_visible()
    assert EQUITY not in await screen.page.content()
    await eventually(lambda: not live.hub.connections, "the socket is closed")
    await screen.page.reload()
    await expect(screen.token_field).to_be_visible()
    assert await screen.page.context.cookies() == []


async def test_an_ended_token_shows_the_log_in_again(screen: Screen) -> None:
    """Numbers that nobody vouches for any more leave the screen, and it says why."""
    await screen.page.goto(screen.url)
    await screen.fill_in(token(ttl_seconds=5))
    await expect(screen.equity).to_have_text(EQUITY)
    await expect(screen.token_field).to_be_visible()
    await expect(screen.page.get_by_role("alert")).to_contain_text("signed out")
    assert EQUITY not in await screen.page.content()
    await screen.fill_in(token())
    await expect(screen.equity).to_have_text(EQUITY)


async def test_a_revoked_key_shows_the_log_in_again(
    live: LiveHub, publisher: Publisher, open_screen: OpenScreen, watch: Watch, tmp_path: Path
) -> None:
    """The page that a key opened ends with it."""
    # The hub may refuse a request before it looks at who is connected.
    watch.forgive(REFUSED)
    path = tmp_path / "keys.json"
    key, kept = keys.mint_key("desk", ("*",), (), now=time.time())
    keys.add_key(path, kept)
    async with LiveHub(redis_url=live.settings.redis_url, keys_file=str(path)) as hub:
        screen = await open_screen(hub.url)
        await screen.log_in(key)
        await publisher.portfolio(portfolio("10200"))
        await expect(screen.equity).to_have_text("10,200.00")
        keys.revoke_key(path, kept.id)
        await expect(screen.token_field).to_be_visible()
        await expect(screen.page.get_by_role("alert")).to_contain_text("signed out")
        await screen.page.close()
