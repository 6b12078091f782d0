"""Payloads to canonical JSON: equal payloads are equal bytes, whoever encodes them.

The publish script compares what it gets with what it has, byte by byte. So keys are sorted, a
Decimal is a string in plain notation with exactly its digits, and a time is RFC 3339 in UTC.
What JSON can't carry truthfully (NaN, infinity, a time without a zone, a key that is no
string) is refused with `InvalidPayload`, naming the place. JSON that somebody else wrote comes as
`msgspec.Raw` and is left to `hub.protocol.payload`, which checks it and spells it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Final

import msgspec

from producers.errors import InvalidPayload

MAX_DEPTH: Final = 32
# Far beyond any amount of money, and still short when written without an exponent.
MAX_EXPONENT: Final = 64
# What a reader's float can hold, about; Python itself writes no more than 4,300 digits.
MAX_INTEGER_BITS: Final = 1023

# A dict is found at once; ABCs are asked in Python.
_MAPPINGS: Final = (dict, Mapping)

_encoder = msgspec.json.Encoder(order="sorted")


def encode(payload: object) -> bytes:
    """The canonical JSON of `payload`: structs, mappings, sequences, scalars."""
    if isinstance(payload, msgspec.Raw):
        return bytes(payload)
    try:
        return _encoder.encode(_plain(payload, "payload", MAX_DEPTH))
    except UnicodeEncodeError as error:
        raise InvalidPayload("payload", "valid Unicode text", error.object) from error


def require_money(where: str, value: Decimal) -> None:
    """Refuse what is no amount: NaN, infinity, or an exponent out of all proportion."""
    if not isinstance(value, Decimal):
        raise InvalidPayload(where, "a Decimal", value)
    if not value.is_finite():
        raise InvalidPayload(where, "a finite number", value)
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    if abs(exponent) > MAX_EXPONENT or abs(value.adjusted()) > MAX_EXPONENT:
        raise InvalidPayload(where, f"an exponent within {MAX_EXPONENT}", value)


def require_aware(where: str, value: datetime) -> None:
    """Refuse a time that doesn't say its zone."""
    if value.tzinfo is None:
        raise InvalidPayload(where, "a time with a zone", value)


def _plain(value: object, where: str, depth: int) -> object:
    # Most of what travels, and no subclass: the members of a StrEnum are strings too.
    if type(value) is str or value is None:
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        if value.bit_length() > MAX_INTEGER_BITS:
            got = f"one of {value.bit_length()} bits"
            raise InvalidPayload(where, f"an integer of at most {MAX_INTEGER_BITS} bits", got)
        return value
    if isinstance(value, Decimal):
        require_money(where, value)
        return format(value, "f")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidPayload(where, "a finite number", value)
        return value
    if isinstance(value, datetime):
        require_aware(where, value)
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return _plain_container(value, where, depth)


def _plain_container(value: object, where: str, depth: int) -> object:
    if depth == 0:
        raise InvalidPayload(where, f"at most {MAX_DEPTH} levels", value)
    if isinstance(value, msgspec.Struct):
        return {
            field: _plain(getattr(value, field), f"{where}.{field}", depth - 1)
            for field in value.__struct_fields__
        }
    if isinstance(value, _MAPPINGS):
        for key in value:
            if not isinstance(key, str):
                raise InvalidPayload(where, "keys that are strings", key)
        return {str(key): _plain(item, f"{where}.{key}", depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{i}]", depth - 1) for i, item in enumerate(value)]
    raise InvalidPayload(where, "something JSON can carry", value)
