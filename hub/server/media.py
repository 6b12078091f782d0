"""How WebSocket connections are written to, many at a time.

A transport's `write` ends in one system call, and touches the transport, its list of buffers and
libuv's handle on the way, which each system call drives out of the nearest caches. The socket's
own `send` touches less: see docs/performance.md for what that saves. It is taken where it is the
same as a write:

1. A socket is sent to only while its transport holds nothing. The transport's high-water mark is 0,
   so it pauses the connection, which takes it out of step, as soon as it holds a byte.
2. What the kernel does not take at once goes to the transport, which keeps it, in order, and
   pauses; or finds out that the connection is broken.
3. The descriptor is the transport's. asyncio's and uvloop's close it after `connection_lost` has
   returned, and `DirectSocket` is let go of within it: no other connection can have the number
   meanwhile. tests/server/test_media.py holds both loops to that.
4. Where a transport's bytes are not those of its socket, as with TLS, it is written to itself.

Connections that agreed to compression have media of their own, whose frames are spelled otherwise:
see hub.server.deflate.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from functools import cache
from types import BuiltinMethodType
from typing import Any, Final, NamedTuple, TypeAlias, cast

from hub.core.frame import Frame
from hub.core.medium import Medium
from hub.server.deflate import deflate
from hub.server.wsframes import encode_compressed_text, encode_text

Join: TypeAlias = Callable[[Sequence[Frame]], bytes]
"""Frames as RFC 6455 has them, in one piece, as a write is a system call."""


class DirectSocket(socket.socket):
    """A transport's socket beside the transport; never closes it. `write` is the transport's."""

    __slots__ = ("write",)

    def __init__(self, of: socket.socket, write: Callable[[bytes], None]) -> None:
        super().__init__(of.family, of.type, of.proto, of.fileno())
        self.write = write


def direct_socket(transport: asyncio.Transport) -> DirectSocket | None:
    """The transport's socket, where its bytes are the transport's. The caller detaches it when the
    connection is lost."""
    sock = transport.get_extra_info("socket")
    if sock is None or transport.get_extra_info("sslcontext") is not None:
        return None
    return DirectSocket(sock, transport.write)


class _ByTransport:
    """Sinks are the `write` of transports."""

    def __init__(self, join: Join) -> None:
        self._join = join

    def spell(self, frames: Sequence[Frame]) -> tuple[bytes]:
        return (self._join(frames),)

    def fan_out(self, frames: Sequence[Frame], sinks: Sequence[Callable[[bytes], None]]) -> None:
        piece = self._join(frames)
        for write in sinks:
            write(piece)


class _BySocket(_ByTransport):
    """Sinks are the `send` of `DirectSocket`s."""

    def fan_out(self, frames: Sequence[Frame], sinks: Sequence[Callable[[bytes], Any]]) -> None:
        piece = self._join(frames)
        size = len(piece)
        for send in sinks:
            try:
                sent = send(piece)
            except OSError:
                # Its buffer is full, or it is broken: the transport finds out which.
                sent = 0
            if sent != size:
                of = cast("DirectSocket", cast("BuiltinMethodType", send).__self__)
                of.write(piece[sent:])


class Media(NamedTuple):
    """The two ways to write to connections whose frames are spelled alike."""

    by_transport: Medium
    by_socket: Medium

    @classmethod
    def of(cls, join: Join) -> Media:
        return cls(_ByTransport(join), _BySocket(join))


def joined(frames: Sequence[Frame]) -> bytes:
    """The `Join` of connections without compression."""
    if len(frames) == 1:
        return _wire(frames[0])
    return b"".join(map(_wire, frames))


def _wire(frame: Frame) -> bytes:
    wire = frame.wire
    if wire is None:
        wire = frame.wire = encode_text(frame.payload)
    return wire


PLAIN: Final = Media.of(joined)


@cache
def compressing(least_bytes: int) -> Media:
    """For connections that agreed to compression: a frame of so many bytes or more is compressed,
    once for all of them. The same media for the same number."""

    def compressed(frame: Frame) -> bytes:
        found = frame.compressed
        if found is None:
            found = frame.compressed = _compress(frame, least_bytes)
        return found

    return Media.of(lambda frames: b"".join(map(compressed, frames)))


def _compress(frame: Frame, least_bytes: int) -> bytes:
    if len(frame) >= least_bytes:
        deflated = deflate(frame.payload)
        if len(deflated) < len(frame):
            return encode_compressed_text(deflated)
    return _wire(frame)
