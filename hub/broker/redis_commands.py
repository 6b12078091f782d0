"""Commands to agents, as a hub sends them through Redis and sees to their ends."""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from redis.exceptions import ResponseError

from hub.broker.base import BrokerUnavailableError
from hub.broker.resp import Command
from hub.protocol import keys
from hub.protocol.agent_commands import CommandReceipt, CommandRequest, Denial, is_commands
from hub.protocol.channels import check_channel
from hub.protocol.command_calls import (
    DENIED_KEPT,
    parse_sent,
    send_call,
    send_refusal,
    sweep_call,
)
from hub.protocol.command_scripts import SEND, SWEEP
from hub.protocol.errors import ChannelNameError
from hub.protocol.scripts import Call
from hub.protocol.streams import Stream, stream_options

logger = logging.getLogger(__name__)

CHANNELS_A_BATCH: Final = 500

Exchange: TypeAlias = Callable[[Sequence[Command]], Awaitable[list[Any]]]
CallScript: TypeAlias = Callable[[str, Sequence[Call]], Awaitable[list[Any]]]


class RedisCommands:
    """What `Broker` promises of commands, over the exchanges of a RedisBroker."""

    def __init__(self, exchange: Exchange, call: CallScript, streams: Mapping[str, Stream]) -> None:
        self._exchange = exchange
        self._call = call
        self._streams = streams
        self._name = f"hub@{socket.gethostname()}:{os.getpid()}"

    async def send(self, requests: Sequence[CommandRequest]) -> list[CommandReceipt | Exception]:
        """See `Broker.send_commands`."""
        # Known before there is anything to sweep, so that no command waits for an end in vain.
        channels = sorted({request.channel for request in requests})
        _raise_refusals(await self._exchange([("SADD", keys.COMMANDED, *channels)]))
        calls = [
            send_call(request, self._keep(request.channel), _epoch(), self._name)
            for request in requests
        ]
        replies = await self._call(SEND, calls)
        return [_receipt(request, reply) for request, reply in zip(requests, replies, strict=True)]

    async def sweep(self) -> None:
        """See `Broker.sweep_commands`."""
        replies = await self._exchange([("SMEMBERS", keys.COMMANDED)])
        _raise_refusals(replies)
        channels = _names(replies[0])
        for at in range(0, len(channels), CHANNELS_A_BATCH):
            await self._sweep(channels[at : at + CHANNELS_A_BATCH])

    async def _sweep(self, channels: Sequence[str]) -> None:
        ask: list[Command] = [("TIME",)]
        ask += [("ZRANGE", keys.due_commands(name), 0, 0, "WITHSCORES") for name in channels]
        replies = await self._exchange(ask)
        _raise_refusals(replies[:1])
        seconds, micros = replies[0]
        now = int(seconds) * 1_000_000 + int(micros)
        # What was damaged by hand is an error in its place, and nobody's else.
        due = [
            name
            for name, reply in zip(channels, replies[1:], strict=True)
            if not isinstance(reply, ResponseError) and reply and float(reply[1]) <= now
        ]
        calls = [sweep_call(name, self._keep(name), _epoch(), self._name) for name in due]
        for name, reply in zip(due, await self._call(SWEEP, calls), strict=True):
            if isinstance(reply, ResponseError):
                logger.warning("%s: commands can't be brought to their end: %s", name, reply)

    async def note_denied(self, denials: Sequence[Denial]) -> None:
        """See `Broker.note_denied`."""
        commands: list[Command] = [
            (
                *("XADD", keys.DENIED, "MAXLEN", "~", DENIED_KEPT, "*", "step", "denied"),
                *("channel", denial.channel, "event", denial.event),
                *("sender", denial.sender, "from", denial.origin, "by", self._name),
            )
            for denial in denials
        ]
        _raise_refusals(await self._exchange(commands))

    def _keep(self, channel: str) -> int:
        return stream_options(channel, self._streams).keep


def _epoch() -> str:
    return secrets.token_urlsafe(6)


def _receipt(request: CommandRequest, reply: Any) -> CommandReceipt | Exception:
    if isinstance(reply, ResponseError):
        return send_refusal(str(reply)) or BrokerUnavailableError(str(reply))
    return parse_sent(request.id, reply)


def _raise_refusals(replies: Sequence[Any]) -> None:
    for reply in replies:
        if isinstance(reply, ResponseError):
            raise BrokerUnavailableError(str(reply))


def _names(members: Sequence[bytes]) -> list[str]:
    """The channels among what may have been put there by hand."""
    found = []
    for member in members:
        try:
            name = check_channel(member.decode(errors="replace"))
        except ChannelNameError:
            continue
        if is_commands(name):
            found.append(name)
    return sorted(found)
