"""docs/sources.md says what the sources are and take."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import tomllib
from importlib.metadata import entry_points
from typing import get_args

import click
import msgspec
import pytest

from producers.cli import SourceCommand
from producers.events import Action
from producers.publisher import Publisher
from producers.sources.base import ENTRY_POINT_GROUP, Decided, Reading
from producers.sources.ccxt.exchange import variable_of
from producers.sources.ccxt.mapping import KNOWN_TOTALS
from producers.sources.webhook import WebhookSource
from producers.sources.webhook.rules import Hook, Rule, read_body, read_hooks, reading_of
from producers.sources.webhook.signing import read_keys
from producers.worker import Worker
from tests.docs.pages import ROOT, blocks, page, section, table
from tests.producers.redis_view import eventually, history
from tests.support.valkey import Valkey

TEXT = page("docs/sources.md")
OURS = entry_points(group=ENTRY_POINT_GROUP)
COMMON = {"redis", "config", "name", "spool", "quiet"}


def shown(option: click.Parameter) -> str:
    """An option as its table has it: by its name, an argument in upper case."""
    if isinstance(option, click.Option):
        return max(option.opts, key=len)
    assert option.name is not None
    return option.name.upper()


@pytest.mark.parametrize("name", sorted(OURS.names))
def test_every_option_is_in_the_table(name: str) -> None:
    """Each source has a section whose table has its options, each with a meaning."""
    [found] = entry_points(group=ENTRY_POINT_GROUP, name=name)
    command = SourceCommand(name, found.load())
    wanted = [shown(each) for each in command.params if each.name not in COMMON]
    rows = table(section(TEXT, name), "option")
    assert [row[0] for row in rows] == wanted
    for _option, default, meaning in rows:
        assert default
        assert meaning


def test_every_source_is_listed() -> None:
    """The list at the top has each of them, with a link to its section."""
    listed = [re.sub(r"^\[`(.*)`\]\(.*", r"\1", row[0]) for row in table(TEXT, "source")]
    assert sorted(listed) == sorted(OURS.names)


def test_every_reading_is_in_the_table() -> None:
    """The kinds of reading are those that a source may give."""
    assert [row[0] for row in table(TEXT, "reading")] == [
        kind.__name__ for kind in get_args(Reading)
    ]


def test_known_totals_are_in_their_table() -> None:
    """What is known of an exchange's total is what the text says."""
    assert {row[0]: row[1] for row in table(TEXT, "exchange")} == KNOWN_TOTALS


def test_variables_are_read() -> None:
    """Each variable of the tables is one that the sources read."""
    code = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "producers/sources").rglob("*.py")
    )
    ccxts = {variable_of("CCXT", each) for each in ("apiKey", "secret", "password", "uid")}
    for name in ("ccxt", "freqtrade"):
        rows = table(section(TEXT, name), "variable")
        assert rows
        for row in rows:
            assert row[0] in ccxts or f'"{row[0]}"' in code, row[0]


def test_the_fields_of_hooks_and_rules_are_in_their_tables() -> None:
    """Names and defaults are those of the structs."""
    for struct, first in ((Hook, "hook's field"), (Rule, "rule's field")):
        rows = {row[0]: row[1] for row in table(TEXT, first)}
        fields = {each.name: each for each in msgspec.structs.fields(struct)}
        assert rows.keys() == fields.keys()
        for name, field in fields.items():
            if field.required:
                assert rows[name] == "required"
            elif field.default not in (msgspec.NODEFAULT, "", None):
                assert rows[name] == str(field.default)


def test_the_hooks_of_the_example() -> None:
    """They are hooks, and the message to TradingView's becomes a decision."""
    [text] = [block for block in blocks(TEXT, "toml") if "hooks" in block]
    hooks = read_hooks(tomllib.loads(text)["sources"]["webhook"]["hooks"])
    [message] = [block for block in blocks(TEXT, "json") if "{{ticker}}" in block]
    for placeholder, value in (("ticker", "BTCUSD"), ("strategy.order.action", "buy"),
                               ("strategy.order.price", "1.10")):  # fmt: skip
        message = message.replace("{{" + placeholder + "}}", value)
    body = read_body(message.encode(), 10_000)
    reading = reading_of(hooks["tradingview"].rules, body, "key")
    assert isinstance(reading, Decided)
    assert reading.decision.action is Action.BUY
    assert str(reading.decision.entry_price) == "1.10"


@pytest.mark.optional("CI installs no curl")
@pytest.mark.skipif(shutil.which("curl") is None or shutil.which("openssl") is None,
                    reason="needs curl and openssl")  # fmt: skip
async def test_a_post_from_a_shell(valkey: Valkey) -> None:
    """What the text says to type publishes the decision."""
    [text] = [block for block in blocks(TEXT, "toml") if "hooks" in block]
    [typed] = blocks(TEXT, "sh")
    hooks = read_hooks(tomllib.loads(text)["sources"]["webhook"]["hooks"])
    secret = "a-secret-of-this-test"
    source = WebhookSource(hooks, {name: read_keys(secret) for name in hooks}, port=0)
    async with Publisher(valkey.url) as publisher:
        worker = Worker(source, publisher)
        running = asyncio.create_task(worker.run())
        await eventually(lambda: source.address is not None, "a server that listens")
        assert source.address is not None
        script = typed.replace("127.0.0.1:8090", f"127.0.0.1:{source.address[1]}")
        environ = {**os.environ, "STRATEGY_SECRET": secret}
        shell = await asyncio.create_subprocess_exec(
            "bash", "-eo", "pipefail", "-c", script, env=environ, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await shell.communicate()
        assert json.loads(said)["status"] == "stored"
        worker.stop()
        await running
    [(event, data)] = history(valkey, "decisions:desk-7")
    assert (event, data["action"]) == ("decision_made", "BUY")


def test_examples_are_read() -> None:
    """The blocks of TOML and JSON are what they look like."""
    for block in blocks(TEXT, "toml"):
        assert tomllib.loads(block)
    for block in blocks(TEXT, "json"):
        assert json.loads(block)
