"""What freqtrade answers, in the words of Tapecast. No I/O, and no clock.

Shapes have the fields that are read, as the API spells them, and ignore others. An amount is a
Decimal of the digits that were sent; freqtrade itself computes in floats. A value that it does not
know is null there, and None here.

- A trade of freqtrade's is a TradingPosition once its entry is filled.
- Each order is a Decision, with what freqtrade gives as its reason, and executed once some of it
  is filled; a filled one is a TradeExecuted besides.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final

import msgspec

from producers.errors import InvalidPayload
from producers.events import (
    Action,
    AgentStatus,
    Alert,
    Decision,
    Mode,
    OodaState,
    Portfolio,
    ProcessState,
    Severity,
    Side,
    Totals,
    TradeExecuted,
    TradingPosition,
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STATES: Final = {
    "running": ProcessState.RUNNING,
    "paused": ProcessState.PAUSED,
    "stopped": ProcessState.STOPPED,
    "reload_config": ProcessState.STARTING,
}
_PRICE_DIGITS: Final = Decimal("1e-12")
_ZERO: Final = Decimal(0)


class Currency(msgspec.Struct, frozen=True):
    currency: str
    balance: Decimal
    free: Decimal


class Balance(msgspec.Struct, frozen=True):
    """`/balance`; `total` is freqtrade's estimate of everything in the stake currency."""

    currencies: list[Currency]
    total: Decimal
    stake: str


class Order(msgspec.Struct, frozen=True):
    """`amount` and `safe_price` are what was asked for until it is filled, then what it was."""

    order_id: str
    ft_order_side: str
    amount: Decimal
    safe_price: Decimal
    filled: Decimal | None = None
    is_open: bool = False
    order_timestamp: int | None = None
    order_filled_timestamp: int | None = None
    ft_order_tag: str | None = None


class Trade(msgspec.Struct, frozen=True):
    """One trade of `/status`, `/trade/ID` or `/trades`."""

    trade_id: int
    pair: str
    is_open: bool
    amount: Decimal
    stake_amount: Decimal
    open_rate: Decimal
    open_timestamp: int
    open_fill_timestamp: int | msgspec.UnsetType | None = msgspec.UNSET
    is_short: bool = False
    strategy: str | None = None
    enter_tag: str | None = None
    exit_reason: str | None = None
    current_rate: Decimal | None = None
    profit_abs: Decimal | None = None
    profit_pct: Decimal | None = None
    orders: list[Order] = []


class Trades(msgspec.Struct, frozen=True):
    trades: list[Trade]
    total_trades: int


class Profit(msgspec.Struct, frozen=True):
    profit_closed_coin: Decimal
    trade_count: int
    winning_trades: int
    losing_trades: int
    bot_start_timestamp: int | None = None


class Config(msgspec.Struct, frozen=True):
    """`/show_config`."""

    dry_run: bool
    exchange: str
    state: str


def portfolio_of(
    balance: Balance, trades: Sequence[Trade], profit: Profit, config: Config
) -> Portfolio:
    """The account. `balance` is the stake currency's own, `equity` freqtrade's estimate of all."""
    own = next((each for each in balance.currencies if each.currency == balance.stake), None)
    held = [trade for trade in trades if is_position(trade)]
    return Portfolio(
        balance=own.balance if own else _ZERO,
        equity=balance.total,
        available=own.free if own else _ZERO,
        exposure=_sum(
            None if trade.current_rate is None else trade.amount * trade.current_rate
            for trade in held
        ),
        realized_pnl=profit.profit_closed_coin,
        unrealized_pnl=_sum(trade.profit_abs for trade in held),
        positions_count=len(held),
        currency=balance.stake,
        platform=config.exchange,
        mode=Mode.PAPER if config.dry_run else Mode.LIVE,
    )


def is_position(trade: Trade) -> bool:
    """Whether a trade holds something: its entry may be an order that nobody took yet."""
    return trade.is_open and trade.amount > 0 and trade.open_fill_timestamp is not None


def position_of(trade: Trade) -> TradingPosition:
    """A trade that is open."""
    filled = trade.open_fill_timestamp
    opened = trade.open_timestamp if isinstance(filled, msgspec.UnsetType | None) else filled
    return TradingPosition(
        id=str(trade.trade_id),
        asset_pair=trade.pair,
        side=Side.SHORT if trade.is_short else Side.LONG,
        size=trade.amount,
        entry_price=trade.open_rate,
        current_price=trade.current_rate,
        unrealized_pnl=trade.profit_abs,
        unrealized_pnl_pct=trade.profit_pct,
        margin_used=trade.stake_amount,
        opened_at=_time(opened),
    )


