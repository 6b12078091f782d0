"""`tapecast audit`: what is recorded of commands, for people and for programs."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from hub.protocol import keys
from hub.protocol.agent_commands import CommandState
from tests.cli.conftest import Command, RunningHub
from tests.support.command_desk import CHANNEL, Desk
from tests.support.valkey import Valkey


@pytest.fixture
def desk(valkey: Valkey) -> Iterator[Desk]:
    """Sends commands and does them."""
    with redis.Redis(unix_socket_path=str(valkey.socket)) as client:
        client.sadd(keys.COMMANDED, CHANNEL, "not a channel", "portfolio")
        yield Desk(client)


@pytest.fixture
def operator(valkey: Valkey, alone: Command) -> Command:
    """Somebody with Redis's address."""
    alone.environ["TAPECAST_REDIS_URL"] = valkey.url
    return alone


def entries(operator: Command, *arguments: str) -> list[dict[str, Any]]:
    """The steps as JSON."""
    done = operator.run("audit", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_step_is_told(operator: Command, desk: Desk) -> None:
    """When, which agent, what, who, from where, and the outcome."""
    desk.send(data=b'{"reason":"lunch"}', sender="Ann Ö")
    desk.end(desk.begun(), CommandState.DONE, b'{"paused":true}')
    sent, handed, accepted, done = entries(operator)
    assert sent.pop("at").endswith("Z")
    assert sent == {
        "channel": CHANNEL, "step": "sent", "command": "agent.pause", "who": "Ann Ö",
        "by": "hub-1", "id": "c1", "origin": "socket", "text": {"reason": "lunch"},
    }  # fmt: skip
    assert [each["step"] for each in (handed, accepted, done)] == ["handed", "accepted", "done"]
    assert (done["by"], done["attempt"], done["text"]) == ("paper@here:1", 1, {"paused": True})
    lines = operator.run("audit").stdout.splitlines()
    assert len(lines) == 4
    assert lines[0].split()[2:] == [
        CHANNEL, "sent", "agent.pause", "Ann", "Ö", "socket", '{"reason":"lunch"}',
    ]  # fmt: skip
    assert "paper@here:1" in lines[3]


def test_who_had_not_the_right_is_told(hub: RunningHub, operator: Command, desk: Desk) -> None:
    """Beside the steps, in the order of time."""
    hub.client(publish=["*"]).run("command", "agent.start", "--agent", "desk-7")
    desk.send()
    denied, sent = entries(operator)
    assert (denied["step"], denied["who"], denied["origin"]) == (
        "denied", "test", "socket 127.0.0.1",
    )  # fmt: skip
    assert sent["step"] == "sent"
    assert [each["step"] for each in entries(operator, "--agent", "desk-7")] == ["denied", "sent"]
    assert entries(operator, "--agent", "desk-8") == []


def test_what_came_too_late_is_told(operator: Command, desk: Desk) -> None:
    """With what it would have been."""
    desk.send()
    taken = desk.begun()
    desk.let_the_lease_pass()
    desk.sweep()
    desk.end(taken, CommandState.DONE, b'"closed"')
    *_, failed, refused = entries(operator)
    assert failed["step"] == "failed"
    assert (refused["step"], refused["outcome"], refused["text"]) == ("refused", "done", "closed")
    assert operator.run("audit").stdout.splitlines()[-1].endswith('done "closed"')


def test_since(operator: Command, desk: Desk) -> None:
    """What is older is left out; nothing at all is said to be none."""
    old = {"step": "sent", "event": "x", "sender": '"ann"', "by": "hub"}
    desk.client.xadd(keys.audit(CHANNEL), old, id="1000-0")  # type: ignore[arg-type]
    assert len(entries(operator)) == 1
    none = operator.run("audit", "--since", "1h")
    assert (none.returncode, none.stdout) == (0, "")
    assert "No commands" in none.stderr
    desk.send()
    assert len(entries(operator, "--since", "1h")) == 1
    assert len(entries(operator, "--since", "1970-01-01T00:00:01Z")) == 2
    assert len(entries(operator, "--since", "1970-01-01T00:00:02Z")) == 1


def test_many_steps_come_in_order(operator: Command, desk: Desk) -> None:
    """Of several agents, page by page."""
    desk.client.sadd(keys.COMMANDED, "commands")
    for n in range(2_500):
        channel = (CHANNEL, "commands")[n % 2]
        step = {"step": "sent", "event": f"e{n}", "sender": '"ann"', "by": "hub"}
        desk.client.xadd(keys.audit(channel), step, id=f"{1000 + n}-0")  # type: ignore[arg-type]
    assert [each["command"] for each in entries(operator)] == [f"e{n}" for n in range(2_500)]


def test_following(operator: Command, desk: Desk) -> None:
    """What comes is shown as it comes, that of a new agent too; Ctrl-C ends it."""
    desk.send("c1")
    following = operator.start("audit", "--follow", "--json")
    assert following.stdout
    try:
        assert json.loads(following.stdout.readline())["id"] == "c1"
        desk.send("c2")
        assert json.loads(following.stdout.readline())["id"] == "c2"
        desk.client.sadd(keys.COMMANDED, "commands:new")
        step = {"step": "sent", "event": "x", "sender": '"bob"', "by": "hub"}
        desk.client.xadd(keys.audit("commands:new"), step)  # type: ignore[arg-type]
        assert json.loads(following.stdout.readline())["channel"] == "commands:new"
    finally:
        following.send_signal(signal.SIGINT)
        assert following.wait(timeout=60) == 0
        following.stdout.close()


def test_following_over_a_restart(durable_valkey: Valkey, operator: Command) -> None:
    """It goes on where it was: each step is shown once."""
    operator.environ["TAPECAST_REDIS_URL"] = durable_valkey.url
    step = {"step": "sent", "event": "x", "sender": '"bob"', "by": "hub"}
    with redis.Redis.from_url(durable_valkey.url) as link:
        link.sadd(keys.COMMANDED, CHANNEL)
        link.xadd(keys.audit(CHANNEL), {**step, "id": "c1"})
    following = operator.start("audit", "--follow", "--json", stderr=subprocess.PIPE)
    assert following.stdout
    assert following.stderr
    try:
        assert json.loads(following.stdout.readline())["id"] == "c1"
        durable_valkey.kill()
        assert "Redis is away" in following.stderr.readline()
        durable_valkey.start()
        with redis.Redis.from_url(durable_valkey.url) as link:
            link.xadd(keys.audit(CHANNEL), {**step, "id": "c2"})
        assert json.loads(following.stdout.readline())["id"] == "c2"
    finally:
        following.send_signal(signal.SIGINT)
        assert following.wait(timeout=60) == 0
        following.stdout.close()
        following.stderr.close()


def test_what_was_put_there_by_hand(operator: Command, desk: Desk) -> None:
    """Is passed over, or shown without what would steer the terminal."""
    for fields in (
        {"x": "y"},
        {"step": "sent", "event": "e", "sender": "no JSON", "by": "b"},
        {"step": "sent", "event": "e", "sender": '"a"', "by": "b", "data": "no JSON"},
        {"step": "sent\x1b[2J", "event": "e", "sender": '"a"', "by": "b"},
    ):
        desk.client.xadd(keys.audit(CHANNEL), fields)  # type: ignore[arg-type]
    done = operator.run("audit")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1
    assert "\x1b" not in done.stdout


def test_a_redis_that_is_not_there(alone: Command) -> None:
    """Is named, with what to do."""
    done = alone.run("audit", "--redis", "redis://127.0.0.1:1/0")
    assert done.returncode == 1
    assert "the audit can't be read" in done.stderr
    assert "--redis" in done.stderr
