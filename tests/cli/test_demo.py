"""`tapecast demo`: one process tree that shows everything, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from hub.protocol.addresses import embedded_socket, private_folder
from tests.cli.conftest import Command
from tests.support.processes import is_alive, wait_until


class RunningDemo:
    """A demo that has printed where everything is."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        self.process = process
        self.said: list[str] = []
        while "Ctrl-C ends it all" not in (line := process.stdout.readline()):
            assert line, f"it ended: {self.said}"
            self.said.append(line)
        self.text = "".join(self.said)
        found = re.search(r"(http://\S+)/#token=(\S+)", self.text)
        assert found
        self.url, self.token = found.groups()


@pytest.fixture
def demo(alone: Command) -> Iterator[RunningDemo]:
    """A demo on a free port."""
    with alone.start("demo", "--port", "0") as process:
        yield RunningDemo(process)
        process.kill()


def descendants(pid: int) -> list[int]:
    """All processes below `pid`, the leashes among them."""
    listed = subprocess.run(
        ["ps", "-ww", "-eo", "pid=,ppid="], check=True, capture_output=True, text=True
    ).stdout
    parents = [tuple(map(int, line.split())) for line in listed.splitlines()]
    found = [pid]
    for parent in found:
        found += [child for child, its_parent in parents if its_parent == parent]
    return found[1:]


def first_frames(command: Command, *channels: str) -> dict[str, dict[str, Any]]:
    """The first update that `tapecast tail` sees of each channel."""
    found: dict[str, dict[str, Any]] = {}
    with command.start("tail", *channels, "--json") as process:
        assert process.stdout
        while len(found) < len(channels):
            frame = json.loads(process.stdout.readline())
            if frame["type"] == "update":
                found.setdefault(frame["channel"], frame)
        process.kill()
    return found


def test_a_second_terminal_shows_what_is_traded(demo: RunningDemo, alone: Command) -> None:
    """`tapecast tail` without a token or a URL follows the demo's channels, live."""
    frames = first_frames(alone, "portfolio", "decisions", "agent")
    assert frames["portfolio"]["event"] == "portfolio_update"
    assert frames["decisions"]["event"] == "decision_made"
    listed = alone.run("channels", "--json").stdout.splitlines()
    assert {json.loads(line)["name"] for line in listed} >= set(frames)


def test_rules_watch_the_account(demo: RunningDemo, alone: Command) -> None:
    """They are evaluated, and say so on a channel of their own."""

    def is_there() -> bool:
        listed = alone.run("channels", "--json").stdout.splitlines()
        return "health:alerts" in {json.loads(line)["name"] for line in listed}

    wait_until(is_there, "the health of the rules")


def test_it_prints_a_line_for_any_terminal(demo: RunningDemo, alone: Command) -> None:
    """The line carries URL and token, so it works for another user of the machine too."""
    lines = [line.strip() for line in demo.said]
    (line,) = [line for line in lines if line.startswith("TAPECAST_URL=")]
    url, token, *words = line.split()
    assert words == ["tapecast", "tail", "portfolio", "positions", "decisions"]
    alone.environ |= dict([url.split("=", 1), token.split("=", 1)])
    alone.environ["XDG_RUNTIME_DIR"] = "/does/not/exist"
    assert first_frames(alone, "portfolio")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_all(demo: RunningDemo, alone: Command, number: int) -> None:
    """Status 0, no process left, no credentials left, and the socket is gone."""
    # Valkey, hub, agent and rules, each with the process that holds it.
    wait_until(lambda: len(descendants(demo.process.pid)) == 8, "the start of all of it")
    tree = descendants(demo.process.pid)
    demo.process.send_signal(number)
    assert demo.process.wait(timeout=30) == 0
    wait_until(lambda: not any(map(is_alive, tree)), "the end of all of it")
    left = {path.name for path in Path(private_folder(alone.environ, os.getuid())).iterdir()}
    logs = {"hub.log", "paper.log", "alerts.log", "valkey.log"}
    assert left == {*logs, "alerts.toml", "valkey.lock"}
    assert alone.run("channels").returncode == 2


