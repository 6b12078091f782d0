"""A margin account, booked exactly.

All amounts are Decimal, and every rule is one of multiplication and addition, so these hold to the
last digit at any moment, whatever the prices are:

    balance   = deposit + realized_pnl            (realised P&L is net of fees)
    equity    = balance + unrealized_pnl
    available = equity - the margin of all open positions
    exposure  = the sum of size x price of all open positions

A position's margin is a fixed share of its entry value. The one number that is rounded is
`unrealized_pnl_pct`, to two places.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_HALF_EVEN, ROUND_UP, Decimal
from typing import Final

import msgspec

from producers.errors import ProducerError
from producers.events import Action, Mode, Portfolio, Side, TradeExecuted, TradingPosition, known

PLATFORM: Final = "paper"
_FEE_UNIT: Final = Decimal("0.0001")
_PCT_UNIT: Final = Decimal("0.01")
_ZERO: Final = Decimal(0)


class OrderRejected(ProducerError):
    """An order the account can't carry: more margin than is available, more than is open."""


class OpenPosition(msgspec.Struct, frozen=True, kw_only=True):
    """What the account knows of a position; all else follows from a price."""

    id: str
    asset_pair: str
    side: Side
    size: Decimal
    entry_price: Decimal
    opened_at: datetime

    def pnl(self, price: Decimal, size: Decimal) -> Decimal:
        """What `size` of it would bring at `price`, before fees."""
        move = price - self.entry_price
        return (move if self.side is Side.LONG else -move) * size


class Account:
    """The books: orders in, fills out; `portfolio` and `positions` say where it stands."""

    def __init__(
        self,
        deposit: Decimal = Decimal(10_000),
        *,
        currency: str = "USD",
        margin_rate: Decimal = Decimal("0.2"),
        fee_rate: Decimal = Decimal("0.0004"),
    ) -> None:
        self.deposit = deposit
        self.realized_pnl = _ZERO
        self._currency = currency
        self._margin_rate = margin_rate
        self._fee_rate = fee_rate
        self._open: dict[str, OpenPosition] = {}

    @property
    def balance(self) -> Decimal:
        return self.deposit + self.realized_pnl

    def open_in(self, asset_pair: str) -> OpenPosition | None:
        """The oldest position that is open in an asset pair."""
        return next((each for each in self._open.values() if each.asset_pair == asset_pair), None)

    def open(
        self,
        *,
        trade_id: str,
        decision_id: str,
        asset_pair: str,
        side: Side,
        size: Decimal,
        prices: Mapping[str, Decimal],
        now: datetime,
    ) -> TradeExecuted:
        """Open a position, named like its trade, at the price of now.

        Raises OrderRejected where its margin and fee are more than is available.
        """
        price = prices[asset_pair]
        fee = self._fee(size * price)
        needed = self._margin_rate * size * price + fee
        available = known(self.portfolio(prices).available)
        if size <= 0 or needed > available:
            raise OrderRejected(f"{size} {asset_pair} needs {needed}, available {available}")
        self._open[trade_id] = OpenPosition(
            id=trade_id,
            asset_pair=asset_pair,
            side=side,
            size=size,
            entry_price=price,
            opened_at=now,
        )
        self.realized_pnl -= fee
        return TradeExecuted(
            id=trade_id,
            decision_id=decision_id,
            position_id=trade_id,
            asset_pair=asset_pair,
            action=Action.BUY if side is Side.LONG else Action.SELL,
            size=size,
            price=price,
            fee=fee,
            realized_pnl=_ZERO,
            executed_at=now,
        )

    def close(
        self,
        position_id: str,
        *,
        trade_id: str,
        decision_id: str,
        prices: Mapping[str, Decimal],
        now: datetime,
        size: Decimal | None = None,
    ) -> TradeExecuted:
        """Close a position, or `size` of it, at the price of now.

        Raises OrderRejected where less is open.
        """
        position = self._open.get(position_id)
        if position is None:
            raise OrderRejected(f"{position_id} is not open")
        size = position.size if size is None else size
        if not 0 < size <= position.size:
            raise OrderRejected(f"{position_id}: expected up to {position.size}, got {size}")
        price = prices[position.asset_pair]
        fee = self._fee(size * price)
        pnl = position.pnl(price, size)
        if size == position.size:
            del self._open[position_id]
        else:
            rest = msgspec.structs.replace(position, size=position.size - size)
            self._open[position_id] = rest
        self.realized_pnl += pnl - fee
        return TradeExecuted(
            id=trade_id,
            decision_id=decision_id,
            position_id=position_id,
            asset_pair=position.asset_pair,
            action=Action.SELL if position.side is Side.LONG else Action.BUY,
            size=size,
            price=price,
            fee=fee,
            realized_pnl=pnl,
            executed_at=now,
        )

    def positions(self, prices: Mapping[str, Decimal]) -> tuple[TradingPosition, ...]:
        """All open positions at these prices, the oldest first."""
        return tuple(self._marked(each, prices[each.asset_pair]) for each in self._open.values())

    def portfolio(self, prices: Mapping[str, Decimal]) -> Portfolio:
        """The account as a whole at these prices."""
        positions = self.positions(prices)
        unrealized = sum((known(each.unrealized_pnl) for each in positions), _ZERO)
        margin = sum((known(each.margin_used) for each in positions), _ZERO)
        equity = self.balance + unrealized
        return Portfolio(
            balance=self.balance,
            equity=equity,
            available=equity - margin,
            exposure=sum((each.size * known(each.current_price) for each in positions), _ZERO),
            realized_pnl=self.realized_pnl,
            unrealized_pnl=unrealized,
            positions_count=len(positions),
            currency=self._currency,
            platform=PLATFORM,
            mode=Mode.PAPER,
        )

    def _marked(self, position: OpenPosition, price: Decimal) -> TradingPosition:
        pnl = position.pnl(price, position.size)
        entry_value = position.size * position.entry_price
        return TradingPosition(
            id=position.id,
            asset_pair=position.asset_pair,
            side=position.side,
            size=position.size,
            entry_price=position.entry_price,
            current_price=price,
            unrealized_pnl=pnl,
            unrealized_pnl_pct=(100 * pnl / entry_value).quantize(_PCT_UNIT, ROUND_HALF_EVEN),
            margin_used=self._margin_rate * entry_value,
            opened_at=position.opened_at,
        )

    def _fee(self, value: Decimal) -> Decimal:
        # Booked as it was rounded, so that rounding never shows up as a difference.
        return (self._fee_rate * value).quantize(_FEE_UNIT, ROUND_UP)
