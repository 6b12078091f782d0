"""Alerts that run within a test: a worker with the source, and what it published."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from typing import Any

from hub.protocol.streams import KNOWN
from producers.link import Timing
from producers.publisher import Publisher
from producers.sources.alerts import AlertsSource
from producers.sources.alerts.rules import read_rules
from producers.sources.alerts.sinks.base import SinkOptions, Surroundings
from producers.worker import Worker
from tests.producers.payloads import portfolio
from tests.producers.redis_view import eventually, history
from tests.support.valkey import Valkey

TIMING = Timing(connect_seconds=0.2, answer_seconds=0.2, longest_pause_seconds=0.1)
LEASE_SECONDS = 1.0


def made(
    url: str,
    rules: Mapping[str, Any],
    sinks: Mapping[str, SinkOptions] | None = None,
    environ: Mapping[str, str] | None = None,
) -> AlertsSource:
    """The source that these tables make."""
    return AlertsSource(
        read_rules(rules, "alerts", KNOWN),
        sinks or {},
        Surroundings(environ or {}, url),
        lease_seconds=LEASE_SECONDS,
    )


@contextlib.asynccontextmanager
async def running(source: AlertsSource, url: str) -> AsyncIterator[None]:
    """A worker that runs it, and is stopped at the end."""
    async with Publisher(url, name="alerts", timing=TIMING) as publisher:
        worker = Worker(source, publisher, first_pause=0.01)
        task = asyncio.create_task(worker.run())
        try:
            yield
        finally:
            worker.stop()
            async with asyncio.timeout(20):
                await task


async def publish_equity(
    publisher: Publisher, equity: object, *, channel: str = "portfolio"
) -> None:
    """Publish an account with this equity, and wait until it is stored."""
    account = portfolio(equity=Decimal(str(equity)))
    await publisher.portfolio(account, channel=channel, lease=60, wait=True)


def alerts(valkey: Valkey) -> list[tuple[str, str]]:
    """What rules published, as rule and state, in order."""
    return [(data["rule"], data["state"]) for _event, data in history(valkey, "alerts")]


async def until_alerts(valkey: Valkey, *expected: tuple[str, str]) -> None:
    """Return when these are published, in this order and no others."""
    await eventually(lambda: len(alerts(valkey)) >= len(expected), f"{expected}")
    assert alerts(valkey) == list(expected)


async def until_active(valkey: Valkey) -> None:
    """Return when the rules are evaluated: what is published from now on is seen."""

    def is_well() -> bool:
        found = history(valkey, "health:alerts")
        return bool(found) and "rules" in found[-1][1]["components"]

    await eventually(is_well, "rules that are evaluated")
