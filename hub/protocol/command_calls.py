"""The calls of the scripts in `command_scripts`, and what they are answered."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from hub.protocol import codes, keys
from hub.protocol.agent_commands import (
    MAX_COMMAND_BYTES,
    CommandReceipt,
    CommandRequest,
    CommandState,
    Name,
)
from hub.protocol.channels import check_channel
from hub.protocol.errors import ProtocolError
from hub.protocol.position import Position
from hub.protocol.scripts import Argument, Call, refusal

MAX_OPEN: Final = 1_000
"""Commands of one agent that have not ended; one more is refused."""
REMEMBERED: Final = 100_000
"""Ids of one agent's commands that are known when they come again."""
DENIED_KEPT: Final = 10_000
"""Commands by those who had no right to them, in the audit."""


class Lane(enum.StrEnum):
    """Which commands a worker takes."""

    ANY = "any"
    """All, the urgent ones first."""
    URGENT = "urgent"
    ORDINARY = "ordinary"


class Taken(msgspec.Struct, frozen=True):
    """A command in a worker's hands, under its attempt; `data` and times as in the log."""

    id: str
    attempt: int
    event: str
    data: bytes
    sender: str
    sent_at: int
    expires_at: int


class NoneWaiting(msgspec.Struct, frozen=True):
    """There is nothing to do: the log stands at `seq`, and in `due_ms` something may become of a
    command by itself; None where none is open."""

    seq: int
    due_ms: int | None


class Outcome(enum.StrEnum):
    """What a worker is answered.

    expired: it came too late to begin. lost: the attempt is over, so nothing was recorded.
    """

    ACCEPTED = "accepted"
    ENDED = "ended"
    EXPIRED = "expired"
    LOST = "lost"


def _call(channel: str, keep: int, new_epoch: str, by: str, *own: Argument) -> Call:
    check_channel(channel)
    return Call(
        (
            keys.meta(channel),
            keys.log(channel),
            keys.state(channel),
            keys.entry_keys(channel),
            keys.open_commands(channel),
            keys.waiting_commands(channel),
            keys.due_commands(channel),
            keys.audit(channel),
        ),
        (keys.pubsub(channel), channel, new_epoch, keep, by, *own),
    )


def send_call(request: CommandRequest, keep: int, new_epoch: str, by: str) -> Call:
    """The arguments of `SEND`. Raises ChannelNameError.

    keep: of the channel's stream. new_epoch: a fresh random id. by: who calls, for the audit.
    """
    return _call(
        request.channel,
        keep,
        new_epoch,
        by,
        request.id,
        request.event,
        request.data,
        msgspec.json.encode(request.sender),
        request.origin,
        request.expires_in_ms,
        "1" if request.event == Name.EMERGENCY_STOP else "",
        MAX_OPEN,
        REMEMBERED,
        MAX_COMMAND_BYTES,
    )


def parse_sent(id: str, reply: bytes) -> CommandReceipt:
    """Read the answer of `SEND`."""
    status, epoch, seq, tag, expires, state = reply.decode().split(" ")
    return CommandReceipt(
        id,
        Position(epoch, int(seq), tag),
        expires_at=int(expires),
        state=CommandState(state),
        duplicate=status == "again",
    )


def send_refusal(message: str) -> ProtocolError | None:
    """The error that `SEND` refused a command with, or None for one that is Redis's own."""
    word, _, rest = message.partition(" ")
    match word:
        case "OTHER":
            text = f"the id {rest} was another command's; nothing was sent"
            return ProtocolError(text, code=codes.INVALID_DATA)
        case "FULL":
            text = f"{rest} commands to this agent wait for their end already"
            return ProtocolError(text, code=codes.TOO_MANY)
    return refusal(message)


def sweep_call(channel: str, keep: int, new_epoch: str, by: str) -> Call:
    """The arguments of `SWEEP`."""
    return _call(channel, keep, new_epoch, by)


class Worker(msgspec.Struct, frozen=True):
    """One worker of an agent, and the calls that it makes.

    name: for people. lease_ms: for how long a command is its own without being renewed.
    listens_ms: for how long a `TAKE` shows that somebody listens.
    """

    channel: str
    name: str
    keep: int
    lease_ms: int
    listens_ms: int

    def take(self, new_epoch: str, lane: Lane = Lane.ANY) -> Call:
        """The arguments of `TAKE`."""
        name = msgspec.json.encode(self.name)
        return self._call(new_epoch, name, self.lease_ms, lane.value, self.listens_ms)

    def accept(self, new_epoch: str, id: str, attempt: int, *, again: bool) -> Call:
        """The arguments of `ACCEPT`. again: whether it may be done again after this worker died."""
        return self._call(new_epoch, id, attempt, self.lease_ms, "1" if again else "")

    def renew(self, new_epoch: str, held: Sequence[tuple[str, int]]) -> Call:
        """The arguments of `RENEW`, for each command's id and attempt."""
        return self._call(new_epoch, self.lease_ms, *(part for each in held for part in each))

    def end(
        self, new_epoch: str, id: str, attempt: int, state: CommandState, outcome: bytes
    ) -> Call:
        """The arguments of `END`; outcome: the result or the reason, as JSON."""
        return self._call(new_epoch, id, attempt, state.value, outcome, MAX_COMMAND_BYTES)

    def give_back(self, new_epoch: str, id: str, attempt: int) -> Call:
        """The arguments of `END` for a command that was not accepted: another may have it."""
        return self._call(new_epoch, id, attempt, "returned", "", MAX_COMMAND_BYTES)

    def _call(self, new_epoch: str, *own: Argument) -> Call:
        return _call(self.channel, self.keep, new_epoch, self.name, *own)


def parse_taken(reply: Sequence[Any]) -> Taken | NoneWaiting:
    """Read the answer of `TAKE`."""
    if len(reply) == 2:
        seq, due = reply
        return NoneWaiting(int(seq), int(due) if due else None)
    _seq, _due, id, attempt, event, data, sender, sent_at, expires_at = reply
    return Taken(
        id.decode(),
        int(attempt),
        event.decode(),
        data,
        msgspec.json.decode(sender, type=str),
        int(sent_at),
        int(expires_at),
    )


def parse_outcome(reply: bytes) -> Outcome:
    """Read the answer of `ACCEPT` or `END`."""
    return Outcome(reply.decode())
