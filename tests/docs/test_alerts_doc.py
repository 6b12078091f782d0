"""docs/alerts.md says what rules and sinks take, and its example is a file that works."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hub.protocol.scripts import READ
from hub.protocol.streams import KNOWN
from producers.events import Alert
from producers.publisher import Publisher
from producers.sources.alerts.rules import (
    WATCHED,
    Drawdown,
    Events,
    Exposure,
    Field,
    Rule,
    Staleness,
    read_rules,
)
from producers.sources.alerts.scripts import COMMIT, GIVE_UP, HOLD, MARK
from producers.sources.alerts.sinks.base import SinkOptions
from producers.sources.alerts.sinks.email import EmailOptions
from producers.sources.alerts.sinks.kinds import KINDS, kind_of, read_sinks
from producers.sources.alerts.sinks.push_crypto import new_keys
from producers.sources.alerts.sinks.web_push import WebPushOptions
from producers.sources.alerts.sinks.webhook import WebhookOptions
from producers.sources.webhook.rules import read_hooks
from tests.docs.pages import blocks, page, table
from tests.docs.test_operations import administer, called, denied
from tests.producers.redis_view import eventually
from tests.producers.sources.alerts.running import made, publish_equity, running
from tests.producers.sources.alerts.test_delivery import Shelf, ShelfOptions
from tests.support.valkey import Valkey

TEXT = page("docs/alerts.md")
EXAMPLE, HOOK = blocks(TEXT, "toml")
ALERTS: dict[str, Any] = tomllib.loads(EXAMPLE)["sources"]["alerts"]
SECRETS = {"DESK_SECRET": "the-secret-of-the-desk", "CHAT_URL": "https://chat.example/x",
           "MAIL_PASSWORD": "x", "WEB_PUSH_KEY": new_keys()[0]}  # fmt: skip
STRUCTS: list[tuple[str, type[msgspec.Struct], type[msgspec.Struct] | None]] = [
    ("rule's field", Rule, None),
    ("drawdown's field", Drawdown, Rule),
    ("exposure's field", Exposure, Rule),
    ("field's field", Field, Rule),
    ("events' field", Events, Rule),
    ("staleness' field", Staleness, Rule),
    ("sink's field", SinkOptions, None),
    ("webhook's field", WebhookOptions, SinkOptions),
    ("email's field", EmailOptions, SinkOptions),
    ("web-push's field", WebPushOptions, SinkOptions),
]


def rows_of(first: str) -> dict[str, str]:
    """A table's fields and their defaults."""
    word, _, rest = first.partition("'")
    # The words of `watch` and `kind` are code.
    heading = first if word in {"rule", "sink"} else f"`{word}`'{rest}"
    return {row[0]: row[1] for row in table(TEXT, heading)}


@pytest.mark.parametrize(("first", "struct", "base"), STRUCTS)
def test_every_field_is_in_its_table(
    first: str, struct: type[msgspec.Struct], base: type[msgspec.Struct] | None
) -> None:
    """With its default, where that is one."""
    rows = rows_of(first)
    common = set() if base is None else {each.name for each in msgspec.structs.fields(base)}
    fields = {
        each.encode_name: each for each in msgspec.structs.fields(struct) if each.name not in common
    }
    assert rows.keys() - {"watch", "kind"} == fields.keys()
    for name, field in fields.items():
        if field.required:
            assert rows[name] == "required"
        elif isinstance(field.default, float | int | str) and field.default:
            assert rows[name].startswith((str(field.default), "[{severity}]"))


def test_what_is_watched_and_the_kinds_are_told() -> None:
    """Each word of `watch` and `kind`, and each field of an alert."""
    for word in (*WATCHED, *KINDS):
        assert f"`{word}`" in TEXT, word
    told = " ".join(row[0] for row in table(TEXT, "field"))
    for field in Alert.__struct_fields__:
        assert field in told, field


def test_the_example_watches_and_delivers_in_every_way() -> None:
    """Each kind of rule and sink is in it, and a receiver takes what it signs."""
    rules = read_rules(ALERTS["rules"], "alerts", KNOWN)
    assert sorted(str(type(rule).__struct_config__.tag) for rule in rules.values()) == sorted(
        WATCHED
    )
    assert {kind_of(sink) for sink in read_sinks(ALERTS["sinks"]).values()} == KINDS.keys()
    read_hooks(tomllib.loads(HOOK)["sources"]["webhook"]["hooks"])


def test_the_example_is_checked(tmp_path: Path) -> None:
    """`--check` says what each rule watches, and a mistake is told with its place."""
    file = tmp_path / "tapecast.toml"
    file.write_text(EXAMPLE)
    tapecast = Path(sys.executable).parent / "tapecast"
    command = [str(tapecast), "produce", "alerts", "--config", str(file), "--check"]
    environ = {**os.environ, **SECRETS, "TAPECAST_REDIS_URL": "unix:///nowhere"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = "portfolio: equity 5% or more below its peak of the day, over at 3"
    assert f"rule day-drawdown (critical): {said}; to desk, chat, mail, browsers" in done.stdout
    assert "sink mail: email, critical and above" in done.stdout
    file.write_text(EXAMPLE.replace("limit = 5 ", "limit = 500 "))
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert done.returncode == 2
    assert "rules.day-drawdown: limit: expected more than 0 and at most 100, got 500" in done.stderr
    del environ["DESK_SECRET"]
    file.write_text(EXAMPLE)
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert "sinks.desk: expected the secret in DESK_SECRET" in done.stderr


async def test_it_needs_the_rights_that_are_told(valkey: Valkey) -> None:
    """Nothing that it does is denied, and the scripts call nothing besides."""
    [line] = blocks(TEXT, "redis")
    allowed = {word[1:] for word in line.split() if word.startswith("+")}
    for script in (HOLD, GIVE_UP, COMMIT, MARK, READ):
        assert called(script) <= allowed | {"hkeys"}  # of tables alone
    with administer(valkey) as admin:
        admin.execute_command(*line.split())
    low = {"watch": "field", "channel": "portfolio:*", "field": "equity", "op": "<", "limit": 9}
    silent = {"watch": "staleness", "channel": "status", "seconds": 1}
    url = f"unix://alerts:ALERTS-PASSWORD@{valkey.socket}?db=0"
    shelf = Shelf()
    source = made(url, {"low": low, "silent": silent}, {"desk": ShelfOptions(shelf=shelf)})
    async with Publisher(valkey.url) as publisher:
        await publish_equity(publisher, 1, channel="portfolio:a")
        async with running(source, url):
            await eventually(lambda: len(shelf.notices) == 2, "both delivered")
            await publish_equity(publisher, 10, channel="portfolio:a")
            await eventually(lambda: len(shelf.notices) == 3, "one that is over")
    assert denied(valkey) == []
