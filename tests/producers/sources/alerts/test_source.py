"""producers/sources/alerts: rules that follow a real Valkey, and what stands in it then."""

from __future__ import annotations

from typing import Any

from producers.publisher import Publisher
from tests.producers.redis_view import history
from tests.producers.sources.alerts.running import (
    alerts,
    made,
    publish_equity,
    running,
    until_active,
    until_alerts,
)
from tests.support.valkey import Valkey

DRAWDOWN: dict[str, Any] = {
    "watch": "drawdown", "channel": "portfolio", "limit": 5, "clear": 3, "window": "start",
    "severity": "critical",
}  # fmt: skip


async def test_a_drawdown_fires_and_resolves(valkey: Valkey) -> None:
    """From the peak; each once, with the words that people need, and the same incident."""
    async with running(made(valkey.url, {"dd": DRAWDOWN}), valkey.url):
        await until_active(valkey)
        async with Publisher(valkey.url) as publisher:
            for equity in (10_000, 9_600, 9_400, 9_450, 9_600):
                await publish_equity(publisher, equity)
            await until_alerts(valkey, ("dd", "firing"))
            await publish_equity(publisher, 9_800)
            await until_alerts(valkey, ("dd", "firing"), ("dd", "resolved"))
    (event, fired), (_, resolved) = history(valkey, "alerts")
    assert event == "alert"
    assert fired["severity"] == resolved["severity"] == "critical"
    assert fired["title"] == "portfolio: drawdown of 6%"
    assert resolved["title"] == "Resolved: portfolio: drawdown of 6%"
    assert (fired["value"], fired["limit"], resolved["value"]) == ("6", "5", "2")
    assert fired["detail"].startswith("equity 9400, peak 10000")
    assert fired["incident"] == resolved["incident"]
    assert fired["incident"].startswith("dd:portfolio:")


async def test_a_restart_neither_repeats_nor_forgets(valkey: Valkey) -> None:
    """What fires goes on firing, the peak is known, and what happened meanwhile is seen."""
    async with Publisher(valkey.url) as publisher:
        async with running(made(valkey.url, {"dd": DRAWDOWN}), valkey.url):
            await until_active(valkey)
            for equity in (10_000, 9_000):
                await publish_equity(publisher, equity)
            await until_alerts(valkey, ("dd", "firing"))
        await publish_equity(publisher, 12_000)
        await publish_equity(publisher, 11_700)
        async with running(made(valkey.url, {"dd": DRAWDOWN}), valkey.url):
            # The peak of 12,000 was seen by nobody but the stream.
            await until_alerts(valkey, ("dd", "firing"), ("dd", "resolved"))
            await publish_equity(publisher, 11_400)
            expected = [("dd", "firing"), ("dd", "resolved"), ("dd", "firing")]
            await until_alerts(valkey, *expected)
    assert alerts(valkey) == expected
