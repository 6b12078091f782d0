"""Tests of hub.server.media: sockets that are written to beside their transports."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from hub.core.frame import Frame
from hub.core.medium import Medium
from hub.server.batch import word
from hub.server.media import LEAST_BATCH, PLAIN, give_back, joined, take_descriptor
from tests.support.brokers import eventually

pytestmark = pytest.mark.every_loop

past_transports = pytest.mark.parametrize(
    "medium", [PLAIN.by_descriptor, PLAIN.by_batch], ids=["one by one", "by batch"]
)
SMALL = Frame(b'"small"')
LARGE = Frame(b'"' + b"x" * 50_000 + b'"')


class Held(asyncio.Protocol):
    """A connection as the adapter holds it; `descriptor` is what it was when it was lost."""

    def __init__(self) -> None:
        self.pauses = 0
        self.paused = False
        self.lost = False
        self.descriptor: os.stat_result | None = None
        self.transport: asyncio.Transport
        self.number: int

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.set_write_buffer_limits(0)
        number = take_descriptor(transport)
        assert number is not None
        self.number = number
        self.opened = os.fstat(number)

    @property
    def sink(self) -> int:
        return word(self.number)

    def pause_writing(self) -> None:
        self.pauses += 1
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.descriptor = os.fstat(self.number)
        give_back(self.number)
        self.lost = True


@contextlib.asynccontextmanager
async def connected(count: int = 1) -> AsyncIterator[list[tuple[Held, socket.socket]]]:
    """Connections and their clients' sockets, which take little that is not read."""
    loop = asyncio.get_running_loop()
    held: list[Held] = []

    def protocol() -> Held:
        held.append(Held())
        return held[-1]

    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    server = await loop.create_server(protocol, sock=listener)
    clients: list[socket.socket] = []
    try:
        for _ in range(count):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            client.setblocking(False)
            clients.append(client)
            await loop.sock_connect(client, listener.getsockname())
            await eventually(
                lambda: len(held) == len(clients) and hasattr(held[-1], "opened"), "it is accepted"
            )
        yield list(zip(held, clients, strict=True))
    finally:
        server.close()
        for each in held:
            each.transport.abort()
        await eventually(lambda: all(each.lost for each in held), "every connection was lost")
        for client in clients:
            client.close()


async def read(client: socket.socket, count: int) -> bytes:
    """So many bytes."""
    loop = asyncio.get_running_loop()
    found = bytearray()
    async with asyncio.timeout(20):
        while len(found) < count:
            found += await loop.sock_recv(client, count - len(found))
    return bytes(found)


@past_transports
async def test_each_connection_gets_the_same_bytes(medium: Medium) -> None:
    """Frames that go out together are one piece."""
    async with connected(LEAST_BATCH + 2) as pairs:
        few, many = pairs[:2], pairs[2:]
        medium.fan_out((SMALL, LARGE), [held.sink for held, _ in few])
        medium.fan_out((SMALL,), [held.sink for held, _ in many])
        for group, expected in ((few, joined((SMALL, LARGE))), (many, joined((SMALL,)))):
            for _, client in group:
                assert await read(client, len(expected)) == expected


@past_transports
async def test_what_the_kernel_does_not_take_is_the_transports(medium: Medium) -> None:
    """Nothing is lost or comes twice, and the connection is paused with the first byte that is
    held, so that nobody writes past it."""
    async with connected(LEAST_BATCH) as [(slow, client), *others]:
        sent = 0
        sinks = [slow.sink, *(held.sink for held, _ in others)]
        while not slow.paused:
            medium.fan_out((LARGE,), sinks)
            sent += 1
            assert sent < 1000, "the kernel takes everything"
            for _, other in others:
                assert await read(other, len(joined((LARGE,)))) == joined((LARGE,))
        medium.fan_out((SMALL,), sinks[1:])
        slow.transport.write(joined((SMALL,)))
        expected = joined((LARGE,)) * sent + joined((SMALL,))
        assert await read(client, len(expected)) == expected
        for _, other in others:
            assert await read(other, len(joined((SMALL,)))) == joined((SMALL,))
        await eventually(lambda: not slow.paused, "it takes frames again")
        assert slow.pauses == 1
        medium.fan_out((SMALL,), sinks)
        assert await read(client, len(joined((SMALL,)))) == joined((SMALL,))


@past_transports
async def test_a_broken_connection_is_lost_and_no_other(medium: Medium) -> None:
    """The transport finds out, as it does when it is written to itself."""
    async with connected(LEAST_BATCH) as [(broken, client), *whole]:
        broken.transport.pause_reading()
        reset(client)
        # The reset has arrived when the client's socket is closed: they share a kernel.
        medium.fan_out((SMALL,), [broken.sink, *(held.sink for held, _ in whole)])
        medium.fan_out((SMALL,), [held.sink for held, _ in whole])
        for _, other in whole:
            assert await read(other, 2 * len(joined((SMALL,)))) == joined((SMALL, SMALL))
        await eventually(lambda: broken.lost, "it was lost")
        assert not any(held.lost for held, _ in whole)


def reset(client: socket.socket) -> None:
    """End the connection with a reset."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def leave(held: Held, client: socket.socket) -> None:
    client.close()


def vanish(held: Held, client: socket.socket) -> None:
    reset(client)


def abort(held: Held, client: socket.socket) -> None:
    held.transport.abort()


def close(held: Held, client: socket.socket) -> None:
    held.transport.close()


def abort_full(held: Held, client: socket.socket) -> None:
    while not held.paused:
        held.transport.write(joined((LARGE,)))
    held.transport.abort()


def write_broken(held: Held, client: socket.socket) -> None:
    held.transport.pause_reading()
    reset(client)
    for _ in range(2):
        held.transport.write(joined((SMALL,)))


@pytest.mark.parametrize("end", [leave, vanish, abort, close, abort_full, write_broken])
async def test_a_descriptor_outlives_its_connection(
    end: Callable[[Held, socket.socket], None],
) -> None:
    """However a connection ends, its descriptor is still its own when the protocol hears of it, and
    free afterwards: a frame can't reach whoever has the number next."""
    async with connected() as [(held, client)]:
        number = held.number
        end(held, client)
        await eventually(lambda: held.lost, "it was lost")
        assert held.descriptor is not None
        assert os.path.samestat(held.descriptor, held.opened)
        await eventually(lambda: not is_open(number, held.opened), "the transport closed it")


def is_open(descriptor: int, what: os.stat_result) -> bool:
    """Whether a descriptor stands for the same socket still."""
    try:
        return os.path.samestat(os.fstat(descriptor), what)
    except OSError:
        return False


class Wrapped(asyncio.Transport):
    """What a transport says of itself where its bytes are not its socket's."""

    def __init__(self, **info: object) -> None:
        super().__init__(info)


def test_only_a_plain_socket_is_written_to_beside_its_transport() -> None:
    """Under TLS the socket's bytes are not the transport's; and there may be no socket."""
    with socket.socket() as sock:
        assert take_descriptor(Wrapped(socket=sock, sslcontext=object())) is None
    assert take_descriptor(Wrapped()) is None
