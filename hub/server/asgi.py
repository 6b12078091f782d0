"""The connection adapter for any ASGI server: the session behind a Starlette WebSocketRoute.

Equal in behaviour to hub.server.websocket, and dearer: two tasks a connection, and a send that is
awaited. What ASGI hides is done here with what it leaves: the backlog that a transport would show
is counted in front of `send`. What ASGI does not have stays the server's: the bounds of the
handshake, the status of a refusal before accept, a bound on messages before they are read
(uvicorn's `ws_max_size`), compression (uvicorn's `ws_per_message_deflate`), and freeing the
transport of a client that stopped reading.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import Message, Scope
from starlette.websockets import WebSocket, WebSocketDisconnect

from hub.core.frame import Frame
from hub.core.medium import Medium
from hub.core.outbox import Outbox
from hub.protocol import codes
from hub.protocol.codes import Code
from hub.protocol.frames import SUBPROTOCOL
from hub.server.connection import Connection
from hub.server.cookie import socket_token
from hub.server.hub import Hub
from hub.server.wsframes import cut_reason

if TYPE_CHECKING:
    from hub.server.legacy.places import Place

HIGH_WATER_CHARACTERS = 64 * 1024
LOW_WATER_CHARACTERS = 16 * 1024

_SINGLE = ("host", "authorization")
"""Headers of which two would mean two things; see hub.server.handshake."""

_GONE = (WebSocketDisconnect, RuntimeError)
"""What `send` raises where the client is gone already; the reader hears of it too."""


class _Asgi:
    """Sinks are the `_write` of connections."""

    def spell(self, frames: Sequence[Frame]) -> list[str]:
        """One by one, as ASGI wants them."""
        return [_text(frame) for frame in frames]

    def fan_out(self, frames: Sequence[Frame], sinks: Sequence[Callable[[str], None]]) -> None:
        for text in self.spell(frames):
            for write in sinks:
                write(text)


ASGI: Final[Medium] = _Asgi()


def _text(frame: Frame) -> str:
    text = frame.text
    if text is None:
        text = frame.text = frame.payload.decode()
    return text


async def serve_websocket(websocket: WebSocket) -> None:
    """Serve one connection; the route that `create_app` adds for servers without our `ws=` class.

    Expects the hub at `websocket.app.state.hub`.
    """
    hub: Hub = websocket.app.state.hub
    offered = websocket.scope["subprotocols"]
    if is_ambiguous(websocket) or (offered and SUBPROTOCOL not in offered):
        # Before accept, a close is answered with 403 (ASGI specification, "Disconnect").
        await websocket.close()
        return
    await websocket.accept(SUBPROTOCOL if offered else None)
    connection = AsgiConnection(websocket, hub)
    connection.admit(offered)
    await connection.run()


class Socket(Protocol):
    """What is used of a Starlette WebSocket."""

    @property
    def headers(self) -> Headers: ...

    @property
    def scope(self) -> Scope: ...

    async def receive(self) -> Message: ...

    async def send_text(self, text: str, /) -> None: ...

    async def close(self, code: int, reason: str, /) -> None: ...


def is_ambiguous(request: HTTPConnection) -> bool:
    """Whether a header came twice that would then mean two things."""
    return any(len(request.headers.getlist(name)) > 1 for name in _SINGLE)


class AsgiConnection(Connection):
    """One connection, from its handshake to its end."""

    __slots__ = ("_backlog", "_changed", "_closing", "_hub", "_paused", "_place", "_waiting",
                 "_websocket", "_work")  # fmt: skip

    def __init__(self, websocket: Socket, hub: Hub, place: Place | None = None) -> None:
        self._websocket = websocket
        self._hub = hub
        # Of the old server's paths; None for our own.
        self._place = place
        self._waiting: deque[str] = deque()
        self._backlog = 0
        self._paused = False
        self._closing: tuple[int, str] | None = None
        self._changed = asyncio.Event()
        self._work: asyncio.Task[None] | None = None

    def admit(self, offered: list[str]) -> None:
        """Open a session, or refuse the connection with a reason that a browser can see."""
        if self._place is not None:
            self._place.admit_asgi(self, ASGI, self._write, self._websocket)
            return
        hub, headers = self._hub, self._websocket.headers
        outbox = Outbox(ASGI, self._write, hub.limits)
        origin, host = headers.get("origin"), headers.get("host", "")
        cookies = "; ".join(headers.getlist("cookie"))
        token = socket_token(headers.get("authorization"), offered, cookies, origin, host)
        hub.admit(self, outbox, origin=origin, host=host, token=token)

    async def run(self) -> None:
        """Read and write until either side ends."""
        self._work = asyncio.create_task(self._read_and_write())
        try:
            await asyncio.wait([self._work])
        finally:
            self._work.cancel()
            self._hub.lost(self)
        if not self._work.cancelled() and (error := self._work.exception()) is not None:
            raise error

    async def _read_and_write(self) -> None:
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(self._write_waiting())
            await self._read()
            writer.cancel()

    async def _read(self) -> None:
        limit = self._hub.settings.frame_bytes
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                self._hub.left(self)
                return
            text = message.get("text")
            if text is None:
                self._hub.close(self, codes.UNSUPPORTED, "binary messages are not taken")
                continue
            payload = text.encode()
            if len(payload) > limit:
                reason = f"message of {len(payload)} bytes; at most {limit} are taken"
                self._hub.close(self, codes.TOO_BIG, reason)
            else:
                (self._place or self._hub).receive(self, payload)
            if self._paused:
                # What a client sends while it reads nothing would be answered into its outbox.
                await self._until_resumed()

    async def _until_resumed(self) -> None:
        while self._paused and self._closing is None:
            self._changed.clear()
            await self._changed.wait()

    def _write(self, text: str) -> None:
        self._waiting.append(text)
        self._backlog += len(text)
        self._changed.set()
        if self._backlog > HIGH_WATER_CHARACTERS and not self._paused:
            self._paused = True
            self._hub.paused(self)

    async def _write_waiting(self) -> None:
        while True:
            while self._waiting:
                text = self._waiting.popleft()
                try:
                    await self._websocket.send_text(text)
                except _GONE:
                    return
                self._backlog -= len(text)
                if self._paused and self._backlog < LOW_WATER_CHARACTERS:
                    self._paused = False
                    self._hub.resumed(self)
                    self._changed.set()
            if self._closing is not None:
                with suppress(*_GONE):
                    await self._websocket.close(*self._closing)
                return
            self._changed.clear()
            await self._changed.wait()

    @property
    def peer(self) -> str:
        address = self._websocket.scope.get("client")
        return str(address[0]) if address else ""

    def close(self, code: Code, reason: str) -> None:
        number = code.number if self._place is None else self._place.close_number(code)
        self._closing = (number, cut_reason(reason))
        self._changed.set()

    def abort(self) -> None:
        if self._work is not None:
            self._work.cancel()
