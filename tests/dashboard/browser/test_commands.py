"""The buttons that command an agent, from the press to what the agent did."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import redis
from playwright.async_api import Locator, Page, expect

from hub.protocol import keys
from hub.protocol.command_calls import Worker
from hub.protocol.envelope import decode_envelope
from producers.publisher import Publisher
from tests.cli.conftest import RunningHub
from tests.dashboard.browser.conftest import OpenScreen
from tests.dashboard.browser.obeying import Trader
from tests.dashboard.browser.producing import position
from tests.dashboard.browser.screen import Screen
from tests.dashboard.browser.test_accessibility import CUT_OFF, DESK, PHONE, violations, width_of
from tests.dashboard.browser.test_stale import paper_agent
from tests.dashboard.browser.watch import HUB_IS_AWAY, Watch
from tests.support.command_desk import CHANNEL
from tests.support.command_desk import Desk as CommandDesk
from tests.support.livehub import LiveHub, token
from tests.support.valkey import Valkey

pytestmark = pytest.mark.asyncio(loop_scope="package")


class Desk:
    """A page that may command, and what it says of commands."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.page: Page = screen.page
        self.commands = self.page.get_by_role("region", name="Commands to the agent")
        self.progress = self.page.get_by_role("status", name="The last command")
        self.stopping = self.page.get_by_role("status", name="The emergency stop")
        self.closing = self.page.get_by_role("status", name="The last position to close")
        self.dialog = self.page.locator("dialog")
        self.warning = self.dialog.get_by_role("alert")
        self.listed = self.page.get_by_label("Commands, newest first").get_by_role("listitem")

    def button(self, name: str | re.Pattern[str]) -> Locator:
        return self.page.get_by_role("button", name=name, exact=isinstance(name, str))

    async def press(self, *names: str) -> None:
        """Press one button after the other, each as soon as it can be pressed."""
        for name in names:
            await self.button(name).click()


async def opened(open_screen: OpenScreen, url: str, **options: Any) -> Desk:
    """Somebody who may command is in."""
    desk = Desk(await open_screen(url, **options))
    await desk.screen.log_in(token(subject="ann", command=["*"]))
    return desk


@pytest_asyncio.fixture(loop_scope="package")
async def trader(valkey: Valkey) -> AsyncIterator[Trader]:
    """An agent at work."""
    async with Publisher(valkey.url, name="trader") as publisher:
        trader = Trader(publisher)
        async with trader.works():
            yield trader


def sent_to(valkey: Valkey, channel: str = "commands") -> list[str]:
    """The events of an agent's log, in order."""
    with redis.Redis.from_url(valkey.url) as client:
        found: Any = client.xrange(keys.log(channel))
    return [decode_envelope(channel, fields[b"e"]).event for _, fields in found]


async def test_the_paper_agent_obeys_the_page(
    live: LiveHub, valkey: Valkey, open_screen: OpenScreen
) -> None:
    """Paused, resumed, set otherwise and stopped at once with all its positions, as its panels and
    the list of commands say."""
    desk = await opened(open_screen, live.url)
    agent = desk.screen.panel("status")
    with paper_agent(valkey):
        await expect(desk.screen.positions.first).to_be_visible()
        await desk.press("Pause", "Pause it")
        await expect(desk.progress).to_contain_text("done state PAUSED")
        await expect(agent.locator("header")).to_contain_text("PAUSED")
        await desk.press("Resume", "Resume it")
        await expect(agent.locator("header")).to_contain_text("RUNNING")
        await agent.get_by_text("Settings").click()
        await desk.page.get_by_label("Setting", exact=True).select_option("min_confidence")
        await desk.page.get_by_label("Value").fill("101")
        await desk.press("Change", "Set it to 101")
        await expect(desk.progress).to_contain_text("expected a whole number from 0 to 100")
        await desk.press("Emergency stop")
        await desk.button(re.compile("and stop$")).click()
        await expect(agent.locator("header")).to_contain_text("STOPPED")
        await expect(desk.screen.panel("positions")).to_contain_text("No open positions")
    await expect(desk.listed.first).to_contain_text(re.compile(r"^doneEmergency stop.*by ann"))
    await expect(desk.listed).to_contain_text(
        ["Emergency stop", "Change settings", "Resume", "Pause"]
    )


