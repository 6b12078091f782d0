"""`tapecast command`, against a hub and agents that are real."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest
import redis

from hub.protocol.agent_commands import CommandState
from tests.cli.conftest import Command, RunningHub
from tests.support.command_desk import Desk
from tests.support.processes import wait_until
from tests.support.valkey import Valkey


@pytest.fixture
def desk(valkey: Valkey) -> Iterator[Desk]:
    """A worker of the agent desk-7."""
    with redis.Redis(unix_socket_path=str(valkey.socket)) as client:
        yield Desk(client)


@pytest.fixture
def ann(hub: RunningHub) -> Command:
    """Somebody who may command every agent, and nothing else."""
    return hub.client(command=["*"])


def send(ann: Command, *arguments: str) -> subprocess.Popen[str]:
    """Send a command and wait for its end, beside what the test does."""
    command = ("command", *arguments, "--agent", "desk-7", "--wait")
    return ann.start(*command, stderr=subprocess.PIPE)


def test_the_id_is_printed(ann: Command, desk: Desk) -> None:
    """And nothing else, where nobody waits for the end."""
    done = ann.run("command", "position.close", '{"id": "p-1"}', "--agent", "desk-7")
    assert (done.returncode, done.stderr) == (0, "")
    taken = desk.taken()
    assert done.stdout == f"{taken.id}\n"
    plain = ann.run("command", "agent.pause", "--agent", "desk-7", "--json")
    assert json.loads(plain.stdout) == {
        "step": "sent", "channel": "commands:desk-7", "id": desk.taken().id, "event": "agent.pause",
    }  # fmt: skip
    assert (taken.event, taken.data, taken.sender) == ("position.close", b'{"id":"p-1"}', "test")
    assert taken.expires_at - taken.sent_at == 30_000_000


def test_an_agent_obeys(hub: RunningHub, ann: Command, valkey: Valkey) -> None:
    """The whole way: this command, a hub, and the paper agent."""
    agent = Command({"TAPECAST_REDIS_URL": valkey.url}).start("produce", "paper", "--quiet")
    try:
        done = ann.run("command", "agent.pause", "--wait")
        assert done.returncode == 0
        assert json.loads(done.stdout) == {"state": "PAUSED"}
        sent, *_, accepted = done.stderr.splitlines()
        assert sent.startswith("agent.pause sent to commands as ")
        assert accepted.startswith("accepted by paper@")
        refused = ann.run("command", "position.close", '{"id": "p-1"}', "--wait")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "Error: failed: p-1 is not open" in refused.stderr
        quiet = ann.run("command", "agent.resume", "--wait", "--json")
        steps = [json.loads(line) for line in quiet.stdout.splitlines()]
        assert [step["step"] for step in steps] == ["sent", "accepted", "done"]
        assert len({step["id"] for step in steps}) == 1
        assert quiet.stderr == ""
    finally:
        agent.terminate()
        agent.wait()
        assert agent.stdout
        agent.stdout.close()


def test_a_command_that_nobody_accepts_expires(ann: Command, desk: Desk) -> None:
    """Told by the exit status 3: it was never begun."""
    done = ann.run("command", "agent.stop", "--agent", "desk-7", "--expires", "1s", "--wait")
    assert done.returncode == 3
    assert "Error: expired: no worker of the agent accepted it in time" in done.stderr
    assert desk.events() == ["agent.stop", "command.expired"]


def test_an_end_that_is_not_known(ann: Command, desk: Desk) -> None:
    """Told by the exit status 4."""
    sending = send(ann, "agent.stop", "--timeout", "1s")
    wait_until(lambda: desk.events() == ["agent.stop"], "it is sent")
    desk.begun()
    out, err = sending.communicate(timeout=60)
    assert (sending.returncode, out) == (4, "")
    assert "its end is not known after 1 s" in err


def test_a_result_that_is_none(ann: Command, desk: Desk) -> None:
    """Says that it was done; what came over the wire can't steer the terminal."""
    desk.worker = desk.worker.__class__("commands:desk-7", "w\x1b[2J", 1_000, 60_000, 3_000)
    sending = send(ann, "agent.stop")
    wait_until(lambda: desk.events() == ["agent.stop"], "it is sent")
    desk.end(desk.begun(), CommandState.DONE, b"null")
    out, err = sending.communicate(timeout=60)
    assert (sending.returncode, out) == (0, "done\n")
    assert "\x1b" not in err


def test_who_may_not_is_told(hub: RunningHub) -> None:
    """A token that may publish everything may not command."""
    done = hub.client(read=["*"], publish=["*"]).run("command", "agent.pause")
    assert (done.returncode, done.stdout) == (1, "")
    assert "the token does not allow commanding commands" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("agent.pause", "[1]"), "expected an object as data"),
        (("agent.pause", "{"), "expected JSON"),
        (("position.close",), "the id of the position to close"),
        (("command.done",), "no event that begins with"),
        (("a b",), "expected an event name"),
        (("agent.pause", "--agent", "Desk"), "expected a channel name"),
        (("agent.pause", "--expires", "2d"), "expected at most 1d"),
    ],
)
def test_wrong_use(alone: Command, arguments: tuple[str, ...], said: str) -> None:
    """Is told before anybody is asked."""
    done = alone.run("command", *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_hub_that_is_not_there(alone: Command) -> None:
    """Not longer waited for than the command would live, and its end is not known."""
    alone.environ["TAPECAST_TOKEN"] = "x"
    done = alone.run("command", "agent.pause", "--url", "http://127.0.0.1:1", "--expires", "1s")
    assert done.returncode == 4
    assert "no answer from a hub at http://127.0.0.1:1 in 1 s" in done.stderr
