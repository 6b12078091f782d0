"""The old server's stream of server-sent events: what its WebSocket says, to whoever only listens.

It is a connection like those of WebSockets, with the same session, bounds and end; only what it is
written with differs. Who is not let in is told by the status, as a browser then asks no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from hub.protocol import codes
from hub.protocol.codes import Code
from hub.protocol.errors import ProtocolError
from hub.server.asgi import AsgiConnection
from hub.server.hub import CLOSING_SECONDS
from hub.server.legacy.answers import refuse_old
from hub.server.legacy.places import Place

HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    # For nginx, which would hold events back until it has many.
    "X-Accel-Buffering": "no",
}

_AS_ERROR: Final[Mapping[Code, Code]] = {
    codes.TRY_LATER: codes.UNAVAILABLE,
    codes.RESTART: codes.UNAVAILABLE,
    codes.INTERNAL: codes.FAILED,
}
"""Codes of closes that are no answer to a request, and those that are."""


class EventStream:
    """One response, used as the socket of an AsgiConnection."""

    def __init__(self, request: Request, receive: Receive, send: Send) -> None:
        self._request = request
        self._receive = receive
        self._send = send
        self._ended = False

    @property
    def headers(self) -> Headers:
        return self._request.headers

    @property
    def scope(self) -> Scope:
        return self._request.scope

    async def receive(self) -> Message:
        """Returns when the client is gone: it says nothing."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        return {"type": "websocket.disconnect"}

    async def start(self) -> None:
        """Say what is to come."""
        headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def send_text(self, text: str, /) -> None:
        """One event; JSON has no line ends of its own."""
        await self._write(b"data: %b\n\n" % text.encode())

    async def close(self, code: int, reason: str, /) -> None:
        """The end; the client comes back and is told by the status whether it may."""
        if not self._ended:
            self._ended = True
            await self._write(b"", more=False)

    async def _write(self, body: bytes, *, more: bool = True) -> None:
        try:
            await self._send({"type": "http.response.body", "body": body, "more_body": more})
        except OSError:
            raise WebSocketDisconnect(codes.ABNORMAL.number) from None


class StreamConnection(AsgiConnection):
    """refusal: why the connection was closed, once it was."""

    __slots__ = ("refusal",)

    refusal: tuple[Code, str] | None

    def close(self, code: Code, reason: str) -> None:
        self.refusal = (code, reason)
        super().close(code, reason)


class StreamAnswer(Response):
    """The answer to a request for the stream of a place."""

    def __init__(self, place: Place, request: Request) -> None:
        super().__init__(headers=HEADERS)
        self._place = place
        self._request = request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = EventStream(self._request, receive, send)
        hub = self._place.hub
        connection = StreamConnection(socket, hub, self._place)
        connection.refusal = None
        connection.admit([])
        if connection.refusal is not None:
            hub.lost(connection)
            code, reason = connection.refusal
            error = ProtocolError(reason, code=_AS_ERROR.get(code, code))
            await refuse_old(error)(scope, receive, send)
            return
        await socket.start()
        await connection.run()
        # Where it was aborted, its client takes nothing: for a while, in case that it does.
        with suppress(TimeoutError, WebSocketDisconnect):
            async with asyncio.timeout(CLOSING_SECONDS):
                await socket.close(codes.ABNORMAL.number, "")
