"""producers/sources/decision_store/parsing.py: what many hands write, read for what it means."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from producers.encoding import encode
from producers.errors import BrokenFile
from producers.events import Action, Decision
from producers.sources.decision_store.parsing import (
    MAX_FILE_BYTES,
    id_from_name,
    order_of,
    parse_decision,
)

# As a recovery module writes it: all fields, a nested `metadata`, a time without a zone.
RECOVERED = """{
  "id": "RECOVERED_1",
  "asset_pair": "BIP20DEC30CDE",
  "action": "HOLD",
  "confidence": 50,
  "timestamp": "2025-12-24T18:42:04.267404",
  "entry_price": 87305.0,
  "recommended_position_size": 0.01,
  "position_size": 0.01,
  "signal_only": true,
  "ai_provider": "recovery",
  "reasoning": "Position recovered on startup",
  "metadata": {"leverage": 10.0, "current_price": 87395.0, "avg_entry_price": null}
}"""


def parse(text: str | bytes | None = None, name: str = "x.json", **fields: Any) -> Decision:
    if text is None:
        text = json.dumps({"id": "d", "asset_pair": "ETHUSD", "action": "BUY", **fields})
    return parse_decision(name, text.encode() if isinstance(text, str) else text)


def test_a_recorded_shape() -> None:
    """Known fields are typed, the deciding program's metadata is kept, the rest is extra."""
    assert parse(RECOVERED) == Decision(
        id="RECOVERED_1",
        asset_pair="BIP20DEC30CDE",
        action=Action.HOLD,
        confidence=50,
        reasoning="Position recovered on startup",
        entry_price=Decimal("87305.0"),
        size=Decimal("0.01"),
        executed=False,
        provider="recovery",
        timestamp=datetime(2025, 12, 24, 18, 42, 4, 267404, tzinfo=UTC),
        metadata={
            "leverage": Decimal("10.0"),
            "current_price": Decimal("87395.0"),
            "avg_entry_price": None,
        },
        extra={"recommended_position_size": Decimal("0.01"), "signal_only": True},
    )


def test_as_little_as_possible() -> None:
    """Only an asset pair and an action are needed."""
    read = parse('{"asset_pair": "ETHUSD", "action": "sell"}', "2025-01-01_test-learn.json")
    assert read == Decision(id="test-learn", asset_pair="ETHUSD", action=Action.SELL)


@pytest.mark.parametrize(
    ("fields", "id"),
    [
        ({"id": "a", "decision_id": "b"}, "a"),
        ({"id": None, "decision_id": "b"}, "b"),
        ({"id": "", "decision_id": 7}, "7"),
        ({"id": None}, "x"),
    ],
)
def test_ids(fields: dict[str, Any], id: str) -> None:
    """The id stands under `id` or `decision_id`; else the file's name gives it."""
    assert parse(**fields).id == id


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("2025-01-01_test.json", "test"),
        ("test.json", "test"),
        ("2025-01-01_.json", "2025-01-01_"),
        ("2025-01-01_2025-01-02_a.json", "2025-01-02_a"),
    ],
)
def test_ids_from_names(name: str, id: str) -> None:
    """A leading date and the ending are no part of an id."""
    assert id_from_name(name) == id


@pytest.mark.parametrize("price", ["87550", 87550, "87550 ", "8.755E4"])
def test_numbers_and_strings(price: object) -> None:
    """A number may come as one or as a string."""
    assert parse(entry_price=price).entry_price == 87550


def test_digits_are_kept() -> None:
    """No number goes through a float, wherever it stands."""
    digits = "0.12345678901234567890123"
    read = parse(
        f'{{"asset_pair":"A","action":"BUY","entry_price":{digits},"metadata":{{"x":[{digits}]}}}}'
    )
    assert read.entry_price == Decimal(digits)
    assert encode(read).decode().count(f'"{digits}"') == 2


