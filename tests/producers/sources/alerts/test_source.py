"""producers/sources/alerts: rules that follow a real Valkey, and what stands in it then."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

from redis import Redis

from hub.protocol import keys
from hub.protocol.streams import Kind, Stream
from producers.publisher import Publisher
from tests.producers.payloads import portfolio, position
from tests.producers.redis_view import eventually, history
from tests.producers.sources.alerts.running import (
    LEASE_SECONDS,
    TIMING,
    alerts,
    made,
    publish_equity,
    running,
    until_active,
    until_alerts,
)
from tests.producers.sources.alerts.test_delivery import Shelf, ShelfOptions
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


async def test_an_outage_makes_nothing_fire(durable_valkey: Valkey) -> None:
    """Nobody could keep a channel fresh; what happened around it is seen, and told once."""
    silent = {"watch": "staleness", "channel": "portfolio", "seconds": 2}
    rules = {"dd": DRAWDOWN, "silent": silent}
    url = durable_valkey.url
    async with (
        running(made(url, rules), url),
        Publisher(url, timing=TIMING) as publisher,
    ):
        await until_active(durable_valkey)
        await publisher.portfolio(portfolio(equity=Decimal(10_000)), lease=1, wait=True)
        durable_valkey.kill()
        await asyncio.sleep(3.5)  # longer than the lease and the rule, which is what matters
        await asyncio.to_thread(durable_valkey.start)
        # As a producer that lives would, whose buffer held what it saw.
        await publisher.portfolio(portfolio(equity=Decimal(9_000)), lease=600, wait=True)
        await until_alerts(durable_valkey, ("dd", "firing"))
        await publisher.portfolio(portfolio(equity=Decimal(10_000)), lease=1, wait=True)
        # Now nobody does.
        expected = [("dd", "firing"), ("dd", "resolved"), ("silent", "firing")]
        await until_alerts(durable_valkey, *expected)


async def test_redis_that_comes_late_and_freezes(durable_valkey: Valkey) -> None:
    """Nothing is lost over the start of Redis, nor over a freeze that outlasts the lease."""
    url = durable_valkey.url
    durable_valkey.kill()
    async with running(made(url, {"dd": DRAWDOWN}), url):
        await asyncio.to_thread(durable_valkey.start)
        await until_active(durable_valkey)
        async with Publisher(url, timing=TIMING) as publisher:
            for equity in (10_000, 9_000):
                await publish_equity(publisher, equity)
            await until_alerts(durable_valkey, ("dd", "firing"))
            durable_valkey.freeze()
            await asyncio.sleep(2 * LEASE_SECONDS)  # it counts that long without an answer
            durable_valkey.thaw()
            for equity in (10_000, 9_000):
                await publish_equity(publisher, equity)
            expected = [("dd", "firing"), ("dd", "resolved"), ("dd", "firing")]
            await until_alerts(durable_valkey, *expected)
    # Nobody else was there.
    assert history(durable_valkey, "health:alerts.standby") == []


async def test_channels_that_a_pattern_takes(valkey: Valkey) -> None:
    """Each that is there, and each that comes, by itself; tables row by row, events in a log."""
    rules: dict[str, Any] = {
        "low": {"watch": "field", "channel": "portfolio:*", "field": "equity", "op": "<",
                "limit": 1000},
        "errors": {"watch": "events", "channel": "agent", "events": ["error"], "count": 2},
        "loss": {"watch": "field", "channel": "positions", "field": "unrealized_pnl", "op": "<",
                 "limit": 0, "title": "{row}: {value}"},
        "there": {"watch": "staleness", "channel": "status", "seconds": 1},
    }  # fmt: skip
    async with Publisher(valkey.url) as publisher:
        await publish_equity(publisher, 1, channel="portfolio:a")
        await publisher.agent_event("error", {"n": 0}, wait=True)
        async with running(made(valkey.url, rules), valkey.url):
            await until_active(valkey)
            await publish_equity(publisher, 2, channel="portfolio:b")
            for n in (1, 2):
                await publisher.agent_event("error", {"n": n}, wait=True)
            rows = {"p-1": Decimal("-1.50"), "p-2": Decimal(3)}
            await publisher.positions(
                [position(id, unrealized_pnl=pnl) for id, pnl in rows.items()], wait=True
            )
            await eventually(lambda: len(alerts(valkey)) == 5, "five alerts")
            await publisher.positions([position("p-2", unrealized_pnl=Decimal(3))], wait=True)
            await eventually(lambda: len(alerts(valkey)) == 6, "one that is over")
    told = [data for _event, data in history(valkey, "alerts")]
    assert sorted(data["title"] for data in told) == [
        "Resolved: p-1: -1.5", "agent: 2 x error", "p-1: -1.5", "portfolio:a: equity is 1",
        "portfolio:b: equity is 2", "status is stale",
    ]  # fmt: skip


async def test_a_channel_of_another_kind_than_a_log(valkey: Valkey) -> None:
    """Rules that can't publish are down, with the reason."""
    async with Publisher(valkey.url) as publisher:
        streams = {"alerts": Stream(Kind.VALUE)}
        async with Publisher(valkey.url, streams=streams) as other:
            await other.publish("alerts", "x", 1, wait=True)
        await publish_equity(publisher, 10_000)
        async with running(made(valkey.url, {"dd": DRAWDOWN}), valkey.url):
            await until_active(valkey)
            await publish_equity(publisher, 1)

            def reason() -> str:
                component = history(valkey, "health:alerts")[-1][1]["components"]["rules"]
                return str(component["detail"])

            await eventually(lambda: "alerts is a value, not a log" in reason(), "the reason")


async def test_what_can_not_begin_says_so(valkey: Valkey) -> None:
    """Where Redis refuses, the source is down with the reason, and is tried again."""
    sinks = {"desk": ShelfOptions(shelf=Shelf())}
    with Redis.from_url(valkey.url) as redis:
        # What was put there by hand is no place for marks.
        redis.set(keys.sinks("alerts", "alerts"), "x")
        async with running(made(valkey.url, {"dd": DRAWDOWN}, sinks), valkey.url):

            def reason() -> str:
                found = history(valkey, "health:alerts")
                return str(found[-1][1]["components"]["source"]["detail"]) if found else ""

            await eventually(lambda: "Redis refuses" in reason(), "the reason")
            redis.delete(keys.sinks("alerts", "alerts"))
            await until_active(valkey)