def test_kill_leaves_nothing_behind_and_the_next_one_starts(
    demo: RunningDemo, alone: Command
) -> None:
    """kill -9 of the demo ends Valkey, hub and agent; another demo starts at once."""
    tree = descendants(demo.process.pid)
    demo.process.kill()
    demo.process.wait()
    with alone.start("demo", "--port", "0") as process:
        again = RunningDemo(process)
        wait_until(lambda: not any(map(is_alive, tree)), "the end of all of it")
        assert again.token != demo.token
        assert first_frames(alone, "portfolio")
        process.kill()


def test_a_part_that_dies_ends_it_with_its_last_words(demo: RunningDemo) -> None:
    """A demo that lost its hub does not pretend to go on."""
    listed = subprocess.run(
        ["ps", "-ww", "-eo", "pid=,args="], check=True, capture_output=True, text=True
    ).stdout
    port = demo.url.rpartition(":")[2]
    hubs = [line.split()[0] for line in listed.splitlines() if f"--port {port}" in line]
    os.kill(int(hubs[-1]), signal.SIGKILL)
    assert demo.process.wait(timeout=30) == 1


def test_data_is_kept_for_the_next_demo(alone: Command, tmp_path: Path) -> None:
    """With --data the history goes on where it was."""
    seqs = []
    for _ in range(2):
        with alone.start("demo", "--port", "0", "--data", str(tmp_path / "data")) as process:
            RunningDemo(process)
            first_frames(alone, "portfolio")
            url = f"unix://{embedded_socket(alone.environ, os.getuid())}"
            with redis.Redis.from_url(url) as link:
                seqs.append(link.hmget("tapecast:{portfolio}:meta", "epoch", "seq"))
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 0
    assert seqs[0][0] == seqs[1][0]
    assert int(seqs[0][1]) < int(seqs[1][1])


def test_two_of_one_user_are_one_too_many(demo: RunningDemo, alone: Command) -> None:
    """The second says who runs the first, which goes on."""
    refused = alone.run("demo", "--port", "0")
    assert refused.returncode == 1
    assert f"started by process {demo.process.pid}" in refused.stderr
    assert demo.process.poll() is None


def test_a_default_port_that_is_taken_is_replaced(
    alone: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A free port is taken, with a word; one that was asked for is not replaced."""
    from hub.cli import demo as module

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        taken = sock.getsockname()[1]
        monkeypatch.setattr(module, "DEFAULT_PORT", taken)
        chosen = module._choose_port(None)
        assert chosen != taken
        assert f"Port {taken} is taken" in capsys.readouterr().err
        with pytest.raises(module.DemoError, match=f"cannot listen on 127.0.0.1:{taken}"):
            module._choose_port(taken)
    assert module._choose_port(None) == taken


def test_a_port_that_somebody_has_is_refused(demo: RunningDemo, tmp_path: Path) -> None:
    """Whoever answers there is not taken for the demo's own hub and announced, as it once was."""
    other = Command({"XDG_RUNTIME_DIR": str(tmp_path)})
    failed = other.run("demo", "--port", demo.url.rpartition(":")[2])
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert "cannot listen on 127.0.0.1" in failed.stderr


def test_a_hub_that_cannot_start_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that went meanwhile: it fails with what the hub said, and nothing stays."""
    from hub.cli import demo as module

    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        with pytest.raises(
            module.DemoError, match=r"(?s)'hub' ended .* cannot listen on 127\.0\.0\.1"
        ):
            module._run(sock.getsockname()[1], None, False, threading.Event())
    assert not Path(embedded_socket(os.environ, os.getuid())).exists()


def test_the_line_for_a_second_terminal_works_as_it_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command by its name where PATH leads to it, else by its path."""
    from hub.cli import demo as module

    program = tmp_path / "a folder" / "tapecast"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.setenv("PATH", "/usr/bin")
    assert module._program() == f"'{program}'"
    monkeypatch.setenv("PATH", str(program.parent))
    assert module._program() == "tapecast"
    monkeypatch.setattr(sys, "argv", ["hub/cli/__main__.py"])
    assert module._program() == "tapecast"
