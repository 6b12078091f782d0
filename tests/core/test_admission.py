"""Tests of hub.core.admission."""

from __future__ import annotations

import json

import pytest

from hub.core.admission import admit
from hub.protocol.payload import MAX_DATA_BYTES, MAX_DEPTH, is_sound
from hub.protocol.streams import Kind
from tests.core.model_channel import ModelChannel

TOO_DEEP = b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1)
POISON = (b'"NaN"', b"1e999", b"[1,", b"\xff", b"1}{", TOO_DEEP, b"[" * 100_000)


@pytest.mark.parametrize("kind", [Kind.VALUE, Kind.LOG])
def test_sound_data_is_let_through_as_it_is(kind: Kind) -> None:
    """What may be shown is not copied."""
    entry = ModelChannel(kind).put(b'{"equity":"10000.00"}')
    assert admit(entry, kind) is entry


@pytest.mark.parametrize("kind", [Kind.VALUE, Kind.LOG])
@pytest.mark.parametrize("data", POISON, ids=lambda data: repr(data[:8]))
def test_poison_keeps_its_place_and_loses_its_data(kind: Kind, data: bytes) -> None:
    """An entry whose data must not be shown is sent as null, at its position."""
    entry = ModelChannel(kind).put(data)
    admitted = admit(entry, kind)
    assert admitted.position == entry.position
    frame = json.loads(admitted.payload)
    assert (frame["seq"], frame["tag"], frame["data"]) == (1, entry.position.tag, None)


def test_sound_rows_are_let_through_as_they_are() -> None:
    """A row may be nested as deep as data may, though it stands two levels deeper in its entry."""
    deep = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    entry = ModelChannel(Kind.TABLE).patch({"p-1": b'{"size":"1"}', "p-2": deep}, ("p-3",))
    assert admit(entry, Kind.TABLE) is entry


def test_a_row_of_poison_is_deleted() -> None:
    """Of a table's entry the sound rows stay; what the others should have been, nobody knows."""
    rows = {"p-1": b'{"size":"1"}', "p-2": b'{"size":"NaN"}'}
    entry = ModelChannel(Kind.TABLE).patch(rows, ("p-3",))
    admitted = admit(entry, Kind.TABLE)
    assert admitted.position == entry.position
    data = {"upsert": {"p-1": {"size": "1"}}, "delete": ["p-3", "p-2"]}
    assert json.loads(admitted.data) == json.loads(admitted.payload)["data"] == data


@pytest.mark.parametrize(
    "data",
    [
        *POISON,
        b"{}",
        b'{"upsert":[],"delete":[]}',
        b'{"upsert":{},"delete":[],"more":1}',
        b'{"upsert":{"\xff":1},"delete":[]}',
        b'{"upsert":{"p-1":' + b"[" * 100_000 + b'},"delete":[]}',
        b'{"upsert":{"p-1":"' + b"x" * 2 * MAX_DATA_BYTES + b'"},"delete":[]}',
    ],
    ids=lambda data: repr(data[:20]),
)
def test_what_is_no_change_of_rows_changes_none(data: bytes) -> None:
    """An entry of a table that no script wrote keeps its place and changes nothing."""
    admitted = admit(ModelChannel(Kind.TABLE).forge(data), Kind.TABLE)
    assert json.loads(admitted.payload)["data"] == {"upsert": {}, "delete": []}


def test_data_is_sound_where_it_could_have_been_published() -> None:
    """What is read from the broker is held to the rules for what is published."""
    assert is_sound(b'{"pnl":"-3.20"}')
    assert not any(is_sound(data) for data in POISON)
