"""The data of a publish: what may travel, and its one canonical spelling."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from string import digits
from sys import float_info
from typing import Any

import msgspec

from hub.protocol import codes
from hub.protocol.errors import PayloadError

MAX_DATA_BYTES = 256 * 1024
MAX_DEPTH = 32

# What Decimal and float read as no finite number; both take off white space first.
_NO_NUMBER = re.compile(r"\s*[+-]?(?:s?nan[0-9]*|inf(?:inity)?)\s*", re.IGNORECASE).fullmatch

# IEEE 754 binary64, which is what most readers of JSON have (RFC 8259 section 6).
_MAX_NUMBER = Decimal(float_info.max)

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
    deeper than `MAX_DEPTH`, or holds a number that is none ("NaN" and "Infinity" as strings too,
    and 1e400, which JavaScript reads as Infinity: wrong money must not reach a screen).
    """
    if isinstance(data, str):
        # Bytes are what is bounded; a lone surrogate becomes what the decoder refuses.
        data = data.encode(errors="surrogatepass")
    if len(data) > max_bytes:
        raise PayloadError(
            f"expected at most {max_bytes} bytes of data, got {len(data)}",
            code=codes.TOO_LARGE,
        )
    try:
        value = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PayloadError(f"expected JSON in UTF-8: {error}") from None
    except InvalidOperation:
        raise PayloadError("expected a finite number, got one beyond all bounds") from None
    except RecursionError:
        raise PayloadError(_too_deep()) from None
    _check(value, MAX_DEPTH)
    return value


def is_sound(data: bytes) -> bool:
    """Whether data from the broker is what somebody may have published, and not poison by hand."""
    try:
        parse(data)
    except PayloadError:
        return False
    return True


def _check(value: Any, depth: int) -> None:
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, int | Decimal):
        if not -_MAX_NUMBER <= value <= _MAX_NUMBER:
            raise PayloadError(f"expected a number of at most {float_info.max:g}")
    elif isinstance(value, dict):
        _check_all(value.values(), depth)
    elif isinstance(value, list):
        _check_all(value, depth)


def _check_all(children: Iterable[Any], depth: int) -> None:
    if depth == 0:
        raise PayloadError(_too_deep())
    for child in children:
        # Most of what travels is text that begins with a digit: a hub checks each envelope.
        if type(child) is not str:
            _check(child, depth - 1)
        elif child[:1] not in digits:
            _check_text(child)


def _check_text(text: str) -> None:
    if _NO_NUMBER(text):
        raise PayloadError(f"expected a finite number, got {text!r}")


def _too_deep() -> str:
    return f"expected at most {MAX_DEPTH} levels of nesting, got more"
