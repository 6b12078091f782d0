"""The data of a publish: what may travel, and its one canonical spelling."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from hub.protocol import codes
from hub.protocol.errors import PayloadError

MAX_DATA_BYTES = 256 * 1024
MAX_DEPTH = 32

_NO_NUMBER = frozenset(
    sign + word
    for word in ("NaN", "nan", "NAN", "sNaN", "Infinity", "infinity", "inf", "Inf")
    for sign in ("", "+", "-")
)

_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder(order="sorted", decimal_format="number").encode


def canonical(data: bytes | str) -> bytes:
    """Check JSON text from outside and spell it canonically: keys sorted, no white space.

    Equal data gets equal bytes, which is what change detection compares; digits of numbers are
    kept as they were written. Raises PayloadError, as `check` does.
    """
    return _encode(parse(data))


def parse(data: bytes | str, *, max_bytes: int = MAX_DATA_BYTES) -> Any:
    """Decode and check JSON text from outside; fractions arrive as Decimal.

    Raises PayloadError for what is larger than `max_bytes`, is no JSON in UTF-8, is nested
    deeper than `MAX_DEPTH`, or holds a number that is none ("NaN" and "Infinity" as strings too:
    wrong money must not reach a screen).
    """
    if len(data) > max_bytes:
        raise PayloadError(
            f"expected at most {max_bytes} bytes of data, got {len(data)}",
            code=codes.TOO_LARGE,
        )
    try:
        value = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PayloadError(f"expected JSON in UTF-8: {error}") from None
    except RecursionError:
        raise PayloadError(_too_deep()) from None
    _check(value, MAX_DEPTH)
    return value


def _check(value: Any, depth: int) -> None:
    if isinstance(value, str):
        if value in _NO_NUMBER:
            raise PayloadError(f"expected a finite number, got {value!r}")
        return
    if isinstance(value, dict):
        children: Any = value.values()
    elif isinstance(value, list):
        children = value
    else:
        return
    if depth == 0:
        raise PayloadError(_too_deep())
    for child in children:
        _check(child, depth - 1)


def _too_deep() -> str:
    return f"expected at most {MAX_DEPTH} levels of nesting, got more"
