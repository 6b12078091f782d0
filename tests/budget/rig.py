"""A hub whose clients are transports that keep nothing: what is counted is the hub's own.

Everything else is as `tapecast serve` has it: the protocol class, tokens, sessions, feeds and
broadcaster, on uvloop; the channels are in memory. The hub's clock stands still, and its ticks are
ended, as they would come by another one.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

import uvloop
from websockets.frames import Frame, Opcode

from hub.broker.memory import MemoryBroker
from hub.protocol.envelope import encode_envelope
from hub.protocol.frames import SUBPROTOCOL
from hub.protocol.streams import Kind
from hub.server.auth import Authenticator, mint_token
from hub.server.hub import Hub
from hub.server.settings import Settings
from hub.server.websocket import WebSocketProtocol
from tests.support.publications import touch

T = TypeVar("T")

SECRET = "the-budget-counts-what-these-tokens-cost"
CHANNEL = "portfolio"
NOW = 1_800_000_000.0
TURNS = 8
"""Of the event loop, which an envelope is given to reach its transports."""

_DATA = b'{"balance":"100000.00","equity":"%d.50","available":"90000.00","currency":"USD"}'
_SUBSCRIBE = b'{"id":1,"method":"subscribe","params":{"channel":"portfolio"}}'


class Sink:
    """A socket that takes whatever is sent: datagrams to another one, which nobody reads."""

    def __enter__(self) -> socket.socket:
        self._unread = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._unread.bind(("127.0.0.1", 0))
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(self._unread.getsockname())
        return self._socket

    def __exit__(self, *_error: object) -> None:
        self._socket.close()
        self._unread.close()


class Transport(asyncio.Transport):
    """Takes everything at once. socket: what it says that its socket is. write: a function in C, so
    that its call is one."""

    __slots__ = ("write",)

    def __init__(
        self, socket: socket.socket | None = None, write: Callable[[Any], Any] = len
    ) -> None:
        super().__init__({"socket": socket})
        self.write = write  # type: ignore[assignment,method-assign]

    get_write_buffer_size = staticmethod(int)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def abort(self) -> None:
        pass


class Rig:
    """One hub and its clients. Made and used outside of a running event loop."""

    def __init__(self, *, batched: bool = True) -> None:
        settings = Settings(jwt_secret=SECRET, batched_writes=batched)
        self.broker = MemoryBroker()
        authenticator = Authenticator(settings, lambda: NOW)
        self.hub = Hub(
            settings, self.broker, authenticator, clock=lambda: 0.0, wall_clock=lambda: NOW
        )
        self.protocols: list[WebSocketProtocol] = []
        self._loop = uvloop.new_event_loop()
        self._sent: deque[bytes] = deque(maxlen=8)
        self._minted = 0

    def __enter__(self) -> Self:
        self.run(self._open())
        return self

    def __exit__(self, *_error: object) -> None:
        for protocol in self.protocols:
            protocol.connection_lost(None)
        self.run(self.hub.__aexit__(None, None, None))
        self._loop.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run in the rig's event loop."""
        return self._loop.run_until_complete(coroutine)

    async def _open(self) -> None:
        await self.hub.__aenter__()
        # Its ticks, that is; what is started later goes on.
        await self.hub.tasks.stop()
        await self.broker.store([touch(CHANNEL, Kind.VALUE)])
        [position] = await self.broker.heads([CHANNEL])
        assert position is not None
        self._at = position
        # The first subscriber brings the feed up, and shows what all of them get.
        self._connect(self.requests(1), Transport(write=self._sent.append))
        for _ in range(10 * TURNS):
            await asyncio.sleep(0)
        assert b'"type":"snapshot"' in self._sent[-1]

    def requests(self, count: int) -> list[bytes]:
        """Upgrade requests of so many clients, each with a token of its own."""
        before, self._minted = self._minted, self._minted + count
        return [self._request(number) for number in range(before, self._minted)]

    def _request(self, number: int) -> bytes:
        token = mint_token(SECRET, f"viewer-{number}", read=["*"], ttl_seconds=600, now=NOW)
        return (
            "GET /ws HTTP/1.1\r\nHost: hub.example\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n"
            f"Authorization: Bearer {token}\r\n\r\n"
        ).encode()

    def connect(self, requests: list[bytes], transport: Transport) -> None:
        """Connect a client for each request: handshake, token, subscribe, snapshot."""

        async def connect() -> None:
            self._connect(requests, transport)

        self.run(connect())

    def _connect(self, requests: list[bytes], transport: Transport) -> None:
        subscribe = Frame(Opcode.TEXT, _SUBSCRIBE).serialize(mask=True)
        for request in requests:
            protocol = WebSocketProtocol(None, None, {"hub": self.hub})  # type: ignore[arg-type]
            protocol.connection_made(transport)
            protocol.data_received(request)
            protocol.data_received(subscribe)
            self.protocols.append(protocol)

    def envelopes(self, count: int) -> list[bytes]:
        """The next so many envelopes of the channel; to be published in this order."""
        made = []
        for _ in range(count):
            seq = self._at.seq + 1
            data = _DATA % (100_000 + seq)
            envelope = encode_envelope(CHANNEL, "portfolio_update", self._at, seq, data)
            self._at = envelope.position
            made.append(envelope.payload)
        return made

    def publish(self, payloads: list[bytes]) -> None:
        """Let each arrive alone, and reach every client."""
        self.run(self._publish(payloads))
        for payload, frame in zip(reversed(payloads), reversed(self._sent), strict=False):
            assert frame.endswith(payload), "expected every envelope in a frame of its own"

    async def _publish(self, payloads: list[bytes]) -> None:
        for payload in payloads:
            await self.broker.publish(CHANNEL, payload)
            for _ in range(TURNS):
                await asyncio.sleep(0)

    def wait(self, turns: int) -> None:
        """What `publish` costs by itself: so many turns without an envelope."""
        self.run(self._wait(turns))

    async def _wait(self, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
