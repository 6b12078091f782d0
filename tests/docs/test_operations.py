"""docs/operations.md says what there is: settings, metrics, and what Redis is asked for."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from redis import Redis

from hub.broker.redis import RedisBroker
from hub.broker.timing import Timing
from hub.core.feed import RING_BYTES, RING_ENTRIES
from hub.core.limits import Limits
from hub.protocol import scripts
from hub.protocol.channels import check_channel
from hub.protocol.streams import KNOWN, Kind, Stream
from hub.server.health import SILENT_SECONDS
from hub.server.metrics import Metrics, expose
from hub.server.settings import OTHER_NAMES, Settings, variable
from hub.server.worker import SEND_BUFFER_BYTES
from hub.server.workers import LAST_SECONDS, MAX_EARLY_DEATHS
from producers.events import Action, Decision, Side, TradingPosition
from producers.publisher import Publisher
from tests.docs.pages import ROOT, blocks, page, table
from tests.support.brokers import DEADLINE_SECONDS, eventually
from tests.support.valkey import Valkey

TEXT = page("docs/operations.md")
USERS = [line for block in blocks(TEXT, "redis") for line in block.splitlines()]
OF_HUB = {name for name, hub, _, _ in table(TEXT, "command") if hub == "yes"}
OF_PRODUCER = {name for name, _, producer, _ in table(TEXT, "command") if producer == "yes"}

UNITS = {"_seconds": "seconds", "_bytes": "bytes", "_connections": "connections"}
SHOWN = {"keys_file": "~/.config/tapecast/keys.json"}
"""Defaults that are made from the environment."""


def shown(value: Any) -> str:
    """A default as the table has it."""
    return "none" if value in (None, "", ()) else str(value)


def test_every_setting_is_in_the_table() -> None:
    """Names, variables, defaults and units are those of the class, in its order."""
    rows = table(TEXT, "setting")
    names = [name for name in Settings.__struct_fields__ if name != "streams"]
    assert [row[0] for row in rows] == names
    defaults = Settings()
    for name, var, default, unit, meaning in rows:
        assert var == variable(name)
        assert default == SHOWN.get(name, shown(getattr(defaults, name))), name
        expected = next((unit for end, unit in UNITS.items() if name.endswith(end)), unit)
        assert unit == expected, name
        assert meaning


def test_every_setting_has_an_effect() -> None:
    """What the table offers is read by something besides the settings themselves."""
    files = [path for path in (ROOT / "hub").rglob("*.py") if path.name != "settings.py"]
    code = "\n".join(path.read_text(encoding="utf-8") for path in files)
    for name in Settings.__struct_fields__:
        assert re.search(rf"settings\.{name}\b|read_settings\(.*\.{name}\b", code), name


def test_other_variables_are_in_their_table() -> None:
    """The names in the environment that are no settings are told of too."""
    assert [row[0] for row in table(TEXT, "variable")] == list(OTHER_NAMES)


def test_stream_options_are_in_their_table() -> None:
    """Names and defaults are those of the class."""
    rows = table(TEXT, "option")
    options = msgspec.structs.asdict(Stream())
    assert {row[0]: row[1] for row in rows} == {
        name: shown(value) for name, value in options.items()
    }


def test_every_metric_is_in_the_table() -> None:
    """Names and types are those of a scrape; each says when to alert, if ever."""
    scrape = expose(Metrics(), {}).decode()
    types = dict(re.findall(r"^# TYPE (tapecast_\S+) (\S+)$", scrape, re.MULTILINE))
    rows = table(TEXT, "metric")
    assert {row[0]: row[1] for row in rows} == types
    assert all(row[2] and row[3] for row in rows)


def test_figures_in_passing_are_the_code() -> None:
    """Numbers that the text has from constants are those."""
    for phrase in (
        f"{SEND_BUFFER_BYTES // 1024} KiB asked for",
        f"| {Limits().answer_bytes // 2**20} MiB |",
        f"{RING_ENTRIES:,} or {RING_BYTES // 2**20} MiB of them",
        f"its last {scripts.ANSWERS_KEPT:,} answers",
        f"after {MAX_EARLY_DEATHS} young deaths",
        f"has not reported for {SILENT_SECONDS:.0f} s",
        f"not ended {LAST_SECONDS:.0f} s after twice `drain_seconds`",
    ):
        assert phrase in TEXT, phrase


# What Redis is asked for


def rights(user: str) -> set[str]:
    """The commands that the ACL of a user allows."""
    [line] = [line for line in USERS if line.startswith(f"ACL SETUSER {user} ")]
    assert " -@all " in line
    return {word[1:] for word in line.split() if word.startswith("+")}


def called(script: str) -> set[str]:
    """The commands that a script calls."""
    return {name.lower() for name in re.findall(r"redis\.call\('(\w+)'", script)}


def test_users_have_the_rights_of_the_table() -> None:
    """The ACL of each user is its column of the table; the scripts call nothing besides."""
    assert rights("hub") == OF_HUB
    assert rights("producer") == OF_PRODUCER
    assert called(scripts.READ) <= OF_HUB
    assert called(scripts.PUBLISH) <= OF_PRODUCER


def administer(valkey: Valkey) -> Redis:
    """A link that sends nothing of its own accord."""
    return Redis.from_url(valkey.url, protocol=2, driver_info=None)


def set_up_users(valkey: Valkey) -> None:
    """Make the users of the text, and count from zero."""
    with administer(valkey) as admin:
        for line in USERS:
            admin.execute_command(*line.split())
        admin.config_resetstat()


def used(valkey: Valkey) -> set[str]:
    """The commands that were called since, without those of this test."""
    with administer(valkey) as admin:
        stats: Any = admin.info("commandstats")
    # AUTH needs no right.
    mine = {"auth", "config|resetstat", "info", "acl|setuser", "acl|log"}
    return {name.removeprefix("cmdstat_") for name in stats} - mine


def denied(valkey: Valkey) -> list[Any]:
    """What Redis denied a user."""
    with administer(valkey) as admin:
        log: Any = admin.execute_command("ACL LOG")
    return list(log)


def url_of(valkey: Valkey, user: str) -> str:
    """The server's URL for a user of the text, with a database number."""
    return f"unix://{user}:{user.upper()}-PASSWORD@{valkey.socket}?db=1"


