"""One decision file to a `Decision`.

Files are written by many hands, so what they mean is taken, not how they spell it:

- The id stands under `id` or `decision_id`; else the file's name gives it, without its ending and
  a leading date.
- Numbers come as numbers or as strings, and are read as Decimal, never through a float.
- A time without a zone is UTC.
- `size` is the first of `position_size`, `recommended_position_size`, `size` and `amount`.
- Everything that has no place in `Decision` is kept under `extra`, so that nothing is lost.

What can't be read truthfully (no JSON, an unknown action, a price that is no number) is a
`BrokenFile` that says why.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn

from hub.protocol.errors import ProtocolError
from hub.protocol.publication import change_from_json
from hub.protocol.streams import Kind
from producers.encoding import encode, require_money
from producers.errors import BrokenFile, InvalidPayload
from producers.events import Action, Decision

MAX_FILE_BYTES: Final = 256 * 1024

_IDS: Final = ("id", "decision_id")
_SIZES: Final = ("position_size", "recommended_position_size", "size", "amount")
_PROVIDERS: Final = ("ai_provider", "provider")
_DATED = re.compile(r"\d{4}-\d{2}-\d{2}_(?=.)")


def parse_decision(name: str, content: bytes) -> Decision:
    """Read the file called `name`; raises BrokenFile."""
    try:
        fields = _object(content)
    except (ValueError, RecursionError) as error:
        raise BrokenFile(name, _reason(error)) from error
    return read_decision(name, fields, otherwise=id_from_name(name))


def read_decision(name: str, fields: Mapping[str, Any], *, otherwise: str) -> Decision:
    """Read the fields of what is called `name`; raises BrokenFile.

    otherwise: the id where the fields name none.
    """
    try:
        decision = _decision(_Fields(dict(fields)), otherwise)
        # What can't travel is found here, where the file's name is known.
        change_from_json(Kind.LOG, encode(decision))
    except (ValueError, RecursionError, ProtocolError) as error:
        raise BrokenFile(name, _reason(error)) from error
    return decision


def id_from_name(name: str) -> str:
    """What a file's name says where the file doesn't: `2025-01-01_x.json` holds `x`."""
    return _DATED.sub("", name.removesuffix(".json"), count=1)


class _Fields:
    """The fields of a file, taken out one by one; what is left over has no name of ours."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.left = fields

    def take(self, *names: str) -> Any:
        """The value of the first of these fields that says anything."""
        for name in names:
            if self.left.get(name) not in (None, ""):
                return self.left.pop(name)
        return None

    def text(self, *names: str) -> str | None:
        value = self.take(*names)
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        raise InvalidPayload(names[0], "text", value)

    def number(self, *names: str) -> Decimal | None:
        value = self.take(*names)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
            raise InvalidPayload(names[0], "a number", value)
        try:
            number = Decimal(value)
        except InvalidOperation:
            raise InvalidPayload(names[0], "a number", value) from None
        # Also an exponent that would make a number of gigabytes.
        require_money(names[0], number)
        return number

    def flag(self, name: str) -> bool:
        value = self.take(name)
        if isinstance(value, str):
            value = {"true": True, "false": False}.get(value.lower(), value)
        if value is None or isinstance(value, bool):
            return bool(value)
        raise InvalidPayload(name, "true or false", value)

    def time(self, name: str) -> datetime | None:
        value = self.take(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise InvalidPayload(name, "an ISO 8601 time", value)
        try:
            time = datetime.fromisoformat(value)
            return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        except (ValueError, OverflowError):
            raise InvalidPayload(name, "an ISO 8601 time", value) from None

    def mapping(self, name: str) -> dict[str, Any]:
        value = self.left.get(name)
        return self.left.pop(name) if isinstance(value, dict) else {}


def _decision(fields: _Fields, otherwise: str) -> Decision:
    asset_pair = fields.text("asset_pair")
    if asset_pair is None:
        raise InvalidPayload("asset_pair", "an asset pair", None)
    action = fields.text("action")
    if action is None or action.upper() not in Action.__members__:
        raise InvalidPayload("action", f"one of {', '.join(Action)}", action)
    return Decision(
        id=fields.text(*_IDS) or otherwise,
        asset_pair=asset_pair,
        action=Action[action.upper()],
        confidence=_confidence(fields.number("confidence")),
        reasoning=fields.text("reasoning"),
        entry_price=fields.number("entry_price"),
        size=fields.number(*_SIZES),
        executed=fields.flag("executed"),
        provider=fields.text(*_PROVIDERS),
        timestamp=fields.time("timestamp"),
        metadata=fields.mapping("metadata"),
        extra=fields.left,
    )


def _confidence(value: Decimal | None) -> float | None:
    # No money: a plain number on the wire, and a whole one where the file has a whole one.
    if value is None:
        return None
    return int(value) if value == value.to_integral_value() else float(value)


def _object(content: bytes) -> dict[str, Any]:
    if len(content) > MAX_FILE_BYTES:
        raise InvalidPayload("file", f"at most {MAX_FILE_BYTES} bytes", len(content))
    value = json.loads(
        content.decode("utf-8-sig"), parse_float=Decimal, parse_constant=_refuse_constant
    )
    if not isinstance(value, dict):
        raise InvalidPayload("file", "a JSON object", type(value).__name__)
    return value


def _refuse_constant(literal: str) -> NoReturn:
    raise InvalidPayload("file", "finite numbers", literal)


def _reason(error: Exception) -> str:
    match error:
        case json.JSONDecodeError():
            return f"no JSON: {error.msg} at line {error.lineno} column {error.colno}"
        case UnicodeDecodeError():
            return f"no UTF-8: {error.reason} at byte {error.start}"
        case RecursionError():
            return "nested too deeply"
    return str(error)


def order_of(decision: Decision) -> tuple[bool, float, str]:
    """Sorts decisions by their time; those without one come first, equal ones by id."""
    time = decision.timestamp
    return (time is not None, time.timestamp() if time else 0.0, decision.id)