async def test_a_position_is_closed(live: LiveHub, trader: Trader, open_screen: OpenScreen) -> None:
    """The dialog names it as it is; then its row goes, and the others stay."""
    desk = await opened(open_screen, live.url)
    await expect(desk.screen.positions).to_have_count(2)
    await desk.press("Close PAIR001")
    await expect(desk.dialog).to_contain_text("Close PAIR001?")
    for fact in ("LONG", "1.50", "100.25", "Paper"):
        await expect(desk.dialog).to_contain_text(re.compile(fact, re.IGNORECASE))
    assert trader.done == []
    await desk.press("Close PAIR001 now")
    await expect(desk.screen.positions).to_have_count(1)
    await expect(desk.screen.positions).to_contain_text("PAIR003")
    await expect(desk.closing).to_contain_text("Close PAIR001 done At 100.25")
    assert trader.done == [("position.close", {"id": "p1"})]


async def test_what_the_agent_refuses_says_why(
    live: LiveHub, trader: Trader, open_screen: OpenScreen
) -> None:
    """A command that failed shows the agent's reason in its place, and changes nothing."""
    desk = await opened(open_screen, live.url)
    await desk.press("Close PAIR003", "Close PAIR003 now")
    await expect(desk.closing).to_contain_text("failed the market of PAIR003 is closed")
    await expect(desk.screen.positions).to_have_count(2)
    await expect(desk.listed.first).to_contain_text("by ann: the market of PAIR003 is closed")


async def test_steps_are_shown_as_they_come(
    live: LiveHub, trader: Trader, open_screen: OpenScreen
) -> None:
    """While an agent is at it the page says who; a second tab sees the same in its list."""
    desk = await opened(open_screen, live.url)
    other = await opened(open_screen, live.url)
    trader.may_go_on.clear()
    await desk.press("Stop", "Stop it")
    await expect(desk.progress).to_contain_text(re.compile(r"accepted Begun by trader\S*@"))
    await expect(other.listed).to_contain_text(["acceptedStop"])
    trader.may_go_on.set()
    await expect(desk.progress).to_contain_text("done state STOPPED")
    await expect(desk.button("Stop")).to_be_disabled()
    await expect(other.listed).to_contain_text(["doneStop"])


async def test_a_double_click_sends_once(
    live: LiveHub, valkey: Valkey, trader: Trader, open_screen: OpenScreen
) -> None:
    """Neither on the button that asks, whose second click may come upon the one that sends, nor on
    that one."""
    desk = await opened(open_screen, live.url)
    await desk.button("Emergency stop").dblclick()
    await expect(desk.dialog).to_be_visible()
    # The one that sends, where the first was.
    await desk.button("Close 2 positions and stop").dblclick()
    await expect(desk.stopping).to_contain_text("done state STOPPED")
    assert [event for event, _ in trader.done] == ["emergency.stop"]
    assert sent_to(valkey) == ["emergency.stop", "command.accepted", "command.done"]
    await expect(desk.dialog).to_have_count(0)


async def test_a_command_that_nobody_began_expires(
    live: LiveHub, valkey: Valkey, open_screen: OpenScreen
) -> None:
    """An agent that listens and takes nothing, here that of an account: the page says that nothing
    was done."""
    async with Publisher(valkey.url) as publisher:
        await Trader(publisher, "desk-7").show()
    with redis.Redis.from_url(valkey.url) as client:
        agent = CommandDesk(client)
        agent.worker = Worker(CHANNEL, "busy", 1_000, lease_ms=60_000, listens_ms=600_000)
        agent.take()
        desk = await opened(open_screen, live.url)
        await desk.press("Pause", "Pause it")
        await expect(desk.progress).to_contain_text("sent The hub has it")
        waiting: Any = client.hkeys(keys.open_commands(CHANNEL))
        agent.let_it_expire(waiting[0].decode())
        await expect(desk.progress).to_contain_text("expired No agent began it in time")
    assert sent_to(valkey, CHANNEL) == ["agent.pause", "command.expired"]


