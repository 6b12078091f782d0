"""An agent that is killed in an outage: what it had accepted is published by its next run, once and
in order. The agent is a process, Valkey is frozen or killed, and the kill is SIGKILL."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.producers.redis_view import history
from tests.support.valkey import Valkey

ROOT = Path(__file__).parents[2]
DECISIONS = 5_000


class Agent:
    """One run of the agent, which decides from where the last one got."""

    def __init__(self, valkey: Valkey, spool: Path, *, first: int, last: int, always: bool) -> None:
        command = [
            *(sys.executable, "-m", "tests.producers.agent", valkey.url, str(spool)),
            *("--from", str(first), "--to", str(last)),
        ]
        self.process = subprocess.Popen(
            command + ["--always"] * always, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        self.accepted = first

    def accept(self, up_to: int) -> None:
        """Wait until it has accepted so many."""
        assert self.process.stdout is not None
        while self.accepted < up_to:
            line = self.process.stdout.readline()
            assert line, "the agent ended; its traceback is above"
            assert int(line) == self.accepted
            self.accepted += 1

    def kill(self) -> None:
        """SIGKILL; what it had accepted and nobody read yet counts too."""
        self.process.kill()
        printed, _ = self.process.communicate()
        self.accepted += len(printed.splitlines())

    def finish(self) -> None:
        """Let it come to its end."""
        printed, _ = self.process.communicate(timeout=50)
        self.accepted += len(printed.splitlines())
        assert self.process.returncode == 0


class Start(Protocol):
    """Starts an agent."""

    def __call__(
        self, valkey: Valkey, *, first: int = 0, last: int = 10**9, always: bool = False
    ) -> Agent: ...


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts agents, none of which outlives the test."""
    started: list[Agent] = []

    def begin(valkey: Valkey, *, first: int = 0, last: int = 10**9, always: bool = False) -> Agent:
        agent = Agent(valkey, tmp_path / "agent.spool", first=first, last=last, always=always)
        started.append(agent)
        return agent

    yield begin
    for agent in started:
        agent.process.kill()
        with agent.process:
            pass


def check(valkey: Valkey, agents: list[Agent]) -> None:
    """All that these runs accepted is there, once and in order; of what each was at when it was
    killed, either or neither."""
    may = {agent.accepted for agent in agents}
    must = set(range(max(may))) - may
    fills = [data["n"] for _event, data in history(valkey, "fills")]
    decisions = [data["id"] for _event, data in history(valkey, "decisions")]
    for found in (fills, [int(each.removeprefix("d-")) for each in decisions]):
        assert found == sorted(set(found))
        assert must <= set(found) <= must | may


@pytest.mark.timeout(180)
def test_killed_in_the_middle_of_an_outage(durable_valkey: Valkey, start: Start) -> None:
    """With 5,000 decisions accepted while Redis was gone: the next run publishes every one once,
    in order, and then its own."""
    first = start(durable_valkey)
    first.accept(100)
    durable_valkey.kill()
    first.accept(100 + DECISIONS)
    first.kill()
    durable_valkey.start()
    second = start(durable_valkey, first=first.accepted + 1, last=first.accepted + 101)
    second.finish()
    assert second.accepted > DECISIONS + 200
    check(durable_valkey, [first, second])


@pytest.mark.timeout(180)
def test_killed_twice_in_one_outage(durable_valkey: Valkey, start: Start) -> None:
    """A run that begins without Redis, with what the one before left, leaves both to the next."""
    agents = [start(durable_valkey)]
    agents[0].accept(50)
    durable_valkey.kill()
    for _ in range(2):
        agents[-1].accept(agents[-1].accepted + 500)
        agents[-1].kill()
        agents.append(start(durable_valkey, first=agents[-1].accepted + 1, last=2_000))
    agents[-1].accept(agents[-1].accepted + 1)
    durable_valkey.start()
    agents[-1].finish()
    check(durable_valkey, agents)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("always", [False, True])
def test_killed_again_and_again(durable_valkey: Valkey, start: Start, always: bool) -> None:
    """Killed at any moment, before, in and after outages, in which Redis freezes: nothing that was
    accepted is missing, nothing is there twice, and the order is that of the agent."""
    draw = random.Random(11)
    agents: list[Agent] = []
    at = 0
    for run in range(8):
        agent = start(durable_valkey, first=at, always=always)
        agent.accept(at + draw.randrange(1, 60))
        if run % 2:
            durable_valkey.freeze()
            agent.accept(agent.accepted + draw.randrange(1, 400))
        agent.kill()
        durable_valkey.thaw()
        agents.append(agent)
        at = agent.accepted + 1
    last = start(durable_valkey, first=at, last=at + 1, always=always)
    last.finish()
    check(durable_valkey, [*agents, last])
