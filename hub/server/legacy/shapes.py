"""The shapes that old dashboards read, made of what channels carry.

Rules:
1. Money is text in a channel and a JSON number here, with the digits that it had, as old dashboards
   compute with it. What is no finite number, or one that no reader of JSON can hold, becomes null.
2. Every field that old dashboards read is there, null where nobody has published what it shows.
   `confidence` is 0 then, and texts are empty: old dashboards call their methods unasked.
3. Nothing that was published makes this module raise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from sys import float_info
from typing import Any, Final, TypeAlias

import msgspec

Shape: TypeAlias = dict[str, Any]

MONEY: Final = frozenset(
    (
        "available",
        "balance",
        "current_price",
        "entry_price",
        "equity",
        "exposure",
        "fee",
        "filled",
        "margin_used",
        "price",
        "realized_pnl",
        "size",
        "unrealized_pnl",
        "unrealized_pnl_pct",
    )
)
"""Fields of any event whose text is a number: those of the producers' payloads."""

decode = msgspec.json.Decoder(float_hook=Decimal).decode
"""JSON whose fractions keep their digits."""

encode = msgspec.json.Encoder(decimal_format="number").encode

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DIGITS = float_info.max_10_exp
"""Before the point: any number with so many is one that IEEE 754 binary64 has (1e308)."""
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")


def number(value: object) -> Decimal | int | None:
    """The number that a value is or spells."""
    if isinstance(value, str):
        if _NUMBER.fullmatch(value) is None:
            return None
        value = Decimal(value)
    if isinstance(value, Decimal):
        # The digits before the point are counted, as to compare would take most of the time.
        return value if value.adjusted() < _DIGITS else None
    if type(value) is int:
        return value if abs(value) < 10**_DIGITS else None
    return None


def iso(ts: int) -> str:
    """Microseconds since the epoch as ISO 8601 in UTC."""
    return (_EPOCH + timedelta(microseconds=ts)).isoformat().replace("+00:00", "Z")


