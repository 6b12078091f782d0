"""Commands as bytes on a link to Redis (RESP2, "Sending commands to a Redis server")."""

from __future__ import annotations

from typing import TypeAlias, cast

import hiredis

Command: TypeAlias = tuple[str | bytes | int, ...]


def pack(command: Command) -> bytes:
    """The command's bytes; words of text go as UTF-8."""
    # hiredis' own annotation says a tuple of one.
    return cast(bytes, hiredis.pack_command(command))  # type: ignore[arg-type]
