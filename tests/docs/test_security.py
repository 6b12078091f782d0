"""docs/security.md says what the code does."""

from __future__ import annotations

import asyncio
import re

import pytest
from redis import Redis

from hub.protocol.errors import PayloadError
from hub.protocol.payload import parse
from hub.server.auth import CLOCK_SKEW_SECONDS, _Claims
from hub.server.keys import KEY_PREFIX
from hub.server.settings import MIN_SECRET_BYTES, Settings
from producers.errors import PublishRefused
from producers.events import Action, Decision
from producers.publisher import Publisher
from tests.docs.pages import blocks, page, section, table
from tests.support.brokers import DEADLINE_SECONDS
from tests.support.valkey import Valkey

TEXT = page("docs/security.md")
[USER] = blocks(TEXT, "redis")


def test_every_claim_is_in_the_table() -> None:
    """The table has the claims that a token is read for."""
    assert {row[0] for row in table(TEXT, "claim")} == set(_Claims.__struct_fields__)


def test_figures_in_passing_are_the_code() -> None:
    """Numbers and names that the text has from constants are those."""
    for phrase in (
        f"{MIN_SECRET_BYTES} bytes at least",
        f"{CLOCK_SKEW_SECONDS:g} s for clocks that differ",
        f"`{KEY_PREFIX}`",
        f"{Settings().max_subscriptions} a connection",
    ):
        assert phrase in TEXT, phrase


def test_spellings_of_wrong_money_are_refused() -> None:
    """Each spelling that the text names is refused."""
    named = re.findall(r"`([^`]+)`", section(TEXT, "Wrong money").partition("Money is")[0])
    assert "1e400" in named
    for spelling in named:
        if not spelling.startswith("test_"):
            with pytest.raises(PayloadError):
                parse(f'{{"equity":{spelling}}}')


async def test_a_user_for_one_channel_writes_no_other(valkey: Valkey) -> None:
    """The Redis user that the text gives publishes to its channel, and is refused elsewhere."""
    with Redis.from_url(valkey.url) as admin:
        admin.execute_command(*USER.split())
    url = f"unix://acct-7:ACCT-7-PASSWORD@{valkey.socket}"
    decision = Decision(id="d-1", asset_pair="BTCUSD", action=Action.HOLD)
    async with asyncio.timeout(DEADLINE_SECONDS), Publisher(url) as publisher:
        await publisher.decision(decision, channel="decisions:acct-7")
        for other in ("decisions:acct-8", "decisions:acct-77", "decisions"):
            with pytest.raises(PublishRefused, match="permission"):
                await publisher.decision(decision, channel=other)
    with Redis.from_url(valkey.url) as admin:
        written = [key for key in admin.scan_iter() if b"{decisions:acct-7}" not in key]
    assert written == []
