"""Calls the scripts of commands as hubs and workers do, step by step."""

from __future__ import annotations

import json
from typing import Any

import redis

from hub.protocol import command_scripts, keys
from hub.protocol.agent_commands import CommandReceipt, CommandRequest, CommandState
from hub.protocol.command_calls import (
    Lane,
    NoneWaiting,
    Outcome,
    Taken,
    Worker,
    parse_outcome,
    parse_sent,
    parse_taken,
    send_call,
    send_refusal,
    sweep_call,
)
from hub.protocol.envelope import decode_envelope
from hub.protocol.scripts import Call

CHANNEL = "commands:desk-7"


class Desk:
    """Calls the scripts as hubs and workers do, and can let time pass for one command."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.worker = Worker(CHANNEL, "paper@here:1", 1_000, lease_ms=60_000, listens_ms=3_000)

    def run(self, script: str, call: Call) -> Any:
        return self.client.eval(script, len(call.keys), *call.keys, *call.args)

    def send(
        self,
        id: str = "c1",
        event: str = "agent.pause",
        data: bytes = b"{}",
        *,
        sender: str = "ann",
        expires_in_ms: int = 60_000,
    ) -> CommandReceipt:
        request = CommandRequest(CHANNEL, id, event, data, sender, "socket", expires_in_ms)
        try:
            reply = self.run(command_scripts.SEND, send_call(request, 1_000, "e1", "hub-1"))
        except redis.ResponseError as error:
            raise (send_refusal(str(error)) or error) from None
        return parse_sent(id, reply)

    def take(self, lane: Lane = Lane.ANY) -> Taken | NoneWaiting:
        return parse_taken(self.run(command_scripts.TAKE, self.worker.take("e1", lane)))

    def taken(self) -> Taken:
        taken = self.take()
        assert isinstance(taken, Taken)
        return taken

    def accept(self, taken: Taken, *, again: bool = False) -> Outcome:
        call = self.worker.accept("e1", taken.id, taken.attempt, again=again)
        return parse_outcome(self.run(command_scripts.ACCEPT, call))

    def begun(self, *, again: bool = False) -> Taken:
        taken = self.taken()
        assert self.accept(taken, again=again) is Outcome.ACCEPTED
        return taken

    def end(
        self, taken: Taken, state: CommandState = CommandState.DONE, outcome: bytes = b"null"
    ) -> Outcome:
        call = self.worker.end("e1", taken.id, taken.attempt, state, outcome)
        return parse_outcome(self.run(command_scripts.END, call))

    def give_back(self, taken: Taken) -> None:
        call = self.worker.give_back("e1", taken.id, taken.attempt)
        assert parse_outcome(self.run(command_scripts.END, call)) is Outcome.ENDED

    def renew(self, *held: Taken) -> list[bytes]:
        call = self.worker.renew("e1", [(each.id, each.attempt) for each in held])
        lost: list[bytes] = self.run(command_scripts.RENEW, call)
        return lost

    def sweep(self) -> None:
        self.run(command_scripts.SWEEP, sweep_call(CHANNEL, 1_000, "e1", "hub-1"))

    # Time

    def let_the_lease_pass(self, id: str = "c1") -> None:
        """As if so long ago its worker had been heard last."""
        self.client.zadd(keys.due_commands(CHANNEL), {id: 1}, xx=True)

    def let_it_expire(self, id: str = "c1") -> None:
        """As if it had been sent so long ago."""
        found: Any = self.client.hget(keys.open_commands(CHANNEL), id)
        fields = found.split(b"\n")
        fields[6] = b"1"
        self.client.hset(keys.open_commands(CHANNEL), id, b"\n".join(fields))
        self.let_the_lease_pass(id)

    # What there is to see

    def log(self) -> list[tuple[str, Any]]:
        found: Any = self.client.xrange(keys.log(CHANNEL))
        envelopes = [decode_envelope(CHANNEL, fields[b"e"]) for _, fields in found]
        return [(each.event, json.loads(each.data)) for each in envelopes]

    def events(self) -> list[str]:
        return [event for event, _ in self.log()]

    def audit(self) -> list[dict[str, str]]:
        found: Any = self.client.xrange(keys.audit(CHANNEL))
        return [
            {name.decode(): text.decode() for name, text in fields.items()} for _, fields in found
        ]

    def steps(self) -> list[str]:
        return [entry["step"] for entry in self.audit()]

    def dump(self) -> dict[bytes, bytes | None]:
        names: Any = self.client.keys()
        return {name: self.client.dump(name) for name in names}
