"""Channels as somebody watches them."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from hub.cli.output import age
from hub.cli.view import NOTE_SECONDS, Screen, Watched
from hub.client import (
    Cause,
    Frame,
    Link,
    LinkState,
    Recovered,
    Reset,
    Snapshot,
    StateChanged,
    Update,
)
from hub.protocol.frames import ChannelState
from hub.protocol.position import Position
from hub.protocol.streams import Kind

NOW = 1_700_000_000.0


@contextlib.contextmanager
def zone(monkeypatch: pytest.MonkeyPatch, name: str) -> Iterator[None]:
    """Make this process's local time that of `name`, as TZ writes it (POSIX: west is positive)."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", name)
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with zone(monkeypatch, "JST-9"):
        yield


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with zone(monkeypatch, "UTC0"):
        yield


def snapshot(channel: str, seq: int, data: Any) -> Snapshot:
    text = json.dumps({"data": data}).encode()
    return Snapshot(channel=channel, position=Position("e", seq, "t"), ts=int(NOW * 1e6), text=text)


def update(channel: str, seq: int, event: str, data: Any) -> Update:
    text = json.dumps({"data": data}).encode()
    position = Position("e", seq, "t")
    return Update(
        channel=channel, event=event, position=position, prev=seq - 1, ts=int(NOW * 1e6), text=text
    )


def shown(
    channel: str, kind: Kind | None, *frames: Frame, after: float = 0.0, width: int = 120
) -> str:
    """What a terminal without colours shows of a channel after these frames."""
    watched = Watched(channel)
    for frame in frames:
        watched.take(frame, kind, NOW)
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(watched.render(NOW + after))
    return capture.get()


def test_a_value_is_shown_field_by_field() -> None:
    """The newest value, its seq and its age."""
    frames = (
        snapshot("portfolio", 3, {"equity": "10000.00", "mode": "paper"}),
        update("portfolio", 4, "portfolio_update", {"equity": "10001.50", "mode": "paper"}),
    )
    text = shown("portfolio", Kind.VALUE, *frames, after=65)
    assert "portfolio  #4  1m 05s ago" in text
    assert "equity 10001.50   mode paper" in text


def test_a_channel_that_begins_anew_as_another_kind() -> None:
    """It is shown as what it is now; it used to stay empty."""
    watched = Watched("orders")
    watched.take(snapshot("orders", 0, {"entries": []}), Kind.LOG, NOW)
    watched.take(snapshot("orders", 1, {"rows": {"a": {"size": "2"}}}), Kind.TABLE, NOW)
    console = Console(width=80, force_terminal=False)
    with console.capture() as capture:
        console.print(watched.render(NOW))
    assert "size" in capture.get()


def test_a_value_within_a_value_is_shown_by_its_whole_name() -> None:
    """Totals and components are read without braces; what says nothing is left out."""
    status = {"state": "RUNNING", "totals": {"trades": 3, "last": None}}
    text = shown("status", Kind.VALUE, snapshot("status", 1, status))
    assert "state RUNNING   totals trades 3" in text
    assert "last" not in text


@pytest.mark.usefixtures("utc")
def test_a_table_has_a_column_a_field() -> None:
    """Rows come and go; times are short; what a row lacks is left empty."""
    rows = {
        "a": {"asset_pair": "BTCUSD", "size": "1.5", "opened_at": "2026-01-02T03:04:05.678Z"},
        "b": {"asset_pair": "ETHUSD", "size": "20"},
    }
    patch = {"upsert": {"c": {"asset_pair": "SOLUSD", "size": "3"}}, "delete": ["b"]}
    text = shown(
        "positions",
        Kind.TABLE,
        snapshot("positions", 1, {"rows": rows}),
        update("positions", 2, "positions_update", patch),
    )
    lines = [line.split() for line in text.splitlines()]
    assert lines[1] == ["asset", "pair", "size", "opened", "at", "key"]
    assert lines[2] == ["BTCUSD", "1.5", "01-02", "03:04:05", "a"]
    assert lines[3] == ["SOLUSD", "3", "c"]


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("2026-01-02T03:04:05.678Z", "01-02 12:04:05"),
        ("2026-01-02T03:04:05+01:00", "01-02 11:04:05"),
        ("2026-01-02T03:04:05", "2026-01-02T03:04:05"),
        ("2026-02-30T03:04:05Z", "2026-02-30T03:04:05Z"),
    ],
)
@pytest.mark.usefixtures("tokyo")
def test_times_are_those_of_the_clock_on_the_wall(text: str, seen: str) -> None:
    """Like those of a log's entries; once they were left in the zone they were written in."""
    assert f"at {seen} " in shown("c", Kind.VALUE, snapshot("c", 1, {"at": text}))


@pytest.mark.parametrize("width", [20, 40, 60, 79, 80, 100, 120])
@pytest.mark.usefixtures("utc")
def test_a_narrow_terminal_shows_fewer_columns_and_no_cut_numbers(width: int) -> None:
    """What matters most comes first; a column that does not fit is left out whole."""
    row = {
        "asset_pair": "BTCUSD", "current_price": "87535.50", "entry_price": "87537.20",
        "margin_used": "490.20832", "opened_at": "2026-01-02T03:04:05Z", "side": "LONG",
        "size": "0.028", "unrealized_pnl": "-0.0476", "unrealized_pnl_pct": "-0.00",
    }  # fmt: skip
    text = shown("p", Kind.TABLE, snapshot("p", 1, {"rows": {"desk-7-3": row}}), width=width)
    cells = text.splitlines()[-2].split()
    whole = ["BTCUSD", "LONG", "0.028", "87537.20", "87535.50", "-0.0476", "-0.00", "490.20832"]
    whole += ["01-02", "03:04:05", "desk-7-3"]
    assert cells == whole[: len(cells)]
    assert len(cells) >= {20: 2, 40: 4, 60: 6, 120: 11}.get(width, 7)