def fields_of(data: object) -> Mapping[str, Any]:
    """The fields of an object; none of anything else."""
    return data if isinstance(data, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


# What channels of state carry


def portfolio(data: object, error: str | None = None) -> Shape:
    """An account. error: why its numbers may be old."""
    fields = fields_of(data)
    shape: Shape = {
        "balance": {
            "total": number(fields.get("balance")),
            "available": number(fields.get("available")),
            "currency": _text_or_none(fields.get("currency")),
        }
        if fields
        else None,
        "active_positions": number(fields.get("positions_count")) or 0,
        "max_concurrent_trades": number(fields.get("max_concurrent_trades")),
        "platform": _text_or_none(fields.get("platform")),
        "portfolio_value": number(fields.get("equity")),
    }
    if error is not None:
        shape["error"] = error
    return shape


def position(key: str, row: object) -> Shape:
    """One open position, of the table's row under `key`."""
    fields = fields_of(row)
    return {
        "id": _text(fields.get("id")) or key,
        "asset_pair": _text(fields.get("asset_pair")),
        "side": _text(fields.get("side")).upper(),
        "size": number(fields.get("size")),
        "entry_price": number(fields.get("entry_price")),
        "current_price": number(fields.get("current_price")),
        "unrealized_pnl": number(fields.get("unrealized_pnl")),
        "unrealized_pnl_pct": number(fields.get("unrealized_pnl_pct")),
        "margin_used": number(fields.get("margin_used")),
    }


# A process's state: what the old server called it, and the unified status where that is the same
# at every step of the loop.
_STATES: Final = {
    "STARTING": ("starting", "transitioning"),
    "RUNNING": ("running", ""),
    "PAUSED": ("running", "ready"),
    "STOPPED": ("stopped", "offline"),
    "FAILED": ("error", "error"),
}
_DESCRIPTIONS: Final = {
    "offline": "The agent does not run.",
    "transitioning": "The agent is starting.",
    "ready": "The agent waits for its next round.",
    "active": "The agent is at work.",
    "error": "The agent has failed.",
}
_OPERATIONAL: Final = ("ready", "active")


def agent_status(
    data: object,
    *,
    account: object = None,
    decided: Mapping[str, Any] | None = None,
    error: str | None = None,
) -> Shape:
    """An agent, of what it says of itself, of its account, and of its newest decision (as
    `decision` shapes it). error: why what it said may not be so any more."""
    fields, money, newest = fields_of(data), fields_of(account), decided or {}
    said, ooda = fields.get("state"), _text_or_none(fields.get("ooda_state"))
    paused = fields.get("paused") is True or said == "PAUSED"
    if error is not None:
        state, unified, description = "error", "error", error
    elif not fields:
        state, unified, description = "stopped", "offline", "No agent has reported yet."
    else:
        state, unified = _STATES.get(_text(said), ("error", "error"))
        if not unified:
            unified = "ready" if paused or ooda in (None, "IDLE") else "active"
        description = "The agent is paused." if paused else _DESCRIPTIONS[unified]
    config = fields_of(fields.get("config"))
    pairs = config.get("asset_pairs")
    return {
        "state": state,
        "agent_ooda_state": ooda if state == "running" else None,
        "unified_status": unified,
        "status_description": description,
        "is_operational": unified in _OPERATIONAL and not paused,
        "uptime_seconds": number(fields.get("uptime_seconds")),
        "total_trades": number(fields_of(fields.get("totals")).get("trades")) or 0,
        "active_positions": number(money.get("positions_count")) or 0,
        "portfolio_value": number(money.get("equity")),
        "daily_pnl": number(money.get("daily_pnl")),
        "current_asset_pair": _text_or_none(newest.get("asset_pair")),
        "last_decision_time": _text_or_none(newest.get("timestamp")),
        "error_message": error if error is not None else _text_or_none(fields.get("error")),
        "config": {
            "asset_pairs": [each for each in pairs if isinstance(each, str)]
            if isinstance(pairs, list)
            else [],
            "autonomous": config.get("autonomous") is not False,
            "paused": paused,
        },
    }


_HEALTH: Final = {"ok": "healthy", "degraded": "degraded", "down": "unhealthy"}


def health(
    data: object,
    *,
    timestamp: str,
    uptime_seconds: float | None = None,
    portfolio_balance: object = None,
    error: str | None = None,
) -> Shape:
    """How a producer's parts are. error: why nothing is well, whatever the producer said."""
    fields = fields_of(data)
    status = _HEALTH.get(_text(fields.get("state")), "unhealthy") if fields else "healthy"
    shape: Shape = {
        "status": status if error is None else "unhealthy",
        "uptime_seconds": uptime_seconds,
        "portfolio_balance": number(portfolio_balance),
        "timestamp": timestamp,
        "components": {
            name: {
                "status": _HEALTH.get(_text(part.get("state")), "unhealthy"),
                "message": _text_or_none(part.get("detail")),
            }
            for name, part in _parts(fields.get("components"))
        },
        "circuit_breakers": {
            name: {
                "state": _text(part.get("state")).upper(),
                "failure_count": number(part.get("failures")) or 0,
            }
            for name, part in _parts(fields.get("circuit_breakers"))
        },
    }
    if error is not None:
        shape["error"] = error
    return shape


def _parts(value: object) -> list[tuple[str, Mapping[str, Any]]]:
    return [(name, fields_of(part)) for name, part in fields_of(value).items()]


# What happened


def decision(data: object, ts: int) -> Shape:
    """A decision that was published at `ts`."""
    fields = fields_of(data)
    id = _text(fields.get("id")) or _text(fields.get("decision_id"))
    result = next(
        (
            found
            for place in (fields, fields_of(fields.get("extra")), fields_of(fields.get("metadata")))
            if isinstance(found := place.get("execution_result"), dict)
        ),
        None,
    )
    return {
        "decision_id": id,
        "id": id,
        "asset_pair": _text(fields.get("asset_pair")),
        "action": _text(fields.get("action")),
        "confidence": number(fields.get("confidence")) or 0,
        "reasoning": _text(fields.get("reasoning")),
        "timestamp": _text(fields.get("timestamp")) or iso(ts),
        "executed": fields.get("executed") is True,
        "execution_result": with_numbers(result),
    }


DECISIONS: Final = ("decision_made", "decision_updated")
_POSITIONS: Final = ("position_opened", "position_updated", "position_closed")


def happened(event: str, data: object, ts: int) -> Any:
    """The data of any event of a log, published at `ts`: decisions and positions in their shapes,
    and beside what was published the names that old dashboards look for."""
    if event in DECISIONS:
        return decision(data, ts)
    if not isinstance(data, dict):
        return with_numbers(data)
    shape: Shape = with_numbers(data)
    if event in _POSITIONS:
        shape |= position("", data)
        shape.setdefault("pnl_pct", shape["unrealized_pnl_pct"])
    elif event == "state_transition":
        shape.setdefault("from", data.get("from_state"))
        shape.setdefault("to", data.get("to_state"))
    elif event == "trade_executed":
        shape.setdefault("side", data.get("action"))
        shape.setdefault("entry_price", shape.get("price"))
    elif event == "error":
        parts = [_text(data.get(name)) for name in ("component", "detail")]
        shape.setdefault("message", ": ".join(filter(None, parts)) or "the agent met an error")
    # Seconds, as a number: that is what the old agent stamped its events with.
    shape.setdefault("timestamp", Decimal(ts).scaleb(-6))
    return shape


def with_numbers(value: Any) -> Any:
    """A copy in which the text of every field of `MONEY` is a number."""
    if isinstance(value, dict):
        return {
            name: number(each) if name in MONEY and isinstance(each, str) else with_numbers(each)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [with_numbers(each) for each in value]
    return value
