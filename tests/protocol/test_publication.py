"""What a publisher hands over, read from JSON."""

from __future__ import annotations

import pytest

from hub.protocol.errors import PayloadError
from hub.protocol.publication import (
    AppendEntry,
    Change,
    PatchRows,
    ReplaceRows,
    SetValue,
    change_from_json,
    table_change,
)
from hub.protocol.streams import Kind


@pytest.mark.parametrize(
    ("kind", "data", "change"),
    [
        (Kind.VALUE, '{ "b":1, "a":2 }', SetValue(b'{"a":2,"b":1}')),
        (Kind.LOG, b"1.50", AppendEntry(b"1.50")),
        (Kind.TABLE, '{"rows":{}}', ReplaceRows({})),
        (Kind.TABLE, '{"rows":{"p":{"b":1,"a":2}}}', ReplaceRows({"p": b'{"a":2,"b":1}'})),
        (Kind.TABLE, '{"upsert":{"p":1.50}}', PatchRows({"p": b"1.50"})),
        (Kind.TABLE, '{"delete":["p","q"]}', PatchRows({}, ("p", "q"))),
        (Kind.TABLE, '{"upsert":{"p":1},"delete":["q"]}', PatchRows({"p": b"1"}, ("q",))),
    ],
)
def test_data_becomes_the_change_of_its_kind(kind: Kind, data: bytes | str, change: Change) -> None:
    """The kind of the channel says what published JSON means."""
    assert change_from_json(kind, data) == change


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"rows": []},
        {"rows": {}, "more": 1},
        {"rows": {}, "upsert": {}},
        {"upsert": []},
        {"delete": {}},
        {"upsert": {}, "remove": []},
    ],
)
def test_other_data_is_no_table(value: object) -> None:
    """A table's change that is neither whole nor part says what it should look like."""
    with pytest.raises(PayloadError, match="a table expects"):
        table_change(value)


@pytest.mark.parametrize(
    "value",
    [{"rows": {"": 1}}, {"upsert": {"x" * 256: 1}}, {"upsert": {"é" * 128: 1}}, {"delete": [1]}],
)
def test_row_keys_are_bounded(value: object) -> None:
    """A row's key is a string of 1 to 255 bytes."""
    with pytest.raises(PayloadError, match="1 to 255 bytes"):
        table_change(value)


def test_a_row_is_not_both_set_and_deleted() -> None:
    """What would happen to such a row would depend on the order."""
    with pytest.raises(PayloadError, match="both upserted and deleted"):
        table_change({"upsert": {"p": 1}, "delete": ["p"]})


@pytest.mark.parametrize("kind", Kind)
def test_wrong_money_is_refused_in_every_kind(kind: Kind) -> None:
    """NaN does not get in by any kind of channel."""
    with pytest.raises(PayloadError):
        change_from_json(kind, '{"upsert":{"p":{"price":"NaN"}}}')