def test_a_low_terminal_shows_fewer_entries() -> None:
    """The newest ones, so that all channels and the connection stay in sight."""
    watched = [Watched("a"), Watched("b")]
    entries = [{"seq": n, "event": f"e{n}", "ts": 1, "data": n} for n in range(1, 9)]
    for each in watched:
        each.take(snapshot(each.channel, 8, {"entries": entries}), Kind.LOG, NOW)
    console = Console(width=80, height=14, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(Screen(watched, None))
    lines = capture.get().splitlines()
    assert len(lines) <= 14
    assert lines[-1].startswith("connecting")
    assert [sum(f"e{n} " in line for line in lines) for n in (4, 5, 8)] == [0, 2, 2]


def test_a_long_table_is_cut_with_a_word() -> None:
    """What does not fit is counted."""
    rows = {f"k{n:02}": {"size": "1"} for n in range(25)}
    text = shown("positions", Kind.TABLE, snapshot("positions", 1, {"rows": rows}))
    assert "k19" in text
    assert "k20" not in text
    assert "and 5 more" in text


def test_a_log_shows_its_newest_entries() -> None:
    """A line each: event, what matters first, without ids and what says nothing."""
    entries = [{"seq": n, "event": "old", "ts": 1, "data": n} for n in range(1, 21)]
    decision = {
        "id": "d-1", "action": "BUY", "asset_pair": "BTCUSD", "confidence": 70, "executed": False,
        "reasoning": "momentum", "size": None, "timestamp": "2026-01-02T03:04:05Z",
    }  # fmt: skip
    text = shown(
        "decisions",
        Kind.LOG,
        snapshot("decisions", 20, {"entries": entries}),
        update("decisions", 21, "decision_made", decision),
    )
    assert text.count("old") == 7
    assert "decision_made  BTCUSD  BUY  confidence 70  momentum" in text
    assert "d-1" not in text


def test_nothing_yet_is_said_to_be() -> None:
    """An empty channel, of whatever kind, and one that was not answered yet."""
    for kind, data in ((Kind.VALUE, None), (Kind.TABLE, {"rows": {}}), (Kind.LOG, {"entries": []})):
        assert "nothing yet" in shown("c", kind, snapshot("c", 0, data))
    assert "nothing yet" in shown("c", None)


def test_a_value_that_is_no_object_is_shown_as_it_is() -> None:
    """Any JSON may be published, as a value, a row or an entry."""
    assert "[1, 2]" in shown("c", Kind.VALUE, snapshot("c", 1, [1, 2]))
    assert "key" in shown("c", Kind.TABLE, snapshot("c", 1, {"rows": {"a": 1}}))
    entries = {"entries": [{"seq": 1, "event": "e", "ts": 1, "data": "text"}]}
    assert "text" in shown("c", Kind.LOG, snapshot("c", 1, entries))


def test_stale_is_said_until_it_is_live_again() -> None:
    """A producer that stopped is seen, though the connection is healthy."""
    stale = StateChanged(channel="c", state=ChannelState.STALE, since=1)
    live = StateChanged(channel="c", state=ChannelState.LIVE, since=2)
    assert "stale" in shown("c", Kind.VALUE, snapshot("c", 1, 1), stale)
    assert "stale" not in shown("c", Kind.VALUE, snapshot("c", 1, 1), stale, live)


def test_a_reset_and_a_recovery_are_said_for_a_while() -> None:
    """Nobody who watches takes a hole for continuity."""
    reset = Reset(channel="c", cause=Cause.HISTORY, last=Position("e", 6, "t"))
    recovered = Recovered(channel="c", since=Position("e", 7, "t"))
    assert "reset: the channel's history was lost" in shown("c", Kind.VALUE, reset)
    assert "recovered from #7" in shown("c", Kind.VALUE, recovered)
    assert "recovered" not in shown("c", Kind.VALUE, recovered, after=NOTE_SECONDS)


def test_what_was_published_cannot_steer_the_terminal() -> None:
    """Escape sequences and markup in names, keys and values come out as text."""
    evil = "\x1b[2J[bold]x[/link]"
    for kind, data in (
        (Kind.VALUE, {evil: evil}),
        (Kind.TABLE, {"rows": {evil: {evil: evil}}}),
        (Kind.LOG, {"entries": [{"seq": 1, "event": "e", "ts": 1, "data": {evil: evil}}]}),
    ):
        text = shown("c", kind, snapshot("c", 1, data))
        assert "\x1b" not in text
        assert text.count("[bold]x[/link]") >= (3 if kind is Kind.TABLE else 2)


def test_the_connection_is_below() -> None:
    """Whether it is live, and why not."""
    lines = []
    for link in (
        None,
        Link(LinkState.OPEN, "ws://h/ws"),
        Link(LinkState.WAITING, "ws://h/ws", 1006, "refused \x1b", 0.25),
    ):
        console = Console(width=120, force_terminal=False)
        with console.capture() as capture:
            console.print(Screen([Watched("c")], link))
        lines.append(capture.get().splitlines()[-1])
    assert lines == [
        "connecting ...",
        "live from ws://h/ws, Ctrl-C ends it",
        "ws://h/ws is away: refused \N{REPLACEMENT CHARACTER} (1006), again in 0.2 s",
    ]


def test_ages_are_said_as_somebody_would() -> None:
    """Two units at most."""
    ages = [age(seconds) for seconds in (-1, 0, 59.9, 125, 4800, 360_000)]
    assert ages == ["0s", "0s", "59s", "2m 05s", "1h 20m", "4d 4h"]