@pytest.mark.parametrize("missing", [None, ""])
def test_missing_numbers(missing: object) -> None:
    """Nothing is nothing, not zero."""
    assert parse(entry_price=missing).entry_price is None


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"amount": 1}, 1),
        ({"position_size": 0.0, "recommended_position_size": 2}, 0),
        ({"position_size": None, "recommended_position_size": "2"}, 2),
        ({}, None),
    ],
)
def test_sizes(fields: dict[str, Any], size: int | None) -> None:
    """The first field that says a size is the size, also when it says zero."""
    assert parse(**fields).size == size


@pytest.mark.parametrize(
    ("time", "wire"),
    [
        ("2025-01-01T00:00:00Z", "2025-01-01T00:00:00Z"),
        ("2025-01-01T00:00:00", "2025-01-01T00:00:00Z"),
        ("2025-01-01 02:00:00.5+02:00", "2025-01-01T00:00:00.500000Z"),
        ("2025-01-01", "2025-01-01T00:00:00Z"),
    ],
)
def test_times(time: str, wire: str) -> None:
    """A time without a zone is UTC, and all of them are UTC on the wire."""
    assert f'"timestamp":"{wire}"'.encode() in encode(parse(timestamp=time))


@pytest.mark.parametrize(
    ("confidence", "wire"), [(80, "80"), ("80", "80"), (80.0, "80"), (72.5, "72.5"), (None, "null")]
)
def test_confidence(confidence: object, wire: str) -> None:
    """Confidence is a plain number on the wire."""
    assert f'"confidence":{wire},'.encode() in encode(parse(confidence=confidence))


@pytest.mark.parametrize(
    ("executed", "read"), [(True, True), ("true", True), ("False", False), (None, False)]
)
def test_executed(executed: object, read: bool) -> None:
    """Executed is what the file says, and False where it says nothing."""
    assert parse(executed=executed).executed is read


def test_byte_order_mark() -> None:
    """A file from Windows may begin with one."""
    assert parse(b'\xef\xbb\xbf{"asset_pair":"A","action":"BUY"}').asset_pair == "A"


def test_metadata_of_another_type() -> None:
    """Metadata that is no object is kept all the same."""
    assert parse(metadata="free text").extra == {"metadata": "free text"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no JSON"),
        (b'{"id": "d", "asset_pai', "no JSON"),
        (b"[1, 2]", "expected a JSON object, got 'list'"),
        (b"\xff\xfe", "no UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b" " * (MAX_FILE_BYTES + 1), "expected at most 262144 bytes"),
        (b'{"action": "BUY"}', "expected an asset pair"),
        (b'{"asset_pair": "A"}', "expected one of BUY, SELL, HOLD, got None"),
        (b'{"asset_pair": "A", "action": "PANIC"}', "got 'PANIC'"),
        (b'{"asset_pair": "A", "action": true}', "action: expected text"),
    ],
)
def test_broken_files(content: bytes, why: str) -> None:
    """A file that holds no decision says why, under its name."""
    with pytest.raises(BrokenFile, match=why) as caught:
        parse(content)
    assert caught.value.name == "x.json"


@pytest.mark.parametrize(
    "fields",
    [
        {"entry_price": "about 100"},
        {"entry_price": True},
        {"entry_price": [1]},
        {"entry_price": "NaN"},
        {"entry_price": float("inf")},
        {"metadata": {"price": float("nan")}},
        {"metadata": {"price": "NaN"}},
        {"confidence": 101},
        {"confidence": "1e999999999"},
        {"executed": "maybe"},
        {"timestamp": "yesterday"},
        {"timestamp": 1735689600},
        {"timestamp": "0001-01-01T00:00:00+23:00"},
    ],
)
def test_untrue_values(fields: dict[str, Any]) -> None:
    """What can't be read truthfully is not published in part."""
    with pytest.raises(BrokenFile):
        parse(**fields)


def test_order() -> None:
    """Decisions are told in the order in which they were made."""
    late = parse(id="a", timestamp="2025-01-02T00:00:00Z")
    early = parse(id="b", timestamp="2025-01-01T00:00:00Z")
    never = parse(id="c")
    assert sorted([late, never, early], key=order_of) == [never, early, late]
