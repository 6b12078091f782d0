"""The connection adapter for uvicorn's `ws=` slot: an asyncio.Protocol, and no task.

uvicorn hands over a transport and the bytes of the upgrade request. Nothing here decides about the
protocol: bytes become frames, frames go to the session, and what the core decides comes back as
calls of `close` and `abort`, or straight to the transport as bytes that many connections share.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from hub.core.outbox import Outbox
from hub.protocol.codes import Code
from hub.protocol.frames import SUBPROTOCOL
from hub.server.batch import word
from hub.server.connection import Connection
from hub.server.cookie import socket_token
from hub.server.handshake import Accepted, Rejected, open_handshake, reject
from hub.server.media import PLAIN, compressing, give_back, take_descriptor
from hub.server.wsframes import (
    Breach,
    FrameReader,
    InflatingReader,
    Ping,
    Text,
    encode_close,
    encode_pong,
)
from hub.server.wsframes import Close as CloseFrame

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn.server import ServerState

    from hub.server.hub import Hub
    from hub.server.legacy.places import Place

PATH = "/ws"


class WebSocketProtocol(asyncio.Protocol, Connection):
    """One connection, from its upgrade request to its end."""

    __slots__ = ("_descriptor", "_head", "_hub", "_place", "_reader", "_rejected", "_response",
                 "_transport")  # fmt: skip

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any]
    ) -> None:
        # uvicorn calls it so for each upgrade; `app_state` is what the lifespan yielded.
        self._hub: Hub = app_state["hub"]
        # Of the old server's paths; None for our own.
        self._place: Place | None = None
        self._reader: FrameReader | None = None
        self._rejected = False
        self._head = b""
        self._response = b""
        self._descriptor: int | None = None
        self._transport: asyncio.Transport

    # What the transport says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no asyncio.Transport, and act like one.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._reader is None:
            self._await_turn(data)
            return
        for event in self._reader.receive(data):
            match event:
                case Text(payload):
                    (self._place or self._hub).receive(self, payload)
                case Ping(payload):
                    if self.session.outbox.clear:
                        self._transport.write(encode_pong(payload))
                case CloseFrame(code):
                    self._answer_close(code)
                case Breach(code, reason):
                    self._hub.close(self, code, reason)
                    self._end_writing()

    def eof_received(self) -> None:
        # None lets the transport close itself: a client that half-closes is gone.
        return

    def pause_writing(self) -> None:
        # What a client sends while it reads nothing would be answered into its outbox.
        self._transport.pause_reading()
        self._hub.paused(self)

    def resume_writing(self) -> None:
        self._transport.resume_reading()
        self._hub.resumed(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._reader is not None:
            self._hub.lost(self)
        if self._descriptor is not None:
            # It is the transport's to close, which it does after this.
            give_back(self._descriptor)

    # The handshake

    def _await_turn(self, head: bytes) -> None:
        if self._rejected or len(self._head) > self._hub.settings.header_bytes:
            return
        waits = bool(self._head)
        # What comes before the answer is no frame: it is judged with the head, and refused.
        self._head += head
        if not waits:
            self._hub.turnstile.enter(self._enter)

    def _enter(self) -> None:
        if self._transport.is_closing():
            return
        try:
            self._open()
        except BaseException:
            self._transport.abort()
            raise

    def _open(self) -> None:
        hub, transport = self._hub, self._transport
        head, self._head = self._head, b""
        if hub.legacy is not None:
            self._place = hub.legacy.place_of(head)
        answer = self._answer(head) if self._place is None else self._place.open_handshake(head)
        if isinstance(answer, Rejected):
            self._rejected = True
            transport.write(answer.response)
            transport.close()
            return
        self._response = answer.response
        reader = InflatingReader if answer.compresses else FrameReader
        self._reader = reader(hub.settings.frame_bytes)
        # Paused at the first byte that it holds: see `hub.server.media`.
        transport.set_write_buffer_limits(0)
        self._admit(answer)

    def _answer(self, head: bytes) -> Accepted | Rejected:
        settings = self._hub.settings
        answer = open_handshake(
            head,
            subprotocols=(SUBPROTOCOL,),
            # A browser hears of a refused origin only after the handshake: see `Hub.admit`.
            origin_allowed=lambda request: True,
            max_bytes=settings.header_bytes,
            compression=settings.compression,
        )
        if isinstance(answer, Accepted) and answer.request.path != PATH:
            return reject(HTTPStatus.NOT_FOUND, f"WebSockets are at {PATH}")
        return answer

    def _admit(self, accepted: Accepted) -> None:
        hub, request = self._hub, accepted.request
        media = compressing(hub.settings.compression_bytes) if accepted.compresses else PLAIN
        self._descriptor = take_descriptor(self._transport)
        if self._descriptor is None:
            medium = media.by_transport
        else:
            medium = media.by_batch if hub.settings.batched_writes else media.by_descriptor
        if self._place is not None:
            self._place.admit_upgrade(self, medium, self._write_first, request)
            return
        origin, host = request.origin, request.host
        token = socket_token(request.authorization, request.offered, request.cookie, origin, host)
        outbox = Outbox(medium, self._write_first, hub.limits)
        hub.admit(self, outbox, origin=origin, host=host, token=token)

    def _write_first(self, welcome: bytes) -> None:
        """The welcome leaves with the handshake's response: a write is a system call."""
        outbox = self.session.outbox
        outbox.write = outbox.sink = self._transport.write
        if self._descriptor is not None:
            outbox.sink = word(self._descriptor)
        outbox.write(self._taken_response() + welcome)

    def _taken_response(self) -> bytes:
        response, self._response = self._response, b""
        return response

    @property
    def peer(self) -> str:
        address = self._transport.get_extra_info("peername")
        # A tuple of TCP; what a Unix socket has says nothing.
        return str(address[0]) if isinstance(address, tuple) else ""

    # The end

    def close(self, code: Code, reason: str) -> None:
        # Where the connection is refused, nothing was written yet.
        number = code.number if self._place is None else self._place.close_number(code)
        self._transport.write(self._taken_response() + encode_close(number, reason))
        # A client that still waits for room has frames before this one, and must read them.
        self._transport.resume_reading()

    def abort(self) -> None:
        self._transport.abort()

    def _end_writing(self) -> None:
        # What a client sends after a breach is not read as frames, so its close would not be seen:
        # it sees ours, and ends the connection. To close here would reset the connection where
        # bytes are still on their way, and our close frame could be lost with them.
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def _answer_close(self, code: int) -> None:
        if not self.session.closed:
            self._hub.left(self)
            self._transport.write(encode_close(code, ""))
        self._transport.close()
