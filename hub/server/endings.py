"""Waits for the end of a command within the hub, for those who keep no socket open.

It hears the channel as a client does, over a session of its own, from the command's position on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from hub.core.frame import Frame
from hub.core.grant import Grant
from hub.core.medium import Medium
from hub.core.outbox import Outbox
from hub.core.session import Follow, Session
from hub.protocol import codes
from hub.protocol.agent_commands import ENDS, CommandReceipt
from hub.protocol.commands import Subscribe
from hub.protocol.errors import ProtocolError
from hub.server.hub import Hub


class _InMemory:
    """Sinks are called with each frame's bytes."""

    def spell(self, frames: Sequence[Frame]) -> list[bytes]:
        return [frame.payload for frame in frames]

    def fan_out(self, frames: Sequence[Frame], sinks: Sequence[Callable[[bytes], None]]) -> None:
        for sink in sinks:
            for frame in frames:
                sink(frame.payload)


_MEDIUM: Final[Medium] = _InMemory()


class Ending(msgspec.Struct, frozen=True):
    """The end of a command: its event, and the data of its entry."""

    event: str
    data: dict[str, Any]


class _Entry(msgspec.Struct):
    event: str = ""
    data: Any = None
    type: str = ""
    error: Any = None


_decode = msgspec.json.Decoder(_Entry).decode


async def ending_of(hub: Hub, channel: str, receipt: CommandReceipt) -> Ending:
    """The end of a command, whenever it comes: the caller sets the deadline.

    Raises ProtocolError where the channel can't be heard.
    """
    found: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()

    def hear(payload: bytes) -> None:
        frame = _decode(payload)
        if found.done():
            return
        if frame.error is not None:
            message = f"the end of the command can't be heard: {frame.error['message']}"
            found.set_exception(ProtocolError(message, code=codes.UNAVAILABLE))
        elif frame.type == "snapshot":
            for entry in msgspec.convert(frame.data["entries"], list[_Entry]):
                look_at(entry)
        elif frame.type == "update":
            look_at(frame)

    def look_at(entry: _Entry) -> None:
        mine = isinstance(entry.data, dict) and entry.data.get("id") == receipt.id
        if mine and entry.event in ENDS and not found.done():
            found.set_result(Ending(entry.event, entry.data))

    now = hub.clock()
    session = Session("", Outbox(_MEDIUM, hear, hub.limits), hub.limits, now)
    session.authorize(Grant("", read=(channel,)), None, now, None)
    # As if the client had said it.
    text = msgspec.json.encode(
        {"id": 1, "method": "subscribe", "params": {"channel": channel, "since": receipt.position}}
    )
    follow = session.receive(text, now)
    assert isinstance(follow, Follow)
    assert isinstance(follow.params, Subscribe)
    try:
        hub.feeds.follow(session, follow)
        return await found
    finally:
        session.end()
