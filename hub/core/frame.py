"""One text frame for many connections."""

from __future__ import annotations


class Frame:
    """The payload of a text frame, and each transport's spelling of it, made once.

    `wire` and `text` belong to the transports: RFC 6455 bytes, and the payload as str.
    """

    __slots__ = ("payload", "text", "wire")

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.wire: bytes | None = None
        self.text: str | None = None

    def __len__(self) -> int:
        return len(self.payload)
