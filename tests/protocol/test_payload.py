"""The data of a publish: what may travel, and its one spelling."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.protocol import codes
from hub.protocol.errors import PayloadError
from hub.protocol.payload import MAX_DATA_BYTES, MAX_DEPTH, canonical, parse

NO_SURROGATES = st.characters(exclude_categories=["Cs"])
TEXT = st.text(NO_SURROGATES, max_size=20).filter(
    lambda text: "nan" not in text.lower() and "inf" not in text.lower()
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.decimals(allow_nan=False, allow_infinity=False, places=4).filter(
        lambda number: abs(number) < Decimal(10) ** 300
    )
    | TEXT,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(TEXT, children, max_size=4),
    max_leaves=20,
)

encode = msgspec.json.Encoder(decimal_format="number").encode


@given(JSON)
def test_canonical_data_means_the_same(value: Any) -> None:
    """Nothing is lost or changed by the canonical spelling, not even a number's digits."""
    again = parse(canonical(encode(value)))
    assert again == value
    assert canonical(canonical(encode(value))) == canonical(encode(value))


@given(st.dictionaries(TEXT, st.integers(), max_size=6), st.randoms(use_true_random=False))
def test_equal_data_has_equal_bytes(value: dict[str, int], random: Any) -> None:
    """The order of keys and white space make no difference; change detection relies on it."""
    items = list(value.items())
    random.shuffle(items)
    spelled = json.dumps(dict(items), indent=2, ensure_ascii=False)
    assert canonical(spelled) == canonical(encode(value))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (' { "b" : 1.10 , "a" : [ 1 , "\\u00e9" ] } ', '{"a":[1,"é"],"b":1.10}'),
        ("0.10000000000000000000000000000001", "0.10000000000000000000000000000001"),
        ("9007199254740993", "9007199254740993"),
        ("-0.0", "-0.0"),
        ('{"a":1,"a":2}', '{"a":2}'),
        ("1.7976931348623157e308", "1.7976931348623157E+308"),
        ('"nano"', '"nano"'),
        ('{"NaN":"info"}', '{"NaN":"info"}'),
    ],
)
def test_data_is_spelled_canonically(data: str, expected: str) -> None:
    """Keys are sorted, white space goes, digits stay as they were written."""
    assert canonical(data) == expected.encode()
    assert canonical(data.encode()) == expected.encode()


@pytest.mark.parametrize(
    "data",
    [
        "NaN",
        "Infinity",
        '"NaN"',
        '"nan"',
        '"-nAn"',
        '"sNaN"',
        '" NaN\\n"',
        '"NaN123"',
        '"Infinity"',
        '"-Infinity"',
        '"+inf"',
        '{"balance":"NaN"}',
        '[["inf"]]',
        "1e400",
        "-1e400",
        '{"price":1e400}',
        "1" + "0" * 309,
        "1e999999999999999999999",
        "1" * 5_000,
    ],
)
def test_money_that_is_no_number_is_refused(data: str) -> None:
    """What a reader would show as NaN or Infinity never gets so far."""
    with pytest.raises(PayloadError) as refusal:
        parse(data)
    assert refusal.value.code is codes.INVALID_DATA


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"hello", b"\xff", b'"\xff"', b'{"\xff":1}', b'"\\ud800"', '"\ud800"', b"1 2"],
)
def test_what_is_no_json_is_refused(data: bytes | str) -> None:
    """Data must be JSON in UTF-8, whether it comes as bytes or as text."""
    with pytest.raises(PayloadError, match="expected JSON in UTF-8"):
        parse(data)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_nesting_is_bounded(opening: str) -> None:
    """So many levels are allowed, and one more is refused."""
    closing = "]" if opening == "[" else "}"
    deepest = opening * MAX_DEPTH + "1" + closing * MAX_DEPTH
    assert parse(deepest) is not None
    with pytest.raises(PayloadError, match="levels of nesting"):
        parse(opening + deepest + closing)


def test_nesting_beyond_the_stack_is_refused() -> None:
    """Nesting that no recursion survives is refused like any other."""
    with pytest.raises(PayloadError, match="levels of nesting"):
        parse("[" * 100_000 + "]" * 100_000)


def test_size_is_bounded_in_bytes() -> None:
    """The bound counts bytes, also of text whose characters take several."""
    assert parse('"' + "x" * (MAX_DATA_BYTES - 2) + '"')
    for data in ('"' + "x" * (MAX_DATA_BYTES - 1) + '"', '"' + "€" * (MAX_DATA_BYTES // 3) + '"'):
        with pytest.raises(PayloadError, match="expected at most 262144 bytes") as refusal:
            parse(data)
        assert refusal.value.code is codes.TOO_LARGE
    assert parse(b"[1]", max_bytes=3) == [1]
    with pytest.raises(PayloadError):
        parse(b"[10]", max_bytes=3)


def test_fractions_are_decimals() -> None:
    """A fraction is never rounded to a float on its way."""
    assert parse('{"a":0.1}') == {"a": Decimal("0.1")}