def trading_position(id: str, size: int = 1) -> TradingPosition:
    """An open position."""
    one = Decimal(size)
    return TradingPosition(
        id=id, asset_pair="BTCUSD", side=Side.LONG, size=one, entry_price=one, current_price=one,
        unrealized_pnl=one, unrealized_pnl_pct=one, margin_used=one, opened_at=datetime.now(UTC),
    )  # fmt: skip


async def produce_everything(valkey: Valkey) -> None:
    """Publish in every way that a producer has, as its user."""
    # Remembers one key of an entry, so that the next one makes it forget.
    streams = {**KNOWN, "decisions": Stream(Kind.LOG, keys_keep=1)}
    async with Publisher(url_of(valkey, "producer"), streams=streams) as publisher:
        await publisher.ping()
        for state in (1, 2, 2):
            await publisher.publish("status", "status", state, lease=5)
        await publisher.touch("status")
        # Nobody replicates this server, so it is waited for in vain.
        await publisher.publish("status", "status", 3, replicas=1, replica_timeout_ms=1)
        await publisher.positions([trading_position("a"), trading_position("b")])
        await publisher.positions([trading_position("b", 2)])
        for rows in ({"upsert": {"a": 1}, "delete": []}, {"upsert": {}, "delete": ["a"]}):
            await publisher.publish("positions:other", "positions_update", rows)
        for id in ("d-1", "d-2", "d-2"):
            await publisher.decision(Decision(id=id, asset_pair="BTCUSD", action=Action.HOLD))


async def test_a_producer_needs_the_rights_that_are_told(valkey: Valkey) -> None:
    """Nothing that a producer does is denied, and there is no right that it does not use."""
    set_up_users(valkey)
    await produce_everything(valkey)
    assert denied(valkey) == []
    assert used(valkey) == OF_PRODUCER


async def test_a_hub_needs_the_rights_that_are_told(valkey: Valkey) -> None:
    """Nothing that a hub asks for is denied, and there is no right that it does not use."""
    set_up_users(valkey)
    await produce_everything(valkey)
    with administer(valkey) as admin:
        admin.config_resetstat()
    # A link that is silent for a moment is asked whether it lives.
    timing = Timing(ping_seconds=0.05, probe_seconds=60.0)
    broker = RedisBroker(url_of(valkey, "hub"), timing=timing)
    await broker.connect()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await eventually(lambda: broker.delivering, "a probe that comes back")
        names = await broker.channels()
        for name in names:
            await broker.subscribe(check_channel(name))
            for since in (None, 0):
                assert (await broker.read(name, since, 10)).entries
            await broker.unsubscribe(name)
        assert None not in await broker.heads(names)
        await eventually(lambda: used(valkey) >= {"ping", "unsubscribe"}, "a PING on a quiet link")
    await broker.disconnect()
    assert {"status", "positions", "decisions"} <= set(names)
    assert denied(valkey) == []
    assert used(valkey) == OF_HUB


def test_paths_that_are_named_exist() -> None:
    """The files of the repository that the text names are there."""
    for name in re.findall(r"`((?:deploy|docs|tests)/[\w./-]+)`", TEXT):
        assert (Path(ROOT) / name).exists(), name
