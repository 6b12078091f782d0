"""Payloads for tests, of which a test says only what it is about."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from producers.events import Action, Decision, Mode, Portfolio, Side, TradingPosition


def portfolio(**fields: Any) -> Portfolio:
    """A portfolio without positions."""
    return Portfolio(
        **{
            "balance": Decimal(100),
            "equity": Decimal(100),
            "available": Decimal(100),
            "exposure": Decimal(0),
            "realized_pnl": Decimal(0),
            "unrealized_pnl": Decimal(0),
            "positions_count": 0,
            "currency": "USD",
            "platform": "paper",
            "mode": Mode.PAPER,
            **fields,
        }
    )


def position(id: str, **fields: Any) -> TradingPosition:
    """A long position in BTCUSD."""
    return TradingPosition(
        **{
            "id": id,
            "asset_pair": "BTCUSD",
            "side": Side.LONG,
            "size": Decimal("0.5"),
            "entry_price": Decimal(100),
            "current_price": Decimal(100),
            "unrealized_pnl": Decimal(0),
            "unrealized_pnl_pct": Decimal(0),
            "margin_used": Decimal(10),
            "opened_at": datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC),
            **fields,
        }
    )


def decision(id: str, **fields: Any) -> Decision:
    """A decision to buy BTCUSD that was not carried out."""
    return Decision(**{"id": id, "asset_pair": "BTCUSD", "action": Action.BUY, **fields})