async def test_an_emergency_stop_waits_for_an_agent(
    live: LiveHub, valkey: Valkey, open_screen: OpenScreen
) -> None:
    """Where no agent listens every button says so, to screen readers too. An emergency stop can be
    given all the same, and is done by the agent that comes."""
    async with Publisher(valkey.url) as publisher:
        trader = Trader(publisher)
        await trader.show()
        desk = await opened(open_screen, live.url)
        await expect(desk.commands).to_contain_text("No agent listens.")
        for name in ("Start", "Pause", "Resume", "Stop"):
            await expect(desk.button(name)).to_be_disabled()
            await expect(desk.button(name)).to_have_accessible_description("No agent listens.")
        await expect(desk.button("Close PAIR001: No agent listens.")).to_be_disabled()
        await desk.press("Emergency stop")
        await expect(desk.warning).to_contain_text("No agent listens now")
        await desk.press("Close 2 positions and stop")
        await expect(desk.stopping).to_contain_text("sent The hub has it")
        async with trader.works():
            await expect(desk.stopping).to_contain_text("done state STOPPED")
            await expect(desk.screen.panel("positions")).to_contain_text("No open positions")


async def test_who_may_not_command_is_offered_nothing(
    live: LiveHub, trader: Trader, open_screen: OpenScreen
) -> None:
    """A token that reads and publishes everything shows the page without a button; one of another
    agent too, and what the first agent is told it sees where it may read that."""
    for command in ([], ["commands:desk-7"]):
        screen = await open_screen(live.url)
        await screen.log_in(token(command=command))
        await expect(screen.positions).to_have_count(2)
        desk = Desk(screen)
        await expect(desk.commands).to_have_count(0)
        await expect(desk.button(re.compile("Close"))).to_have_count(0)
    commander = await opened(open_screen, live.url)
    await commander.press("Pause", "Pause it")
    await expect(desk.listed).to_contain_text(["donePause"])


async def test_a_command_survives_its_hub(
    killable: RunningHub, valkey: Valkey, trader: Trader, open_screen: OpenScreen, watch: Watch
) -> None:
    """A hub that is killed while it sends: the page says that nobody knows, and, once there is a
    hub again, what became of it. The agent did it once."""
    watch.forgive(HUB_IS_AWAY)
    desk = await opened(open_screen, killable.url)
    await desk.press("Pause")
    await expect(desk.button("Pause it")).to_be_enabled()
    valkey.freeze()
    await desk.press("Pause it")
    await expect(desk.button("Sending …")).to_be_visible()
    killable.kill()
    await expect(desk.warning).to_contain_text("not known whether the hub has it")
    valkey.thaw()
    await asyncio.to_thread(killable.start)
    await expect(desk.progress).to_contain_text("done state PAUSED")
    await expect(desk.dialog).to_have_count(0)
    assert [event for event, _ in trader.done] == ["agent.pause"]
    assert sent_to(valkey) == ["agent.pause", "command.accepted", "command.done"]


async def test_a_machine_that_slept_sends_nothing_old(
    killable: RunningHub, valkey: Valkey, trader: Trader, open_screen: OpenScreen, watch: Watch
) -> None:
    """What could not be sent an hour ago is not sent when the connection is back, and the page says
    that nothing was done."""
    watch.forgive(HUB_IS_AWAY)
    desk = await opened(open_screen, killable.url)
    await expect(desk.screen.positions).to_have_count(2)
    killable.kill()
    await desk.screen.is_in("reconnecting")
    await expect(desk.commands).to_contain_text("Not connected to the hub.")
    await desk.press("Emergency stop", "Close 2 positions and stop")
    await expect(desk.warning).to_contain_text("No connection: it is tried until")
    await desk.page.evaluate("""() => {
        const now = Date.now;
        Date.now = () => now.call(Date) + 3_600_000;
    }""")
    await asyncio.to_thread(killable.start)
    await desk.screen.is_live()
    await expect(desk.warning).to_contain_text("Not sent")
    await desk.press("Back")
    await expect(desk.stopping).to_contain_text("unsent Not sent")
    assert trader.done == []
    assert sent_to(valkey) == []


