"""The scripts of commands against a model of plain dicts, in every order that Hypothesis thinks of;
and scripts that each break one rule, each of which is seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hub.protocol import command_scripts
from hub.protocol.agent_commands import CommandState
from hub.protocol.command_calls import Lane, NoneWaiting, Outcome, Taken
from hub.protocol.command_scripts import MOST_ATTEMPTS
from tests.core.run_machine import run_machine
from tests.support.command_desk import Desk
from tests.support.valkey import Valkey

IDS = ("a", "b", "c", "d")
URGENT = "emergency.stop"
ENDS = {"done", "failed", "expired"}


@dataclass
class Model:
    """One command as it should be. state: where it is, `handed` among them; attempt: the newest;
    due: whether its lease is over; late: whether it has expired."""

    event: str
    order: int
    state: str = "sent"
    attempt: int = 0
    again: bool = False
    due: bool = False
    late: bool = False
    steps: list[str] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return self.state not in ENDS

    def end(self, state: str) -> None:
        self.state = state
        self.steps.append(state)

    def wait_again(self) -> None:
        self.state, self.due = "sent", False

    def sweep(self) -> None:
        """What becomes of it by itself."""
        if not self.is_open or not self.due:
            return
        if self.state == "accepted":
            if self.again and not self.late and self.attempt < MOST_ATTEMPTS:
                self.wait_again()
            else:
                self.end("failed")
        elif self.late:
            self.end("expired")
        else:
            self.wait_again()


class CommandMachine(RuleBasedStateMachine):
    """client: to a Valkey, emptied first."""

    client: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.desk = Desk(self.client)
        self.models: dict[str, Model] = {}
        self.taken: list[Taken] = []
        self.sent = 0

    def sweep_models(self) -> None:
        for model in self.models.values():
            model.sweep()

    def waiting(self, lane: Lane) -> list[str]:
        """The ids that a worker could get, the first one first."""
        ids = [id for id, model in self.models.items() if model.state == "sent"]
        if lane is not Lane.ANY:
            urgent = lane is Lane.URGENT
            ids = [id for id in ids if (self.models[id].event == URGENT) is urgent]
        return sorted(ids, key=lambda id: (self.models[id].event != URGENT, self.models[id].order))

    def open_ids(self, *states: str) -> list[str]:
        return [id for id, model in self.models.items() if model.state in states]

    @rule(id=st.sampled_from(IDS), event=st.sampled_from(("x", URGENT)))
    def send(self, id: str, event: str) -> None:
        known = self.models.get(id)
        if known is not None:
            receipt = self.desk.send(id, known.event)
            state = "sent" if known.state == "handed" else known.state
            assert (receipt.duplicate, receipt.state) == (True, CommandState(state))
            return
        self.sweep_models()
        if event == URGENT:
            for model in self.models.values():
                if model.state in ("sent", "handed") and model.event != URGENT:
                    model.end("failed")
        assert not self.desk.send(id, event).duplicate
        self.sent += 1
        self.models[id] = Model(event, self.sent)

    @rule(lane=st.sampled_from(Lane))
    def take(self, lane: Lane) -> None:
        self.sweep_models()
        expected = self.waiting(lane)
        found = self.desk.take(lane)
        if not expected:
            assert isinstance(found, NoneWaiting)
            return
        assert isinstance(found, Taken)
        model = self.models[expected[0]]
        model.state, model.attempt, model.due = "handed", model.attempt + 1, model.late
        assert (found.id, found.attempt) == (expected[0], model.attempt)
        self.taken.append(found)

    @precondition(lambda self: self.taken)
    @rule(data=st.data(), again=st.booleans())
    def accept(self, data: Any, again: bool) -> None:
        taken = data.draw(st.sampled_from(self.taken))
        model = self.models[taken.id]
        outcome = self.desk.accept(taken, again=again)
        if model.attempt != taken.attempt or model.state not in ("handed", "accepted"):
            assert outcome is Outcome.LOST
        elif model.state == "accepted":
            assert outcome is Outcome.ACCEPTED
            model.due = False
        elif model.late:
            assert outcome is Outcome.EXPIRED
            model.end("expired")
        else:
            assert outcome is Outcome.ACCEPTED
            model.state, model.again, model.due = "accepted", again, False
            model.steps.append("accepted")

    @precondition(lambda self: self.taken)
    @rule(data=st.data(), state=st.sampled_from((CommandState.DONE, CommandState.FAILED)))
    def end(self, data: Any, state: CommandState) -> None:
        taken = data.draw(st.sampled_from(self.taken))
        model = self.models[taken.id]
        outcome = self.desk.end(taken, state, b'"x"')
        mine = model.attempt == taken.attempt
        if mine and (model.state == "accepted" or (model.state, state) == ("handed", "failed")):
            assert outcome is Outcome.ENDED
            model.end(state)
        else:
            # Said again, since the answer was lost, it is taken as said.
            assert outcome is (Outcome.ENDED if mine and model.state == state else Outcome.LOST)

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def give_back(self, data: Any) -> None:
        taken = data.draw(st.sampled_from(self.taken))
        model = self.models[taken.id]
        self.desk.give_back(taken)
        if (model.attempt, model.state) == (taken.attempt, "handed"):
            model.wait_again()
            model.due = model.late

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def renew(self, data: Any) -> None:
        taken = data.draw(st.sampled_from(self.taken))
        model = self.models[taken.id]
        held = model.attempt == taken.attempt and model.state in ("handed", "accepted")
        assert self.desk.renew(taken) == ([] if held else [taken.id.encode()])
        if held:
            model.due = model.late and model.state == "handed"

    @precondition(lambda self: self.open_ids("handed", "accepted"))
    @rule(data=st.data())
    def lease_passes(self, data: Any) -> None:
        id = data.draw(st.sampled_from(self.open_ids("handed", "accepted")))
        self.desk.let_the_lease_pass(id)
        self.models[id].due = True

    @precondition(lambda self: self.open_ids("sent", "handed", "accepted"))
    @rule(data=st.data())
    def expires(self, data: Any) -> None:
        id = data.draw(st.sampled_from(self.open_ids("sent", "handed", "accepted")))
        self.desk.let_it_expire(id)
        self.models[id].due = self.models[id].late = True

    @rule()
    def sweep(self) -> None:
        self.sweep_models()
        self.desk.sweep()

    @invariant()
    def log_is_the_models(self) -> None:
        """Each command's steps are those of its model, so that it has one end at most."""
        steps: dict[str, list[str]] = {id: [] for id in self.models}
        for event, data in self.desk.log():
            if event.startswith("command."):
                steps[data["id"]].append(event.removeprefix("command."))
        assert steps == {id: model.steps for id, model in self.models.items()}
        for told in steps.values():
            assert sum(step in ENDS for step in told) <= 1
            assert not told or told[-1] in ENDS or set(told) == {"accepted"}


