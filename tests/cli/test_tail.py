"""`tapecast tail` against a hub that runs, is killed, and refuses."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.cli.conftest import Command, RunningHub
from tests.support.processes import DEADLINE_SECONDS, wait_until


@contextmanager
def tailing(client: Command, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A `tail` that runs for the length of the block, unless it ended before."""
    with client.start("tail", *arguments) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line that it prints; a test where none comes ends by its time limit."""
    assert process.stdout
    line = process.stdout.readline()
    assert line, "it ended"
    return line


def frame_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The next line, as JSON."""
    frame: dict[str, Any] = json.loads(line_of(process))
    return frame


def publish(client: Command, channel: str, data: str) -> None:
    done = client.run("publish", "--url", client.environ["TAPECAST_URL"], channel, "note", data)
    assert done.returncode == 0, done.stderr


def test_json_is_a_frame_a_line_as_the_hub_sent_it(hub: RunningHub) -> None:
    """First the snapshot, then each change, with its position."""
    client = hub.client()
    publish(client, "decisions", '{"n": 1}')
    with tailing(client, "decisions", "--json") as process:
        snapshot = frame_of(process)
        assert (snapshot["type"], snapshot["seq"]) == ("snapshot", 1)
        assert [entry["data"] for entry in snapshot["data"]["entries"]] == [{"n": 1}]
        publish(client, "decisions", '{"n": 2}')
        update = frame_of(process)
        assert (update["type"], update["event"], update["seq"]) == ("update", "note", 2)
        assert (update["epoch"], update["data"]) == (snapshot["epoch"], {"n": 2})


def test_without_a_terminal_a_frame_is_a_readable_line(hub: RunningHub) -> None:
    """No colours and no live view in a file or a pipe, and each line when it happens."""
    client = hub.client()
    with tailing(client, "decisions", "status", "decisions") as process:
        firsts = {line_of(process).split(maxsplit=1)[1] for _ in range(2)}
        assert firsts == {
            'decisions #0 snapshot {"entries": []}\n',
            "status #0 snapshot null\n",
        }
        publish(client, "status", '{"up": true}')
        assert line_of(process).split(maxsplit=1)[1] == 'status #1 note {"up": true}\n'


def test_it_resumes_when_the_hub_was_killed(hub: RunningHub) -> None:
    """kill -9 of the hub and a new one at its place: what was missed follows, nothing twice."""
    client = hub.client()
    with tailing(client, "decisions", "--json") as process:
        assert frame_of(process)["type"] == "snapshot"
        publish(client, "decisions", "1")
        assert frame_of(process)["data"] == 1
        hub.kill()
        environ = {**client.environ, "TAPECAST_REDIS_URL": hub.redis_url}
        for n in (2, 3):
            assert Command(environ).run("publish", "decisions", "note", str(n)).returncode == 0
        hub.start()
        recovered = frame_of(process)
        assert (recovered["type"], recovered["since"]["seq"]) == ("recovered", 1)
        assert [frame_of(process)["data"] for _ in range(2)] == [2, 3]


def test_ctrl_c_is_how_it_ends(hub: RunningHub) -> None:
    """Status 0, and no traceback."""
    with tailing(hub.client(), "decisions") as process:
        line_of(process)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=DEADLINE_SECONDS) == 0


def test_a_reader_that_has_seen_enough_ends_it_quietly(hub: RunningHub) -> None:
    """`tapecast tail ... | head -1` leaves no traceback."""
    client = hub.client()
    with client.start("tail", "decisions", stderr=subprocess.PIPE) as process:
        line_of(process)
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        publish(client, "decisions", "1")
        assert process.wait(timeout=DEADLINE_SECONDS) == 0
        assert process.stderr.read() == ""


def test_on_a_terminal_the_state_is_shown_live(hub: RunningHub) -> None:
    """A view that follows each change, and stays on the screen after Ctrl-C."""
    client = hub.client()
    terminal, inside = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    client.environ |= {"TERM": "xterm-256color"}
    client.environ.pop("NO_COLOR", None)
    seen = bytearray()

    def shows(text: bytes) -> bool:
        while select.select([terminal], [], [], 0)[0]:
            seen.extend(os.read(terminal, 65_536))
        return text in seen

    with client.start("tail", "portfolio", "positions", stdout=inside) as process:
        try:
            wait_until(lambda: shows(b"live from"), "the view")
            assert shows(b"nothing yet")
            publish(client, "portfolio", '{"equity": "10001.50"}')
            wait_until(lambda: shows(b"10001.50"), "the change")
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=DEADLINE_SECONDS) == 0
        finally:
            process.kill()
            os.close(inside)
            os.close(terminal)


@pytest.mark.parametrize(
    ("rights", "token", "status", "said"),
    [
        ({"read": ["positions:*"]}, None, 1, "decisions"),
        ({}, "x", 1, "the token is malformed or signed with another secret"),
    ],
)
def test_a_refusal_ends_it_with_its_reason(
    hub: RunningHub, rights: dict[str, list[str]], token: str | None, status: int, said: str
) -> None:
    """What the hub will not give is not waited for."""
    client = hub.client(**rights)
    if token:
        client.environ["TAPECAST_TOKEN"] = token
    refused = client.run("tail", "decisions")
    assert refused.returncode == status
    assert said in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["Decisions"], "expected a channel name"),
        ([], "Missing argument"),
        (["decisions", "--url", "ftp://h"], "expected a hub's URL"),
    ],
)
def test_wrong_use_says_what_was_expected(alone: Command, arguments: list[str], said: str) -> None:
    """Exit status 2."""
    alone.environ["TAPECAST_TOKEN"] = "x"
    refused = alone.run("tail", *arguments)
    assert refused.returncode == 2
    assert said in refused.stderr


def test_publish_goes_through_a_hub_in_order(hub: RunningHub) -> None:
    """With --url the token's rights decide, refusals are named by line, digits are kept."""
    client = hub.client(publish=["decisions"], read=["*"])
    with tailing(client, "decisions", "--json") as process:
        assert frame_of(process)["type"] == "snapshot"
        given = "\n".join([*(f"{n}.10" for n in range(50)), "NaN", "50.10"]).encode()
        arguments = ["publish", "--url", hub.url, "decisions", "note", "-"]
        done = client.run(*arguments, given=given)
        assert done.returncode == 1
        assert done.stderr.startswith("Error: line 51: ")
        assert [line.split()[1] for line in done.stdout.splitlines()] == [
            str(seq) for seq in range(1, 52)
        ]
        lines = [line_of(process) for _ in range(51)]
        assert all(f'"data":{n}.10}}' in line for n, line in enumerate(lines))
    refused = client.run("publish", "--url", hub.url, "alerts", "note", "1")
    assert refused.returncode == 1
    assert "4403" in refused.stderr


def test_a_hub_that_never_answers_is_given_up(alone: Command) -> None:
    """A publish through a hub that is away fails after a while instead of hanging."""
    code = "import hub.cli.ways as w; w.ANSWER_SECONDS = 0.1; from hub.cli import main; main()"
    command = [sys.executable, "-c", code, "publish", "--url", "http://127.0.0.1:1", "a", "e", "1"]
    environ = {**alone.environ, "TAPECAST_TOKEN": "x"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "expected an answer of http://127.0.0.1:1" in done.stderr
