"""Short spellings of publishes, for tests that make many."""

from __future__ import annotations

from hub.protocol.publication import (
    AppendEntry,
    PatchRows,
    Publication,
    ReplaceRows,
    SetValue,
    Touch,
)
from hub.protocol.streams import Kind


def value(
    n: int,
    data: bytes,
    *,
    channel: str = "portfolio",
    producer: str = "paper",
    lease_ms: int = 0,
) -> Publication:
    """A value that is set."""
    return Publication(
        channel, Kind.VALUE, "portfolio_update", SetValue(data), producer, n, lease_ms
    )


def entry(
    n: int,
    data: bytes,
    *,
    channel: str = "decisions",
    producer: str = "paper",
    lease_ms: int = 0,
    key: str = "",
    changed_event: str = "",
) -> Publication:
    """An entry of a log."""
    change = AppendEntry(data, key, changed_event)
    return Publication(channel, Kind.LOG, "decision_made", change, producer, n, lease_ms)


def rows(
    n: int, rows: dict[str, bytes], *, channel: str = "positions", producer: str = "paper"
) -> Publication:
    """A table that is replaced."""
    return Publication(channel, Kind.TABLE, "positions_update", ReplaceRows(rows), producer, n)


def patch(
    n: int,
    upsert: dict[str, bytes],
    delete: tuple[str, ...] = (),
    *,
    channel: str = "positions",
    producer: str = "paper",
) -> Publication:
    """A table that is changed in part."""
    change = PatchRows(upsert, delete)
    return Publication(channel, Kind.TABLE, "positions_update", change, producer, n)


def touch(channel: str, kind: Kind, *, lease_ms: int = 0) -> Publication:
    """Nothing new."""
    return Publication(channel, kind, "touch", Touch(), "paper", 0, lease_ms)
