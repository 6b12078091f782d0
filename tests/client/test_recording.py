"""The format of a recording."""

from __future__ import annotations

import msgspec
import pytest

from hub.client import Cause
from hub.client.recording import (
    VERSION,
    Begin,
    End,
    Places,
    RecordingError,
    Recovered,
    Reset,
    Row,
    Snapshot,
    Turned,
    Update,
    data_of,
    encode_row,
    read_rows,
)
from hub.protocol.frames import ChannelState
from hub.protocol.position import Position
from hub.protocol.streams import Kind

AT = Position("e", 7, "00aa11bb")
BEGIN = Begin(at=1, version=VERSION, channels=("c",), source="hub", tapecast="0.1.0")
EVERY: list[Row] = [
    BEGIN,
    Snapshot(at=2, channel="c", kind=Kind.LOG, epoch="e", seq=7, tag="00aa11bb", ts=5,
             data=msgspec.Raw(b'{"entries":[]}')),
    Update(at=3, channel="c", event="x", ts=6, epoch="e", seq=8, tag="0",
           data=msgspec.Raw(b"1.10")),
    Update(at=3, channel="c", event="x", ts=6, data=msgspec.Raw(b'"foreign"')),
    Reset(at=4, channel="c", cause=Cause.MISSED, last=AT),
    Recovered(at=5, channel="c", since=AT),
    Turned(at=6, channel="c", state=ChannelState.STALE, since=6),
    End(at=9),
]  # fmt: skip


def test_rows_are_read_as_they_were_written() -> None:
    """Every type, data byte for byte; an empty recording has no rows."""
    lines = [encode_row(row) for row in EVERY]
    assert list(read_rows(lines)) == EVERY
    assert lines[2] == (
        b'{"type":"update","at":3,"channel":"c","event":"x","ts":6,'
        b'"epoch":"e","seq":8,"tag":"0","data":1.10}\n'
    )
    assert list(read_rows([])) == []


def test_a_line_without_its_end_is_not_there() -> None:
    """The recorder was killed while it wrote."""
    lines = [encode_row(row) for row in EVERY]
    assert list(read_rows([*lines[:2], lines[2][:-5]])) == EVERY[:2]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([b"x\n"], "line 1: expected a row"),
        ([encode_row(EVERY[5])], "line 1: expected {"),
        ([encode_row(BEGIN), b'{"type":"other"}\n'], "line 2: expected a row"),
        ([encode_row(BEGIN), b"\xff\n"], "line 2"),
        ([encode_row(msgspec.structs.replace(BEGIN, version=VERSION + 1))], "a newer Tapecast"),
    ],
)
def test_what_is_no_recording_is_named_by_its_line(lines: list[bytes], said: str) -> None:
    """Also one of a version to come."""
    with pytest.raises(RecordingError, match=said):
        list(read_rows(lines))


def test_data_is_on_one_line() -> None:
    """Its bytes are the hub's, unless somebody broke them over lines."""
    assert bytes(data_of(b'{"type":"update","data":{"b":1.10, "a":"x"}}')) == b'{"b":1.10, "a":"x"}'
    assert bytes(data_of(b'{"data":[1.10,\n2]}')) == b"[1.10,2]"


def test_where_a_recording_stands() -> None:
    """At the last row that has a place; nowhere, where a reset lost its snapshot."""
    places = Places()
    for row in EVERY[:4]:
        places.take(row)
    assert places.positions == {"c": Position("e", 8, "0")}
    assert places.kinds == {"c": Kind.LOG}
    places.take(EVERY[4])
    assert places.positions == {}
