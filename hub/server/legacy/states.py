"""What feeds hold, in the shapes of old dashboards.

A feed that is None is one that nobody has published to, or that may not be read: what it would show
is null.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from hub.core.feed import Feed
from hub.protocol.streams import Kind
from hub.server.legacy import shapes
from hub.server.legacy.shapes import Shape, decode, fields_of, iso


class Entry(msgspec.Struct, frozen=True):
    """One entry of a log."""

    event: str
    ts: int
    data: msgspec.Raw


class _Snapshot(msgspec.Struct, frozen=True):
    data: msgspec.Raw


class _Entries(msgspec.Struct, frozen=True):
    entries: list[Entry]


_decode_snapshot = msgspec.json.Decoder(_Snapshot).decode
_decode_entries = msgspec.json.Decoder(_Entries).decode


def value_of(feed: Feed | None) -> Any:
    """What a channel holds, as its snapshot says."""
    return None if feed is None else decode(_decode_snapshot(feed.snapshot().payload).data)


def entries_of(log: Feed) -> list[Entry]:
    """The newest entries of a log, oldest first; none of a channel of another kind."""
    if log.kind is not Kind.LOG:
        return []
    return _decode_entries(_decode_snapshot(log.snapshot().payload).data).entries


def silence(feed: Feed | None) -> str | None:
    """What there is to say of a channel whose producer missed its deadline."""
    if feed is None or not feed.stale:
        return None
    return f"{feed.channel} is stale: its producer is silent, and this is as of {iso(feed.ts)}"


def portfolio(feed: Feed | None) -> Shape:
    """The account."""
    return shapes.portfolio(value_of(feed), silence(feed))


def positions(feed: Feed | None) -> list[Shape]:
    """The open positions."""
    rows = fields_of(fields_of(value_of(feed)).get("rows"))
    return [shapes.position(key, row) for key, row in rows.items() if isinstance(row, dict)]


def agent_status(status: Feed | None, account: Feed | None, log: Feed | None) -> Shape:
    """The agent; `log` is that of its decisions."""
    money = fields_of(value_of(account))
    if silence(account) is not None:
        # How many positions there are has no way to say that it is not known.
        money = {"positions_count": money.get("positions_count")}
    return shapes.agent_status(
        value_of(status),
        account=money,
        decided=None if log is None else newest_decision(entries_of(log)),
        error=silence(status),
    )


def newest_decision(entries: Sequence[Entry]) -> Shape | None:
    """The one that was made last, among entries that come oldest first."""
    for entry in reversed(entries):
        if entry.event == "decision_made" and isinstance(data := decode(entry.data), dict):
            return shapes.decision(data, entry.ts)
    return None


def decisions(entries: Iterable[Entry], limit: int) -> list[Shape]:
    """The newest decisions, newest first, each once and as it is now."""
    found: dict[str, Shape] = {}
    for entry in entries:
        if isinstance(data := decode(entry.data), dict):
            shape = shapes.decision(data, entry.ts)
            # An update takes the place that its decision has.
            found[shape["id"]] = shape
    return list(reversed(found.values()))[:limit]
