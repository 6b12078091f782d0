"""A thousand updates a second: what the page does is bounded, and what it shows is right."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import CDPSession, expect

from benchmarks.desk import Desk, publish
from producers.publisher import Publisher
from tests.dashboard.browser.producing import grouped
from tests.dashboard.browser.screen import Screen

pytestmark = pytest.mark.asyncio(loop_scope="package")

RATE = 1000
UPDATES = 10_000
WARM_UPDATES = 4_000
"""After these most lists that are bounded are full."""
KEPT_DECISIONS = 300

RENDERS_A_SECOND = 10
GROWTH = {"heap_bytes": 2_000_000, "objects": 4_000, "elements": 40, "listeners": 40}
"""What the page may hold more after 6,000 updates, some 3,000 frames; a leak of each frame is more.
Of the heap most is compiled code, which comes and goes."""

COUNT_RENDERS = """() => {
    window.renders = { equity: 0, feed: 0 };
    const count = (name, element) => new MutationObserver(() => { window.renders[name] += 1; })
        .observe(element, { characterData: true, childList: true, subtree: true });
    count("equity", document.querySelector(".headline .amount"));
    count("feed", document.querySelector(".feed"));
    window.countedFrom = performance.now();
}"""


@pytest.mark.timeout(60)
async def test_a_thousand_updates_a_second(screen: Screen, publisher: Publisher) -> None:
    """Whatever comes, the page renders ten times a second at most, holds as much as before, and
    ends with the newest of all."""
    desk = Desk(publisher)
    await desk.furnish()
    await screen.log_in()
    await expect(screen.panel("positions")).to_contain_text("PAIR000")
    await publish(desk, RATE, WARM_UPDATES)
    before = await kept(screen)
    await screen.page.evaluate(COUNT_RENDERS)

    await publish(desk, RATE, UPDATES - WARM_UPDATES)

    await expect(screen.decisions.first).to_contain_text(f"Decision {desk.decisions}")
    await expect(screen.equity).to_have_text(grouped(desk.equity, places=2))
    seconds = await screen.page.evaluate("(performance.now() - window.countedFrom) / 1000")
    renders = await screen.page.evaluate("window.renders")
    assert 0 < renders["equity"] <= RENDERS_A_SECOND * seconds + 2
    assert 0 < renders["feed"] <= RENDERS_A_SECOND * seconds + 2
    after = await kept(screen)
    for name, growth in GROWTH.items():
        assert after[name] <= before[name] + growth, name

    prices = {row[0]: row[4] for row in await screen.table()}
    assert prices == {
        row.asset_pair: grouped(row.current_price)
        for row in list(desk.rows.values())[: len(prices)]
    }
    told = [text.rpartition(" ")[2] for text in await screen.decided()]
    newest = desk.decisions
    assert told == [str(n) for n in range(newest, newest - KEPT_DECISIONS, -1)]


async def kept(screen: Screen) -> dict[str, Any]:
    """What the page holds once all that is garbage is collected."""
    tools = await screen.devtools()
    await tools.send("Performance.enable")
    await tools.send("HeapProfiler.collectGarbage")
    metrics = (await tools.send("Performance.getMetrics"))["metrics"]
    values = {each["name"]: each["value"] for each in metrics}
    objects = await count_objects(tools)
    await tools.detach()
    return {
        "heap_bytes": values["JSHeapUsedSize"],
        "objects": objects,
        "listeners": values["JSEventListeners"],
        "elements": await screen.page.locator("*").count(),
    }


async def count_objects(tools: CDPSession) -> int:
    """How many plain objects the page's scripts hold."""
    of = await tools.send("Runtime.evaluate", {"expression": "Object.prototype"})
    asked = {"prototypeObjectId": of["result"]["objectId"]}
    found = (await tools.send("Runtime.queryObjects", asked))["objects"]
    counting = {"functionDeclaration": "function () { return this.length; }", "returnByValue": True}
    counted = await tools.send(
        "Runtime.callFunctionOn", {"objectId": found["objectId"], **counting}
    )
    count: int = counted["result"]["value"]
    return count
