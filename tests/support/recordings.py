"""Recordings as tests read and make them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from hub.client.recording import Row, Update, read_rows


def rows_of(path: Path) -> list[Row]:
    """The whole rows of a file."""
    with path.open("rb") as lines:
        return list(read_rows(lines))


def updates_of(path: Path, channel: str) -> list[Update]:
    """A channel's updates."""
    return [row for row in rows_of(path) if isinstance(row, Update) and row.channel == channel]


def datas(updates: list[Update]) -> list[Any]:
    """What they carry, decoded."""
    return [msgspec.json.decode(update.data) for update in updates]
