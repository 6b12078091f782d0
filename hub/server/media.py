"""How WebSocket connections are written to, many at a time.

A transport's `write` ends in one system call, and touches the transport, its list of buffers and
libuv's handle on the way, which each system call drives out of the nearest caches. So frames go
past the transports: many sockets are written to by one system call (`hub.server.batch`), where the
kernel has it, and few by one each; see docs/performance.md for what that saves. It is done where it
is the same as a write of the transport:

1. A socket is written to only while its transport holds nothing. The transport's high-water mark is
   0, so it pauses the connection, which takes it out of step, as soon as it holds a byte.
2. What the kernel does not take at once goes to the transport, which keeps it, in order, and
   pauses; or finds out that the connection is broken.
3. The descriptor is the transport's. asyncio's and uvloop's close it after `connection_lost` has
   returned, and it is given back within it: no other connection can have the number meanwhile.
   tests/server/test_media.py holds both loops to that.
4. Where a transport's bytes are not those of its socket, as with TLS, it is written to itself.

Connections that agreed to compression have media of their own, whose frames are spelled otherwise:
see hub.server.deflate.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, NamedTuple, TypeAlias

from hub.core.frame import Frame
from hub.core.medium import Medium
from hub.server.batch import batch_writer
from hub.server.batch import descriptor as descriptor_of
from hub.server.deflate import deflate
from hub.server.wsframes import encode_compressed_text, encode_text

LEAST_BATCH = 16
"""Connections for which a batch takes less than a system call each."""

Join: TypeAlias = Callable[[Sequence[Frame]], bytes]
"""Frames as RFC 6455 has them, in one piece, as a write is a system call."""


_writes: dict[int, Callable[[bytes], None]] = {}
"""By descriptor, the `write` of the transport whose it is: as process-wide as descriptors are."""


def take_descriptor(transport: asyncio.Transport) -> int | None:
    """The descriptor of the transport's socket, where its bytes are the transport's. The caller
    gives it back when the connection is lost."""
    sock = transport.get_extra_info("socket")
    if os.name != "posix" or sock is None or transport.get_extra_info("sslcontext") is not None:
        return None
    descriptor: int = sock.fileno()
    _writes[descriptor] = transport.write
    return descriptor


def give_back(descriptor: int) -> None:
    """The connection is over, and the number may be another's next."""
    _writes.pop(descriptor, None)


class _InOnePiece:
    """What is alike in all ways to write: frames that go out together are joined."""

    def __init__(self, join: Join) -> None:
        self._join = join

    def spell(self, frames: Sequence[Frame]) -> tuple[bytes]:
        return (self._join(frames),)


class _ByTransport(_InOnePiece):
    """Sinks are the `write` of transports."""

    def fan_out(self, frames: Sequence[Frame], sinks: Sequence[Callable[[bytes], None]]) -> None:
        piece = self._join(frames)
        for write in sinks:
            write(piece)


class _ByDescriptor(_InOnePiece):
    """Sinks are the words (`hub.server.batch`) of descriptors that were taken."""

    def fan_out(self, frames: Sequence[Frame], sinks: Sequence[int]) -> None:
        piece = self._join(frames)
        size, write = len(piece), os.write
        for sink in sinks:
            try:
                # `descriptor_of(sink)`, without a call.
                taken = write(sink >> 32, piece)
            except OSError:
                # Its buffer is full, or it is broken: the transport finds out which.
                taken = 0
            if taken != size:
                _writes[descriptor_of(sink)](piece[taken:])


class _ByBatch(_ByDescriptor):
    """The same, by one system call for many."""

    def fan_out(self, frames: Sequence[Frame], sinks: Sequence[int]) -> None:
        writer = batch_writer() if len(sinks) >= LEAST_BATCH else None
        if writer is None:
            super().fan_out(frames, sinks)
            return
        piece = self._join(frames)
        for sink, taken in writer.write(piece, sinks):
            _writes[descriptor_of(sink)](piece[taken:])


class Media(NamedTuple):
    """The ways to write to connections whose frames are spelled alike."""

    by_transport: Medium
    by_descriptor: Medium
    by_batch: Medium

    @classmethod
    def of(cls, join: Join) -> Media:
        return cls(_ByTransport(join), _ByDescriptor(join), _ByBatch(join))


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
