"""Lines of what is read through a pipe, a piece at a time: numbered, and bounded."""

from __future__ import annotations

from typing import TypeAlias

Numbered: TypeAlias = tuple[int, bytes]
"""A line without its end, and its number, from 1."""


class Lines:
    """Splits what is received. Blank lines count, and are left out.

    Of a line longer than `max_bytes` comes so much more that whoever reads it can tell; what waits
    for the end of a line is never more than that and one piece.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._number = 0
        self._rest = b""

    def receive(self, piece: bytes) -> list[Numbered]:
        """The lines that `piece` completes."""
        *whole, rest = (self._rest + piece).split(b"\n")
        self._rest = rest[: self._max_bytes + 1]
        first = self._number + 1
        self._number += len(whole)
        return [(at, line) for at, line in enumerate(whole, first) if line.strip()]

    def end(self) -> list[Numbered]:
        """The last line, where it has no end of its own."""
        return self.receive(b"\n")
