"""`tapecast channels`."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Command, RunningHub


def published(hub: RunningHub) -> None:
    """A value, a row and a log entry."""
    client = hub.client()
    for channel, data in (
        ("status", "{}"),
        ("positions:acct-7", '{"upsert": {"a": {"size": "1"}}}'),
        ("decisions", "{}"),
    ):
        assert client.run("publish", "--url", hub.url, channel, "e", data).returncode == 0


def test_channels_are_listed_for_people_and_for_programs(hub: RunningHub) -> None:
    """A table without colours where there is no terminal, or an object a line."""
    published(hub)
    lines = hub.client().run("channels").stdout.splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [
        ["decisions", "log", "1"],
        ["positions:acct-7", "table", "1"],
        ["status", "value", "1"],
    ]
    assert "\x1b" not in "".join(lines)
    rows = [json.loads(line) for line in hub.client().run("channels", "--json").stdout.splitlines()]
    assert [(row["name"], row["kind"], row["head"]["seq"], row["stale"]) for row in rows] == [
        ("decisions", "log", 1, False),
        ("positions:acct-7", "table", 1, False),
        ("status", "value", 1, False),
    ]


def test_a_token_sees_what_it_may_read(hub: RunningHub) -> None:
    """Other channels are not even named, and none is no failure."""
    published(hub)
    listed = hub.client(read=["positions:*"]).run("channels", "--json").stdout.splitlines()
    assert [json.loads(line)["name"] for line in listed] == ["positions:acct-7"]
    none = hub.client(publish=["*"]).run("channels")
    assert (none.returncode, none.stdout) == (0, "")
    assert "No channels yet" in none.stderr


def test_a_refusal_is_told_with_its_reason(hub: RunningHub) -> None:
    """A token that the hub does not take is a failure that says so."""
    client = hub.client()
    client.environ["TAPECAST_TOKEN"] = "x"
    failed = client.run("channels")
    assert failed.returncode == 1
    assert "answered 401: " in failed.stderr


@pytest.mark.parametrize(
    ("url", "status", "said"),
    [
        ("http://127.0.0.1:1", 1, "no answer from a hub at http://127.0.0.1:1"),
        ("ftp://x", 2, "expected a hub's URL"),
    ],
)
def test_a_hub_that_is_not_there_is_named(alone: Command, url: str, status: int, said: str) -> None:
    """A hub that is away is a failure, a URL of something else wrong use."""
    alone.environ["TAPECAST_TOKEN"] = "x"
    failed = alone.run("channels", "--url", url)
    assert failed.returncode == status
    assert said in failed.stderr


def test_without_a_token_it_says_how_to_get_one(alone: Command) -> None:
    """Exit status 2: nothing was asked yet."""
    refused = alone.run("channels")
    assert refused.returncode == 2
    assert "tapecast token me --read '*'" in refused.stderr