async def test_old_numbers_confirm_nothing_but_an_emergency_stop(
    live: LiveHub, trader: Trader, open_screen: OpenScreen
) -> None:
    """Where the positions' producer is silent the dialog says as of when they are, and can't be
    confirmed; where it is back it can."""
    desk = await opened(open_screen, live.url)
    await desk.press("Close PAIR001")
    confirm = desk.button("Close PAIR001 now")
    await expect(confirm).to_be_enabled()
    await trader.publisher.positions([position(1), position(3)], lease=0.2)
    await expect(desk.warning).to_have_text("What is shown is old.")
    await expect(desk.dialog.locator(".age")).to_contain_text("as of")
    await expect(confirm).to_be_disabled()
    await trader.publisher.touch("positions", lease=600)
    await expect(desk.dialog.locator(".warning")).to_have_text("")
    await expect(confirm).to_be_enabled()


async def test_by_the_keyboard_alone(
    live: LiveHub, trader: Trader, open_screen: OpenScreen
) -> None:
    """The focus goes into the dialog, upon what does the least; stays there; and is back where it
    was. Escape sends nothing."""
    desk = await opened(open_screen, live.url)
    keyboard = desk.page.keyboard
    await expect(desk.screen.positions).to_have_count(2)
    close = desk.button("Close PAIR001")
    await close.focus()
    await keyboard.press("Enter")
    await expect(desk.button("Cancel")).to_be_focused()
    await keyboard.press("Escape")
    await expect(desk.dialog).to_have_count(0)
    await expect(close).to_be_focused()

    pause = desk.button("Pause")
    await pause.focus()
    await keyboard.press("Space")
    confirm = desk.button("Pause it")
    await expect(confirm).to_be_enabled()
    within = (
        "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
    )
    for _ in range(4):
        await keyboard.press("Tab")
        assert await desk.page.evaluate(within)
    await confirm.focus()
    await keyboard.press("Enter")
    await expect(desk.progress).to_contain_text("done state PAUSED")
    await expect(pause).to_be_focused()
    assert [event for event, _ in trader.done] == ["agent.pause"]

    await close.focus()
    await keyboard.press("Enter")
    await expect(desk.button("Close PAIR001 now")).to_be_enabled()
    await keyboard.press("Tab")
    await keyboard.press("Enter")
    await expect(close).to_have_count(0)
    await expect(desk.page.locator("#main")).to_be_focused()


@pytest.mark.parametrize("colours", ["dark", "light"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
async def test_axe_finds_nothing_in_dialogs(
    live: LiveHub,
    trader: Trader,
    open_screen: OpenScreen,
    colours: str,
    size: dict[str, int],
) -> None:
    """Nor does anything lie beside a phone: the buttons, each dialog, and what became of it."""
    desk = await opened(open_screen, live.url, color_scheme=colours, viewport=size, bypass_csp=True)
    page = desk.page
    await expect(desk.screen.positions).to_have_count(2)
    found = {"buttons": await violations(page)}
    widths = {"buttons": await width_of(page)}
    confirms = {
        "Pause": "Pause it",
        "Close PAIR003": "Close PAIR003 now",
        "Emergency stop": "Close 2 positions and stop",
    }
    for name, confirm in confirms.items():
        await desk.press(name)
        found[name] = await violations(page)
        await expect(desk.button(confirm)).to_be_enabled()
        found[confirm] = await violations(page)
        widths[name] = await width_of(page)
        assert await page.evaluate(CUT_OFF) == []
        if name == "Emergency stop":
            break
        await desk.press(confirm)
        await expect(desk.dialog).to_have_count(0)
    await trader.publisher.positions([position(1), position(3)], lease=0.2)
    await expect(desk.warning).to_contain_text("What is shown is old")
    found["old"] = await violations(page)
    await desk.press("Cancel")
    await expect(desk.closing).to_contain_text("failed")
    await expect(desk.progress).to_contain_text("done")
    await page.get_by_text("Settings", exact=True).click()
    found["outcome"] = await violations(page)
    widths["outcome"] = await width_of(page)
    assert {state: each for state, each in found.items() if each} == {}
    assert {state: width for state, width in widths.items() if width > size["width"]} == {}