def decision_of(trade: Trade, order: Order) -> Decision:
    """What freqtrade decided when it placed an order."""
    is_entry = _is_entry(trade, order)
    reason = trade.enter_tag if is_entry else order.ft_order_tag or trade.exit_reason
    if order.ft_order_side == "stoploss":
        reason = "stoploss"
    return Decision(
        id=order_id(order),
        asset_pair=trade.pair,
        action=_action(trade, order),
        reasoning=reason,
        entry_price=order.safe_price,
        size=order.amount,
        executed=bool(order.filled),
        provider=trade.strategy,
        timestamp=None if order.order_timestamp is None else _time(order.order_timestamp),
        metadata={"trade_id": trade.trade_id, "is_entry": is_entry},
    )


def fill_of(trade: Trade, order: Order) -> TradeExecuted | None:
    """What an order bought or sold; None while it is open, or where nothing was."""
    if order.is_open or not order.filled or order.order_filled_timestamp is None:
        return None
    pnl = None
    if not _is_entry(trade, order):
        move = order.safe_price - _entry_price(trade, before=order.order_filled_timestamp)
        pnl = (-move if trade.is_short else move) * order.filled
    return TradeExecuted(
        id=order_id(order),
        decision_id=order_id(order),
        position_id=str(trade.trade_id),
        asset_pair=trade.pair,
        action=_action(trade, order),
        size=order.filled,
        price=order.safe_price,
        fee=None,
        realized_pnl=pnl,
        executed_at=_time(order.order_filled_timestamp),
    )


def order_id(order: Order) -> str:
    """What names an order, its decision and its fill."""
    return f"freqtrade-{order.order_id}"


def status_of(profit: Profit, config: Config, now: datetime) -> AgentStatus:
    """The bot. It has no OODA loop, so that is idle; `uptime_seconds` is since its start."""
    state = _STATES.get(config.state, ProcessState.FAILED)
    uptime = 0
    if profit.bot_start_timestamp:
        uptime = max(0, int((now - _time(profit.bot_start_timestamp)).total_seconds()))
    return AgentStatus(
        state=state,
        ooda_state=OodaState.IDLE,
        paused=state is ProcessState.PAUSED,
        uptime_seconds=uptime,
        totals=Totals(
            trades=profit.trade_count,
            wins=profit.winning_trades,
            losses=profit.losing_trades,
            realized_pnl=profit.profit_closed_coin,
        ),
    )


def alert_of(message: dict[str, Any]) -> Alert | None:
    """What a person should look at, of the messages that are that; None for any other."""
    match message:
        case {"type": "warning", "status": text}:
            return Alert(severity=Severity.WARNING, title="freqtrade warns", detail=str(text))
        case {"type": "exception", "status": text} | {"type": "exception", "data": text}:
            return Alert(severity=Severity.CRITICAL, title="freqtrade failed", detail=str(text))
        case {"type": "strategy_msg", "msg": text}:
            return Alert(severity=Severity.INFO, title="the strategy says", detail=str(text))
        case {"type": "protection_trigger" | "protection_trigger_global", "pair": pair}:
            why = f"{message.get('reason')}, until {message.get('lock_end_time')}"
            return Alert(severity=Severity.WARNING, title=f"{pair} is locked", detail=why)
    return None


def _entry_price(trade: Trade, *, before: int) -> Decimal:
    """The average price of what was held when an exit was filled.

    `open_rate` is that of now: where entries followed a partial exit, it is another.
    """
    size, price = _ZERO, trade.open_rate
    filled = [each for each in trade.orders if each.filled and each.order_filled_timestamp]
    for order in sorted(filled, key=lambda each: each.order_filled_timestamp or 0):
        amount, at = order.filled or _ZERO, order.order_filled_timestamp or 0
        if at > before:
            break
        if not _is_entry(trade, order):
            size = max(_ZERO, size - amount)
            continue
        if size:
            worth = size * price + amount * order.safe_price
            price = (worth / (size + amount)).quantize(_PRICE_DIGITS, ROUND_HALF_EVEN)
        else:
            price = order.safe_price
        size += amount
    return price


def _is_entry(trade: Trade, order: Order) -> bool:
    return order.ft_order_side == ("sell" if trade.is_short else "buy")


def _action(trade: Trade, order: Order) -> Action:
    match order.ft_order_side:
        case "buy":
            return Action.BUY
        case "sell":
            return Action.SELL
        case "stoploss":
            return Action.BUY if trade.is_short else Action.SELL
    raise InvalidPayload("ft_order_side", "buy, sell or stoploss", order.ft_order_side)


def _time(milliseconds: int) -> datetime:
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        raise InvalidPayload("timestamp", "milliseconds since the epoch", milliseconds) from None


def _sum(amounts: Any) -> Decimal | None:
    """The sum; None where one is not known."""
    total = _ZERO
    for amount in amounts:
        if amount is None:
            return None
        total += amount
    return total
