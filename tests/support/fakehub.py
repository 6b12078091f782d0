"""A hub that does what a test tells it, one step at a time, for faults that a real one has not."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from hub.protocol import frames
from hub.protocol.codes import Code
from hub.protocol.envelope import encode_envelope
from hub.protocol.position import Position
from hub.protocol.streams import Kind

DEADLINE_SECONDS = 20.0
"""Generous: only a test that fails waits so long."""


class Heard(msgspec.Struct, frozen=True):
    """A command that the fake hub received."""

    id: int
    method: str
    params: dict[str, Any]


class FakeConnection:
    """One client's connection."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    @property
    def authorization(self) -> str | None:
        """The header of the handshake."""
        assert self._connection.request is not None
        return self._connection.request.headers.get("Authorization")

    async def welcome(self, *, heartbeat_ms: int = 60_000) -> None:
        """Say the first words."""
        await self.send(frames.welcome("fake", heartbeat_ms, "0"))

    async def send(self, *texts: bytes) -> None:
        """Send text frames."""
        for text in texts:
            await self._connection.send(text, text=True)

    async def expect(self, method: str) -> Heard:
        """The next command, which must be this one."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            text = await self._connection.recv()
        heard = msgspec.json.decode(text, type=Heard)
        assert heard.method == method, f"expected {method}, heard {text!r}"
        return heard

    async def expect_subscribe(
        self,
        channel: str,
        position: Position,
        *,
        recovered: bool = False,
        kind: Kind = Kind.LOG,
        stale: bool = False,
    ) -> dict[str, Any]:
        """Take a subscribe to `channel` and answer it; returns its parameters."""
        heard = await self.expect("subscribe")
        assert heard.params["channel"] == channel
        await self.send(
            frames.subscribed(
                heard.id,
                channel,
                position,
                kind=kind,
                stale=stale,
                recovered=recovered,
                interval_ms=0,
            )
        )
        return heard.params

    async def close(self, code: Code | int, reason: str = "") -> None:
        """Close with a close frame."""
        number = code.number if isinstance(code, Code) else code
        await self._connection.close(number, reason)

    def abort(self) -> None:
        """Break the link without a word."""
        self._connection.transport.abort()

    async def closed(self) -> int:
        """Wait until the client has closed; returns its code."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            try:
                while True:
                    await self._connection.recv()
            except ConnectionClosed as error:
                return 1006 if error.rcvd is None else error.rcvd.code


class FakeHub:
    """A server on a free port. Connections wait for the test to `accept` them."""

    def __init__(self, *, subprotocol: str | None = frames.SUBPROTOCOL) -> None:
        self._subprotocols = None if subprotocol is None else [Subprotocol(subprotocol)]
        self._arrived: asyncio.Queue[FakeConnection] = asyncio.Queue()
        self._refusals: list[HTTPStatus] = []
        self._server: Server | None = None
        self._ended = asyncio.Event()
        self.attempts = 0

    @property
    def url(self) -> str:
        """Where clients find it."""
        assert self._server is not None
        host, port = next(iter(self._server.sockets)).getsockname()[:2]
        return f"http://{host}:{port}"

    def refuse(self, *statuses: HTTPStatus) -> None:
        """Answer the next handshakes with these statuses."""
        self._refusals.extend(statuses)

    async def accept(self) -> FakeConnection:
        """The next connection that a client opened."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await self._arrived.get()

    async def welcome(self, *, heartbeat_ms: int = 60_000) -> FakeConnection:
        """The next connection, welcomed."""
        connection = await self.accept()
        await connection.welcome(heartbeat_ms=heartbeat_ms)
        return connection

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            0,
            subprotocols=self._subprotocols,
            process_request=self._process,
            compression=None,
            ping_interval=None,
            close_timeout=1,
            max_size=None,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._ended.set()
        self._server.close()
        await self._server.wait_closed()

    def _process(self, connection: ServerConnection, request: Request) -> Response | None:
        self.attempts += 1
        return connection.respond(self._refusals.pop(0), "refused") if self._refusals else None

    async def _serve(self, connection: ServerConnection) -> None:
        await self._arrived.put(FakeConnection(connection))
        ended = asyncio.create_task(self._ended.wait())
        closed = asyncio.create_task(connection.wait_closed())
        await asyncio.wait([ended, closed], return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        closed.cancel()


class Tape:
    """Envelopes of one channel, each following the one before."""

    def __init__(self, channel: str, epoch: str = "e1") -> None:
        self.channel = channel
        self.position = Position(epoch, 0, "")

    def write(self, data: Any, event: str = "entry") -> bytes:
        """The next envelope's bytes."""
        encoded = msgspec.json.encode(data)
        envelope = encode_envelope(self.channel, event, self.position, 1_000, encoded)
        self.position = envelope.position
        return envelope.payload

    def snapshot(self, data: Any) -> bytes:
        """A snapshot where the tape stands."""
        return frames.snapshot(self.channel, self.position, 1_000, msgspec.json.encode(data))

    def restart(self, epoch: str) -> None:
        """Begin a new history."""
        self.position = Position(epoch, 0, "")
