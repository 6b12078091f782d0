"""Channels as somebody watches them: each with its head line and its current state."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hub.cli.lines import clock, compact, printable, why
from hub.cli.output import age
from hub.client import (
    Frame,
    Link,
    LinkState,
    LogState,
    Recovered,
    Reset,
    Snapshot,
    State,
    StateChanged,
    TableState,
    Update,
    ValueState,
    state_of,
)
from hub.protocol.position import Position
from hub.protocol.streams import Kind

MOST_ROWS = 20
ENTRIES = 8
PAIRS_A_LINE = 4
NOTE_SECONDS = 10.0
"""How long a recovery or a reset stays in the head line."""
_FIRST = (
    "asset_pair", "action", "side", "from_state", "to_state", "confidence", "size", "price",
    "entry_price", "current_price", "reasoning", "reason",
)  # fmt: skip
"""What is shown first of an entry or a row, where it has it."""
_PLAIN = frozenset(
    {"asset_pair", "action", "side", "from_state", "to_state", "reasoning", "reason"}
)
"""What needs no name beside it."""
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_TIME = re.compile(r"\d{4}-(\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)?")
_PROFIT = ("pnl", "pnl_pct", "profit")


class Watched:
    """One channel and what became of it so far. Times: seconds since the epoch."""

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self._state: State | None = None
        self._position: Position | None = None
        self._changed_at: float | None = None
        self._stale = False
        self._note = ""
        self._note_until = 0.0

    def take(self, frame: Frame, kind: Kind | None, now: float) -> None:
        """Apply the next frame of the channel's subscription, which says the channel's kind."""
        if self._state is None and kind is not None:
            self._state = state_of(kind)
        if self._state is not None:
            self._state.apply(frame)
        match frame:
            case Snapshot() | Update():
                self._position = frame.position or self._position
                self._changed_at = frame.ts / 1e6 if frame.ts else self._changed_at
            case Reset():
                self._say(f"reset: {why(frame)}", now)
            case Recovered(since=since):
                self._say(f"recovered from #{since.seq}", now)
            case StateChanged(state=state):
                self._stale = state == "stale"

    def _say(self, note: str, now: float) -> None:
        self._note, self._note_until = note, now + NOTE_SECONDS

    def render(self, now: float) -> RenderableType:
        """The channel as it stands at `now`."""
        head = Text(self.channel, "bold")
        if self._position is not None:
            head.append(f"  #{self._position.seq}", "dim")
        if self._changed_at is not None:
            head.append(f"  {age(now - self._changed_at)} ago", "dim")
        if self._stale:
            head.append("  stale", "bold red")
        if now < self._note_until:
            head.append(f"  {self._note}", "yellow")
        return Group(head, Padding(_state(self._state), (0, 0, 1, 2)))


def render(watched: Sequence[Watched], link: Link | None) -> RenderableType:
    """All channels, and the state of the connection below."""
    now = time.time()
    return Group(*(each.render(now) for each in watched), _link(link))


def _link(link: Link | None) -> Text:
    if link is None or link.state is LinkState.CONNECTING:
        return Text("connecting ...", "dim")
    if link.state is LinkState.OPEN:
        return Text(f"live from {link.url}, Ctrl-C ends it", "dim")
    wait = f", again in {link.retry_seconds:.1f} s" if link.retry_seconds is not None else ""
    return Text(printable(f"{link.url} is away: {link.reason} ({link.code}){wait}"), "yellow")


def _state(state: State | None) -> RenderableType:
    match state:
        case ValueState(value=dict() as fields):
            return _pairs(fields)
        case ValueState(value=value) if value is not None:
            return _shown("", value)
        case TableState(rows=rows) if rows:
            return _rows(rows)
        case LogState(entries=entries) if entries:
            return _entries(list(entries)[-ENTRIES:])
    return Text("nothing yet", "dim")


def _pairs(fields: dict[str, Any]) -> Table:
    """A value's fields, some to a line."""
    table = Table.grid(padding=(0, 3))
    cells = [_named(name, value) for name, value in fields.items()]
    for at in range(0, len(cells), PAIRS_A_LINE):
        table.add_row(*cells[at : at + PAIRS_A_LINE])
    return table


def _rows(rows: dict[str, Any]) -> Table:
    """A table's rows, with a column for each field that any of them has."""
    shown = list(rows.items())[:MOST_ROWS]
    fields = [row for _, row in shown if isinstance(row, dict)]
    columns = _ordered({name for row in fields for name in row if name != "id"})
    table = Table("key", box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in columns:
        is_number = all(_is_number(row.get(name, "0")) for row in fields)
        table.add_column(Text(_name(name)), justify="right" if is_number else "left")
    for key, row in shown:
        cells = row if isinstance(row, dict) else {}
        table.add_row(
            Text(printable(key)), *(_shown(name, cells.get(name, "")) for name in columns)
        )
    if len(rows) > MOST_ROWS:
        table.add_row(Text(f"and {len(rows) - MOST_ROWS} more", "dim"))
    return table


def _entries(entries: Sequence[Any]) -> Table:
    """A log's newest entries, the newest last: time, event, what it says."""
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(width=len("00:00:00"))
    table.add_column(width=max(len(entry.event) for entry in entries), no_wrap=True)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    for entry in entries:
        table.add_row(Text(clock(entry.ts), "dim"), Text(entry.event, "cyan"), _summary(entry.data))
    return table


def _summary(data: Any) -> Text:
    """What matters of an entry first, then the rest, on one line."""
    if not isinstance(data, dict):
        return _shown("", data)
    return Text("  ").join(
        _shown(name, data[name]) if name in _PLAIN else _named(name, data[name])
        for name in _ordered(data)
        if _says_something(name, data[name])
    )


def _says_something(name: str, value: Any) -> bool:
    """Whether a field is worth its place on a line that has its time already."""
    is_reference = name == "id" or name.endswith(("_id", "_at")) or name == "timestamp"
    return not is_reference and value is not False and value not in (None, "", {}, [])


def _named(name: str, value: Any) -> Text:
    return Text.assemble((f"{_name(name)} ", "dim"), _shown(name, value))


def _ordered(names: Iterable[str]) -> list[str]:
    rank = {name: at for at, name in enumerate(_FIRST)}
    return sorted(names, key=lambda name: (rank.get(name, len(rank)), name))


def _name(name: str) -> str:
    return printable(name.replace("_", " "))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) or (
        isinstance(value, str) and _NUMBER.fullmatch(value) is not None
    )


def _shown(name: str, value: Any) -> Text:
    """One value; profit in green and loss in red, sides and actions likewise."""
    text = printable(value if isinstance(value, str) else compact(value))
    if moment := _TIME.fullmatch(text):
        return Text(f"{moment[1]} {moment[2]}")
    if name.endswith(_PROFIT):
        style = "red" if text.startswith("-") else "green" if text.strip("0.") else ""
    else:
        style = {"BUY": "green", "LONG": "green", "SELL": "red", "SHORT": "red"}.get(text, "")
    return Text(text, style)
