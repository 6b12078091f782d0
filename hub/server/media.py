"""How WebSocket connections are written to, many at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from hub.core.frame import Frame
from hub.core.medium import Medium
from hub.server.wsframes import encode_text


class _ByTransport:
    """Sinks are the `write` of transports."""

    def spell(self, frames: Sequence[Frame]) -> tuple[bytes]:
        return (joined(frames),)

    def fan_out(self, frames: Sequence[Frame], sinks: Sequence[Callable[[bytes], None]]) -> None:
        piece = joined(frames)
        for write in sinks:
            write(piece)


BY_TRANSPORT: Final[Medium] = _ByTransport()


def joined(frames: Sequence[Frame]) -> bytes:
    """Frames as RFC 6455 has them, in one piece, as a write is a system call."""
    if len(frames) == 1:
        return _wire(frames[0])
    return b"".join(map(_wire, frames))


def _wire(frame: Frame) -> bytes:
    wire = frame.wire
    if wire is None:
        wire = frame.wire = encode_text(frame.payload)
    return wire
