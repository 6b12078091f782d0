"""One text frame for many connections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

JOINED_BYTES = 64 * 1024
"""What is handed to a transport in one go at most: more is better shared than copied."""


class Frame:
    """The payload of a text frame, and each transport's spelling of it, made once.

    `wire`, `compressed` and `text` belong to the transports: RFC 6455 bytes, those for clients
    that agreed to compression (RFC 7692), and the payload as str. `translated` belongs to a medium
    whose connections speak another language: the frames to send in its place. `published_at` is
    that of the one envelope that it carries, in microseconds; 0 for any other frame.
    """

    __slots__ = ("compressed", "payload", "published_at", "text", "translated", "wire")

    def __init__(self, payload: bytes, published_at: int = 0) -> None:
        self.payload = payload
        self.published_at = published_at
        self.wire: bytes | None = None
        self.compressed: bytes | None = None
        self.text: str | None = None
        self.translated: tuple[Frame, ...] | None = None

    def __len__(self) -> int:
        return len(self.payload)


def joinable(frames: Iterable[Frame]) -> Iterator[list[Frame]]:
    """The frames in order, in runs of at most `JOINED_BYTES`; what is larger goes alone."""
    run: list[Frame] = []
    size = 0
    for frame in frames:
        if run and size + len(frame) > JOINED_BYTES:
            yield run
            run, size = [], 0
        run.append(frame)
        size += len(frame)
    if run:
        yield run
