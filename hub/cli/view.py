"""Channels as somebody watches them: each with its head line and its current state.

What matters most is shown first, and what does not fit is left out whole: the last columns of a
table, the oldest entries of a log. A number that is cut off would be a wrong number.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from rich.cells import cell_len
from rich.columns import Columns
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
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
COLUMN_GAP = 2
NOTE_SECONDS = 10.0
"""How long a recovery or a reset stays in the head line."""
_FIRST = (
    "equity", "balance", "available", "exposure", "realized_pnl",
    "asset_pair", "action", "side", "executed", "from_state", "to_state", "confidence", "size",
    "price", "entry_price", "current_price", "unrealized_pnl", "unrealized_pnl_pct",
    "reasoning", "reason",
)  # fmt: skip
"""What is shown first of a value, an entry or a row, where it has it."""
_PLAIN = frozenset(
    {"asset_pair", "action", "side", "from_state", "to_state", "reasoning", "reason"}
)
"""What needs no name beside it."""
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_PROFIT = ("pnl", "pnl_pct", "profit")


class Watched:
    """One channel and what became of it so far. Times: seconds since the epoch."""

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self._kind: Kind | None = None
        self._state: State | None = None
        self._position: Position | None = None
        self._changed_at: float | None = None
        self._stale = False
        self._note = ""
        self._note_until = 0.0

    def take(self, frame: Frame, kind: Kind | None, now: float) -> None:
        """Apply the next frame of the channel's subscription, which says the channel's kind."""
        # With a snapshot it may begin anew as another kind.
        anew = self._state is None or isinstance(frame, Snapshot)
        if kind is not None and kind is not self._kind and anew:
            self._kind, self._state = kind, state_of(kind)
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

    @property
    def is_log(self) -> bool:
        return isinstance(self._state, LogState)

    def _say(self, note: str, now: float) -> None:
        self._note, self._note_until = note, now + NOTE_SECONDS

    def render(self, now: float, entries: int = ENTRIES) -> RenderableType:
        """The channel as it stands at `now`, with its newest `entries` where it is a log."""
        head = Text(self.channel, "bold")
        if self._position is not None:
            head.append(f"  #{self._position.seq}", "dim")
        if self._changed_at is not None:
            head.append(f"  {age(now - self._changed_at)} ago", "dim")
        if self._stale:
            head.append("  stale", "bold red")
        if now < self._note_until:
            head.append(f"  {self._note}", "yellow")
        return Group(head, Padding(_state(self._state, entries), (0, 0, 1, 2)))


class Screen:
    """All channels, and the state of the connection below.

    Where that is higher than the terminal, logs show fewer entries, so that the rest stays in
    sight.
    """

    def __init__(self, watched: Sequence[Watched], link: Link | None) -> None:
        self._watched = watched
        self._link = link
        self._now = time.time()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        whole = self._shown(ENTRIES)
        lines = console.render_lines(whole, options, pad=False)
        logs = sum(each.is_log for each in self._watched)
        if not console.is_terminal or not logs or len(lines) <= console.height:
            return [whole]
        excess = len(lines) - console.height
        return [self._shown(max(1, ENTRIES - math.ceil(excess / logs)))]

    def _shown(self, entries: int) -> RenderableType:
        each = (watched.render(self._now, entries) for watched in self._watched)
        return Group(*each, _link(self._link))


def _link(link: Link | None) -> Text:
    if link is None or link.state is LinkState.CONNECTING:
        return Text("connecting ...", "dim")
    if link.state is LinkState.OPEN:
        return Text(f"live from {link.url}, Ctrl-C ends it", "dim")
    wait = f", again in {link.retry_seconds:.1f} s" if link.retry_seconds is not None else ""
    return Text(printable(f"{link.url} is away: {link.reason} ({link.code}){wait}"), "yellow")


def _state(state: State | None, entries: int) -> RenderableType:
    match state:
        case ValueState(value=dict() as fields):
            return _fields(fields)
        case ValueState(value=value) if value is not None:
            return _shown("", value)
        case TableState(rows=rows) if rows:
            return _Rows(rows)
        case LogState(entries=known) if known:
            return _entries(list(known)[-entries:])
    return Text("nothing yet", "dim")


def _fields(fields: dict[str, Any]) -> Columns:
    """A value's fields, as many to a line as fit."""
    flat = _flattened(fields)
    return Columns([_named(name, flat[name]) for name in _ordered(flat)], padding=(0, 3))


def _flattened(fields: dict[str, Any], within: str = "") -> dict[str, Any]:
    """Fields and fields of fields, each by its whole name, without those that say nothing."""
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, dict):
            flat |= _flattened(value, f"{within}{name} ")
        elif value is not None:
            flat[within + name] = value
    return flat


class _Rows:
    """A table's rows, with a column for each field that any of them has, as many as fit."""

    def __init__(self, rows: dict[str, Any]) -> None:
        shown = list(rows.items())[:MOST_ROWS]
        self._more = len(rows) - len(shown)
        fields = [row if isinstance(row, dict) else {} for _, row in shown]
        names = _ordered({name for row in fields for name in row if name != "id"})
        keys = _Column("key", [Text(printable(key)) for key, _ in shown], is_number=False)
        columns = [
            _Column(
                _name(name),
                [_shown(name, row.get(name, "")) for row in fields],
                is_number=all(_is_number(row.get(name, "0")) for row in fields),
            )
            for name in names
        ]
        # Where a row says itself what it is, its key matters least.
        self._columns = [*columns, keys] if "asset_pair" in names else [keys, *columns]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        chosen: list[_Column] = []
        free = options.max_width
        for column in self._columns:
            if chosen and column.width > free:
                break
            chosen.append(column)
            free -= column.width + COLUMN_GAP
        table = Table(box=None, padding=(0, COLUMN_GAP, 0, 0), pad_edge=False, header_style="dim")
        for column in chosen:
            # What is left goes to headers that would take two lines.
            more = min(max(0, len(column.name) - column.width), max(0, free + COLUMN_GAP))
            free -= more
            table.add_column(
                Text(column.name),
                justify="right" if column.is_number else "left",
                width=min(column.width + more, options.max_width),
            )
        for row in zip(*(column.cells for column in chosen), strict=True):
            table.add_row(*row)
        yield table
        if self._more:
            yield Text(f"and {self._more} more", "dim")


class _Column:
    """A field of a table's rows; `width` is what its cells and each word of its name take."""

    def __init__(self, name: str, cells: list[Text], *, is_number: bool) -> None:
        self.name = name
        self.cells = cells
        self.is_number = is_number
        self.width = max(
            cell_len(text) for text in (*name.split(), *(each.plain for each in cells))
        )


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
        _said(name, data[name]) for name in _ordered(data) if _says_something(name, data[name])
    )


def _said(name: str, value: Any) -> Text:
    """A field with its name, or what is understood without the other alone."""
    if value is True:
        return Text(_name(name))
    return _shown(name, value) if name in _PLAIN else _named(name, value)


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
    if _TIME.fullmatch(text):
        return Text(_local_time(text))
    if name.endswith(_PROFIT):
        style = "red" if text.startswith("-") else "green" if text.strip("0.") else ""
    else:
        style = {"BUY": "green", "LONG": "green", "SELL": "red", "SHORT": "red"}.get(text, "")
    return Text(text, style)


def _local_time(text: str) -> str:
    """A time with its zone as the clock on the wall shows it, like the times of a log's entries."""
    try:
        return datetime.fromisoformat(text).astimezone().strftime("%m-%d %H:%M:%S")
    except (ValueError, OverflowError):  # the 30th of February, the year 1
        return text
