"""docs/alerts.md says what the code does of Web Push."""

from __future__ import annotations

import re
import time
from typing import Any

import msgspec
import pytest

from hub.broker.base import BrokerUnavailableError
from hub.broker.redis import RedisBroker
from hub.protocol.push import KNOWN_SERVICES, MAX_OF_SUBJECT, MAX_SUBSCRIPTIONS
from hub.server.pushing import SWEEP_SECONDS
from producers.events import Alert, Severity
from producers.sources.alerts.sinks.base import Notice, Surroundings
from producers.sources.alerts.sinks.kinds import read_sinks
from producers.sources.alerts.sinks.push_crypto import new_keys
from producers.sources.alerts.sinks.web_push import (
    MAX_BUSY_SECONDS,
    MAX_DETAIL,
    MAX_TITLE,
    URGENCY,
    WebPushOptions,
)
from tests.docs.pages import blocks, page
from tests.docs.test_operations import administer, denied, set_up_users, url_of
from tests.support.push_service import push_service
from tests.support.valkey import Valkey

TEXT = page("docs/alerts.md")


def test_figures_are_those_of_the_code() -> None:
    """Each number, host and name."""
    for phrase in (
        f"hubs look every {SWEEP_SECONDS:.0f} s",
        f"A subject has at most {MAX_OF_SUBJECT} subscriptions",
        f"a Redis at most {MAX_SUBSCRIPTIONS}.",
        f"title ({MAX_TITLE} characters at most) and detail ({MAX_DETAIL})",
        f"`{URGENCY[Severity.CRITICAL]}` for critical, `{URGENCY[Severity.WARNING]}` for a warning",
        f", `{URGENCY[Severity.INFO]}` for info",
        "at a host of {}, {}, {} or {}, ".format(*(f"`{name}`" for name in KNOWN_SERVICES)),
    ):
        assert phrase in TEXT, phrase
    options = {field.name: field.default for field in msgspec.structs.fields(WebPushOptions)}
    assert f"`severity` is `{options['severity']}` unless it is said" in TEXT
    assert (
        f"`timeout_seconds`, for all browsers together, is {options['timeout_seconds']:g}." in TEXT
    )
    assert MAX_BUSY_SECONDS == 3600
    assert "after its `Retry-After`, an hour at most" in TEXT


async def test_hubs_and_sinks_need_the_rights_that_are_told(valkey: Valkey) -> None:
    """Nothing that either does is denied; without them no subscription is kept."""
    private, public = new_keys()
    now = time.time()
    set_up_users(valkey)
    broker = RedisBroker(url_of(valkey, "hub"))
    store = broker.push
    async with push_service() as service:
        gone, there = service.browser("gone", public), service.browser("there", public)
        gone.statuses = [410]
        with pytest.raises(
            BrokerUnavailableError, match="no permissions to run the 'hset' command"
        ):
            await store.add(gone.subscription(), now)
        [user] = blocks(TEXT, "redis")
        [rights] = re.findall(r"hubs need `([+a-z ]+)` besides", TEXT)
        with administer(valkey) as admin:
            admin.execute_command(*user.split())
            admin.execute_command("ACL", "SETUSER", "hub", *rights.split())
            admin.execute_command("ACL LOG RESET")
        for subscription in (
            gone.subscription(),
            there.subscription(),
            there.subscription(endpoint="https://web.push.apple.com/x", expires=now),
        ):
            await store.add(subscription, now - 1)
        assert await store.sweep(lambda each: False, now) == 1
        environ = {"WEB_PUSH_KEY": private}
        table: dict[str, Any] = {"kind": "web-push", "contact": "mailto:a@b.c"}
        options = read_sinks({"p": {**table, "services": [service.url]}})["p"]
        sink = options.make("p", Surroundings(environ, url_of(valkey, "alerts")))
        alert = Alert(severity=Severity.CRITICAL, title="t")
        await sink.deliver(Notice("a-1", "alerts", alert, round(now * 1_000_000)))
        await sink.close()
        assert len(there.pushed) == 1
        assert await store.drop(there.subscription().id, "ann")
        assert not await store.drop(gone.subscription().id, "ann")
    await broker.disconnect()
    assert denied(valkey) == []