@pytest.fixture(scope="module")
def client() -> Iterator[redis.Redis]:
    with Valkey() as server, redis.Redis(unix_socket_path=str(server.socket)) as client:
        yield client


def machine_on(client: redis.Redis) -> type[CommandMachine]:
    """The machine on this Valkey."""
    return type("Machine", (CommandMachine,), {"client": client})


def test_commands_end_as_their_models_do(client: redis.Redis) -> None:
    """In whatever order they are sent, taken, begun, left, late and ended."""
    run_machine(machine_on(client), 300)


@pytest.mark.parametrize(
    ("script", "rule", "broken"),
    [
        ("END", "command.attempt == ARGV[7]", "true"),
        ("END", "mine and (command.state == 'accepted'", "mine and (true"),
        ("END", "return 'lost'", "return 'ended'"),
        ("ACCEPT", "or command.attempt ~= ARGV[7] ", ""),
        ("ACCEPT", "or command.state == 'sent'", ""),
        ("ACCEPT", "if is_late(command) then", "if false then"),
        ("SWEEP", "command.again == '1' and ", ""),
        ("SWEEP", "finish('expired', command)", "wait_again(command)"),
        ("TAKE", "redis.call('ZREM', WAITING, id)\nredis.call('ZADD'", "redis.call('ZADD'"),
        ("TAKE", "tonumber(command.attempt) + 1", "tonumber(command.attempt)"),
        ("SEND", "if known then", "if false then"),
        ("SEND", "if urgent then", "if false then"),
        ("SEND", "urgent and int(now - 4e15) or ts", "ts"),
        ("RENEW", "or command.attempt ~= ARGV[at + 1] ", ""),
    ],
)  # fmt: skip
def test_a_broken_rule_is_seen(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch, script: str, rule: str, broken: str
) -> None:
    """Each of these is a mistake that somebody could make."""
    text: str = getattr(command_scripts, script)
    assert rule in text
    monkeypatch.setattr(command_scripts, script, text.replace(rule, broken))
    with pytest.raises((AssertionError, redis.ResponseError, KeyError, ValueError)):
        run_machine(machine_on(client), 150, shrink=False)
