"""A client that says exactly what a test tells it, and shows exactly what it hears."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from hub.protocol.frames import SUBPROTOCOL

DEADLINE_SECONDS = 20.0
"""Generous: only a test that fails waits so long."""

Frame: TypeAlias = dict[str, Any]


class SocketClient:
    """One open socket. Frames come out in the order in which the hub sent them."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._ids = 0

    async def recv(self) -> Frame:
        """The next frame; raises ConnectionClosed where there is none to come."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            text = await self.connection.recv()
        assert isinstance(text, str), "the hub sends text alone"
        frame: Frame = json.loads(text)
        return frame

    async def until(self, wanted: Callable[[Frame], bool]) -> list[Frame]:
        """The frames up to the first that is `wanted`, and with it."""
        frames = [await self.recv()]
        while not wanted(frames[-1]):
            frames.append(await self.recv())
        return frames

    async def send(self, text: str) -> None:
        """Send a text frame."""
        await self.connection.send(text)

    async def command(self, method: str, **params: Any) -> int:
        """Send a command; returns its id."""
        self._ids += 1
        await self.send(json.dumps({"id": self._ids, "method": method, "params": params}))
        return self._ids

    async def ask(self, method: str, **params: Any) -> Frame:
        """Send a command; returns the next frame, which must be its reply."""
        id = await self.command(method, **params)
        reply = await self.recv()
        assert reply.get("id") == id, f"expected the reply to {method} {id}, got {reply}"
        return reply

    async def subscribe(self, channel: str, **params: Any) -> tuple[Frame, Frame]:
        """Subscribe without `since`: the reply's result, and the snapshot after it."""
        result = (await self.ask("subscribe", channel=channel, **params))["result"]
        snapshot = await self.recv()
        assert (snapshot["type"], snapshot["channel"]) == ("snapshot", channel)
        return result, snapshot

    async def is_quiet(self) -> bool:
        """Whether the hub has nothing more to say, but to answer a ping."""
        return await self.ask("ping") == {"id": self._ids, "result": {}}

    async def rest(self) -> tuple[list[Frame], int, str]:
        """The frames that are left, then code and reason of the hub's close frame; 1006 where
        there is none."""
        frames = []
        try:
            while True:
                frames.append(await self.recv())
        except ConnectionClosed as end:
            if end.rcvd is None:
                return frames, 1006, ""
            return frames, end.rcvd.code, end.rcvd.reason

    async def closed(self) -> tuple[int, str]:
        """Code and reason of the hub's close frame; what comes before it is passed over."""
        _, code, reason = await self.rest()
        return code, reason

    def write(self, data: bytes) -> None:
        """Write bytes as they are, past every check of a client."""
        self.connection.transport.write(data)

    def stop_reading(self) -> None:
        """Take no more bytes from the network."""
        self.connection.transport.pause_reading()

    def read_on(self) -> None:
        """Take bytes again."""
        self.connection.transport.resume_reading()

    def vanish(self) -> None:
        """Be gone without a word."""
        self.connection.transport.abort()


@asynccontextmanager
async def opened(
    url: str,
    token: str | None = None,
    *,
    path: str = "/ws",
    origin: str | None = None,
    cookie: str | None = None,
    offer: tuple[str, ...] = (SUBPROTOCOL,),
    receive_buffer: int | None = None,
    compression: str | None = "deflate",
) -> AsyncIterator[SocketClient]:
    """A client whose handshake is done, and the welcome not read; raises as `connect` does.

    token: shown in the Authorization header. receive_buffer: what the kernel may hold for it.
    compression: offered as browsers do; a hub declines it by default.
    """
    address = urlsplit(url)
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (address.hostname, address.port))
    async with connect(
        f"ws://{address.netloc}{path}",
        sock=sock,
        additional_headers={
            **({"Authorization": f"Bearer {token}"} if token is not None else {}),
            **({"Cookie": cookie} if cookie is not None else {}),
        },
        origin=origin,  # type: ignore[arg-type]
        subprotocols=[Subprotocol(name) for name in offer] or None,
        # A client of a test reads when it is told to, and never pings by itself.
        max_queue=None,
        max_size=None,
        ping_interval=None,
        compression=compression,
        close_timeout=1,
        proxy=None,
    ) as connection:
        yield SocketClient(connection)


@asynccontextmanager
async def welcomed(
    url: str, token: str | None = None, **options: Any
) -> AsyncIterator[SocketClient]:
    """A client that has read its welcome."""
    async with opened(url, token, **options) as client:
        assert (await client.recv())["type"] == "welcome"
        yield client


async def exchange(url: str, request: bytes, *, end: bool = False) -> bytes:
    """Send bytes over TCP, and return all that comes back until the hub closes.

    end: close our half after `request`.
    """
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        answer = b""
        async with asyncio.timeout(DEADLINE_SECONDS):
            try:
                writer.write(request)
                await writer.drain()
                if end:
                    writer.write_eof()
            except ConnectionError:
                # Refused before all of it was taken; the answer may still be readable.
                pass
            try:
                while part := await reader.read(65_536):
                    answer += part
            except ConnectionError:
                pass
        return answer
    finally:
        writer.close()
