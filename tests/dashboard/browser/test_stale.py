"""A producer that is silent, on a connection that is well."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.async_api import expect

from producers.publisher import Publisher
from tests.cli.conftest import Command
from tests.dashboard.browser.conftest import OpenScreen
from tests.dashboard.browser.producing import PORTFOLIO
from tests.dashboard.browser.screen import Screen
from tests.support.livehub import LiveHub
from tests.support.valkey import Valkey

pytestmark = pytest.mark.asyncio(loop_scope="package")

AS_OF = re.compile(r"^as of \d\d:\d\d:\d\d, \d+ s ago$")
RECENT = re.compile(r"^just now$|^\d+ s ago$")
CHANNELS = ("portfolio", "positions", "status")


@contextmanager
def paper_agent(valkey: Valkey) -> Iterator[subprocess.Popen[str]]:
    """`tapecast produce paper`, whose numbers are good for 0.7 seconds."""
    command = Command({"TAPECAST_REDIS_URL": valkey.url})
    pace = ("--interval", "0.2", "--timeout", "0.5")
    process = command.start("produce", "paper", "--quiet", *pace, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def test_numbers_of_a_killed_producer_are_marked_stale(
    live: LiveHub, valkey: Valkey, open_screen: OpenScreen
) -> None:
    """Portfolio, positions and agent say as of when they are, and for how long, though the badge is
    live; the tab's title says that they are old. With another producer they are live again."""
    screen = await open_screen(live.url)
    with paper_agent(valkey) as agent:
        await screen.log_in()
        for channel in CHANNELS:
            await expect(screen.age(channel)).to_have_text(RECENT)
        agent.send_signal(signal.SIGKILL)
        for channel in CHANNELS:
            await expect(screen.panel(channel)).to_have_attribute("data-state", "stale")
            await expect(screen.age(channel)).to_have_text(AS_OF)
        await expect(screen.page).to_have_title(re.compile(r"^\(old\) "))
        await screen.is_live()
        await expect(screen.banner).to_be_hidden()
    with paper_agent(valkey):
        for channel in CHANNELS:
            await expect(screen.panel(channel)).to_have_attribute("data-state", "live")
            await expect(screen.age(channel)).to_have_text(RECENT)
        await expect(screen.page).not_to_have_title(re.compile("old"))


def seconds_of(age: str) -> int:
    """How long ago it was, of `as of 09:30:00, 4 s ago`."""
    return int(age.split()[-3])


async def test_age_is_counted_from_the_last_sign(screen: Screen, publisher: Publisher) -> None:
    """A stale number's age goes on, one channel's says nothing of another's, and a producer that
    says that nothing changed makes it live."""
    await screen.log_in()
    await publisher.portfolio(PORTFOLIO, lease=0.3)
    age = screen.age("portfolio")
    await expect(age).to_have_text(AS_OF)
    first = await age.inner_text()
    await expect(age).not_to_have_text(first)
    second = await age.inner_text()
    assert first.partition(",")[0] == second.partition(",")[0]
    assert seconds_of(first) < seconds_of(second)
    await expect(screen.panel("positions")).to_have_attribute("data-state", "live")
    await expect(screen.panel("portfolio").locator(".body")).to_have_css("filter", "saturate(0.3)")
    await publisher.touch("portfolio", lease=600)
    await expect(screen.panel("portfolio")).to_have_attribute("data-state", "live")
    await expect(screen.panel("portfolio").locator(".body")).to_have_css("filter", "none")
