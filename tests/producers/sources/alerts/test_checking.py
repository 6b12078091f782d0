"""`tapecast produce alerts --check` and `--test-sinks`: what is said before anything runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from starlette.responses import Response

from tests.cli.conftest import Command
from tests.producers.sources.alerts.sinks.test_webhook import Receiver
from tests.support.smtp import MailServer
from tests.support.web import serving

SINKS = """
[sources.alerts.sinks.desk]
kind = "webhook"
url = "{url}"

[sources.alerts.sinks.mail]
kind = "email"
host = "127.0.0.1"
port = {port}
security = "none"
from = "tapecast@example.com"
to = ["desk@example.com"]
"""
RULES = """
[sources.alerts.rules.low]
watch = "field"
channel = "portfolio:*"
field = "available"
op = "<"
limit = "1000.00"
clear = 1200
for_seconds = 5
quiet_seconds = 60
repeat_seconds = 600
severity = "critical"
sinks = ["desk"]

[sources.alerts.rules.failing]
watch = "events"
channel = "agent"
events = ["error", "order_updated"]
count = 3
"""


@pytest.fixture
def alone(tmp_path: Path) -> Command:
    """`tapecast` for which there is no Redis."""
    return Command({"XDG_RUNTIME_DIR": str(tmp_path), "TAPECAST_REDIS_URL": "unix:///nowhere"})


def given(folder: Path, text: str) -> tuple[str, ...]:
    """The command for a file with this in it."""
    file = folder / "tapecast.toml"
    file.write_text(text)
    return "produce", "alerts", "--config", str(file)


def test_what_each_rule_watches(alone: Command, tmp_path: Path) -> None:
    """A line a rule and a line a sink, without Redis."""
    sinks = SINKS.format(url="https://desk.example", port=25)
    done = alone.run(*given(tmp_path, RULES + sinks), "--check")
    assert done.returncode == 0, done.stderr
    paces = "over at 1200, for 5 s, not again within 60 s, again every 600 s"
    errors = "error, order_updated within 60 s"
    assert done.stdout.splitlines() == [
        f"rule low (critical): portfolio:*: available < 1000.00, {paces}; to desk",
        f"rule failing (warning): agent: 3 or more of {errors}, over at 1; to desk, mail",
        "sink desk: webhook, info and above",
        "sink mail: email, info and above",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected tables [sources.alerts.rules.NAME]"),
        (RULES, "rules.low: sinks: expected names of none, got 'desk'"),
        (RULES + '[sources.alerts.sinks.desk]\nkind = "pigeon"', "sinks.desk: kind: expected one"),
        (RULES + '[sources.alerts.sinks.desk]\nkind = "webhook"', "sinks.desk: expected either"),
        ("[sources.alerts]\nrule = 1", "[sources.alerts]: unknown option rule"),
        ('[sources.alerts]\nchannel = "A"\n' + RULES, "expected a channel name"),
    ],
)
def test_what_is_wrong_is_told(alone: Command, tmp_path: Path, text: str, told: str) -> None:
    """With its place, and the status of a mistake in usage."""
    done = alone.run(*given(tmp_path, text), "--check")
    assert done.returncode == 2
    assert told in " ".join(done.stderr.split())


async def test_a_test_for_each_sink(alone: Command, tmp_path: Path) -> None:
    """Each is tried, without Redis, and the status says whether one failed."""
    receiver, server = Receiver(), MailServer()
    async with serving(receiver.app) as url, server.serving():
        arguments = (*given(tmp_path, SINKS.format(url=url, port=server.port)), "--test-sinks")
        done = await asyncio.to_thread(alone.run, *arguments)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == ["desk: delivered", "mail: delivered"]
        receiver.answer = Response("not now", 503)
        done = await asyncio.to_thread(alone.run, *arguments)
    assert done.returncode == 1
    assert done.stderr == "desk: failed: answered 503: not now\n"
    assert done.stdout == "mail: delivered\n"
    assert [body["title"] for _, body in receiver.posts] == ["A test of Tapecast's alerts"] * 2
    assert len(server.mails) == 2
