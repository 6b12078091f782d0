"""Takes the pictures of the dashboard: `python -m tests.dashboard.browser.screenshots`.

A hub and the paper agent run for a while; then every state of the page is photographed. Those that
documents show are kept in docs/images, or all of them in a folder where one is named.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

from playwright.async_api import Browser, expect

from benchmarks import chromium
from dashboard import shipping
from dashboard.node import ROOT
from tests.cli.conftest import Command, RunningHub
from tests.dashboard.browser.screen import Screen
from tests.support.chromium import running
from tests.support.livehub import token
from tests.support.valkey import Valkey

IMAGES = ROOT / "docs" / "images"
KEPT = {
    "dark": "page.png",
    "light": "page-light.png",
    "phone": "page-phone.png",
    "hub": "page-hub.png",
    "stale": "page-stale.png",
    "question": "page-question.png",
}
"""What the documents show, by the names that it has there."""

DESK = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
AGENT_SECONDS = 90.0
"""The agent's time for a course that is worth a look."""
HUB_SECONDS = 45.0
"""The hub's, for the charts of its page."""


class Place(NamedTuple):
    """Who is photographed."""

    browser: Browser
    hub: RunningHub
    agent: subprocess.Popen[str]
    folder: Path

    async def shoot(self, screen: Screen, name: str) -> None:
        """Keep what is seen, once nothing moves."""
        path = self.folder / f"{name}.png"
        await screen.page.screenshot(path=path, animations="disabled")
        _say(f"{path.name}: {path.stat().st_size // 1000} kB")

    @contextlib.asynccontextmanager
    async def screen(self, url: str | None = None, **options: Any) -> AsyncIterator[Screen]:
        """An empty tab, of a desk in the dark where nothing else is asked for."""
        context = await self.browser.new_context(
            **{"viewport": DESK, "color_scheme": "dark", "reduced_motion": "reduce", **options}
        )
        yield Screen(await context.new_page(), url or self.hub.url)
        await context.close()


async def shoot_pages(at: Place) -> None:
    """Live, in every colour and size, and the other pages."""
    looks: dict[str, dict[str, Any]] = {
        "dark": {},
        "light": {"color_scheme": "light"},
        "phone": {"viewport": PHONE},
    }
    for name, options in looks.items():
        async with at.screen(**options) as screen:
            await _look(screen)
            await at.shoot(screen, name)
    async with at.screen() as screen:
        await _look(screen)
        await screen.go_to("Hub")
        await asyncio.sleep(HUB_SECONDS)
        await at.shoot(screen, "hub")
        await screen.go_to("Developer")
        await expect(screen.page.get_by_label("Frames, newest first")).to_contain_text("update")
        await at.shoot(screen, "developer")


async def shoot_questions(at: Place) -> None:
    """What is asked before a command is sent."""
    async with at.screen(viewport=PHONE) as screen:
        await _look(screen)
        await screen.page.get_by_role("button", name="Emergency stop").click()
        confirm = screen.page.get_by_role("button", name="and stop")
        await expect(confirm).to_be_enabled()
        await at.shoot(screen, "question")


async def shoot_troubles(at: Place) -> None:
    """A producer that is silent, and a hub that is gone."""
    async with at.screen() as screen:
        await _look(screen)
        at.agent.send_signal(signal.SIGSTOP)
        await expect(screen.panel("portfolio")).to_have_attribute("data-state", "stale")
        await asyncio.sleep(3)
        await at.shoot(screen, "stale")
        at.agent.send_signal(signal.SIGCONT)
        await expect(screen.panel("portfolio")).to_have_attribute("data-state", "live")
        at.hub.kill()
        await screen.is_in("reconnecting")
        await asyncio.sleep(3)
        await at.shoot(screen, "disconnected")
    at.hub.start()


async def shoot_doors(at: Place) -> None:
    """Nobody is in yet; a token was refused; and nothing was published."""
    async with at.screen() as screen:
        await screen.page.goto(screen.url)
        await at.shoot(screen, "log-in")
        await screen.fill_in("nonsense")
        await expect(screen.page.get_by_role("alert")).to_contain_text("does not take this token")
        await at.shoot(screen, "unauthorised")
    with Valkey() as valkey:
        hub = RunningHub(valkey)
        hub.start()
        async with at.screen(hub.url) as screen:
            await screen.log_in()
            await expect(screen.page.get_by_text("No channels yet")).to_be_visible()
            await at.shoot(screen, "empty")
        hub.kill()


async def _look(screen: Screen) -> None:
    await screen.log_in(token(command=["*"]))
    await expect(screen.decisions.nth(10)).to_be_visible()
    await expect(screen.positions.first).to_be_visible()
    # What the chart draws of the past comes a moment later.
    await asyncio.sleep(2)


async def shoot(folder: Path) -> None:
    """All of it, into a folder."""
    path = chromium.find()
    if path is None:
        raise SystemExit("needs Chromium")
    shipping.ship(ROOT, {shipping.VARIABLE: "require"}, _say)
    with contextlib.ExitStack() as stack:
        valkey = stack.enter_context(Valkey())
        hub = RunningHub(valkey)
        hub.start()
        stack.callback(hub.kill)
        command = Command({"TAPECAST_REDIS_URL": valkey.url})
        agent = command.start("produce", "paper", "--quiet", "--interval", "0.25")
        stack.callback(agent.wait)
        stack.callback(agent.kill)
        _say(f"the agent trades for {AGENT_SECONDS:.0f} s ...")
        await asyncio.sleep(AGENT_SECONDS)
        async with running(path) as browser:
            at = Place(browser, hub, agent, folder)
            await shoot_pages(at)
            await shoot_questions(at)
            await shoot_troubles(at)
            await shoot_doors(at)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main() -> None:
    """Read the options, take the pictures, keep those that are wanted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--all", type=Path, metavar="FOLDER", help="keep all of them, here")
    everything: Path | None = parser.parse_args().all
    if everything is not None:
        everything.mkdir(parents=True, exist_ok=True)
        asyncio.run(shoot(everything))
        return
    with tempfile.TemporaryDirectory(prefix="tapecast-") as folder:
        asyncio.run(shoot(Path(folder)))
        for name, kept in KEPT.items():
            shutil.copy(Path(folder, f"{name}.png"), IMAGES / kept)


if __name__ == "__main__":
    main()
