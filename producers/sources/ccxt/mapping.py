"""ccxt's unified structures, in the words of Tapecast. No I/O, and nothing of ccxt itself.

Amounts come as strings, since the exchange is asked for those (`number = str`), and are read as
Decimal. What an exchange does not say is None there and here; what would be wrong without it is a
SourceError.

- A portfolio is what an account has in one currency. Positions that are settled in another are
  rows, and count there alone.
- `total` of a balance has the unrealized P&L in it at some exchanges, and not at others; ccxt hands
  on what each has. `Total` says which, and so what is equity and what balance.
- A spot account has no positions: what it holds counts in equity and exposure, at the last price.
- ccxt's `timestamp` of a position is of its opening at some exchanges and of its last change at
  others, so `opened_at` is None.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any, Final, TypeAlias

from producers.errors import InvalidPayload, SourceError
from producers.events import Action, Mode, Order, Portfolio, Side, TradeExecuted, TradingPosition

Structure: TypeAlias = Mapping[str, Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PCT_UNIT: Final = Decimal("0.01")
_PRICE_DIGITS: Final = Decimal("1e-12")
_ZERO: Final = Decimal(0)
_ACTIONS: Final = {"buy": Action.BUY, "sell": Action.SELL}
_SIDES: Final = {"long": Side.LONG, "short": Side.SHORT}


class Total(enum.StrEnum):
    """What a derivatives account's `total` is."""

    EQUITY = "equity"
    """With unrealized P&L."""
    BALANCE = "balance"
    """Without."""


KNOWN_TOTALS: Final[Mapping[str, Total]] = {
    "binance": Total.EQUITY,
    "binancecoinm": Total.EQUITY,
    "binanceusdm": Total.EQUITY,
    "bitget": Total.EQUITY,
    "bybit": Total.BALANCE,
    "deribit": Total.EQUITY,
    "krakenfutures": Total.BALANCE,
    "kucoinfutures": Total.EQUITY,
    "okx": Total.EQUITY,
}
"""As ccxt 4.5 reads the exchanges' answers. For others, somebody has to compare and say."""


class UnknownMarket(SourceError):
    """A market that the exchange did not have when its markets were read."""


def amount(value: Any, where: str) -> Decimal | None:
    """An amount, None where there is none; SourceError for what is no number."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        raise SourceError(f"{where}: expected a number, got {value!r}")
    try:
        # Of a float, its shortest spelling: some exchanges' messages come so.
        number = Decimal(repr(value) if isinstance(value, float) else value)
    except (InvalidOperation, TypeError, ValueError):
        raise SourceError(f"{where}: expected a number, got {value!r:.40}") from None
    if not number.is_finite():
        raise SourceError(f"{where}: expected a finite number, got {value!r:.40}")
    return number


def derivatives_portfolio(
    balance: Structure,
    positions: Sequence[Structure],
    markets: Mapping[str, Structure],
    *,
    currency: str,
    total_is: Total,
    platform: str,
    mode: Mode,
) -> Portfolio:
    """A margin account in its settlement currency."""
    total, free = _own(balance, currency)
    held = [(each, market_of(each, markets)) for each in positions if is_open(each)]
    ours = [(each, market) for each, market in held if market.get("settle") == currency]
    unrealized = _sum(_pnl(each, market) for each, market in ours)
    if unrealized is None:
        raise SourceError(f"{platform} does not say the unrealized P&L of all positions")
    balance_is = total - unrealized if total_is is Total.EQUITY else total
    return Portfolio(
        balance=balance_is,
        equity=balance_is + unrealized,
        available=free,
        exposure=_sum(_value(each, market) for each, market in ours),
        realized_pnl=None,
        unrealized_pnl=unrealized,
        positions_count=len(ours),
        currency=currency,
        platform=platform,
        mode=mode,
    )


def spot_portfolio(
    balance: Structure,
    prices: Mapping[str, Decimal],
    *,
    currency: str,
    platform: str,
    mode: Mode,
) -> Portfolio:
    """A spot account: `balance` is cash, what else it holds counts at these prices, by coin."""
    if owed := _amounts(balance, "debt"):
        # At some exchanges the totals are with what is owed, at others without.
        coins = ", ".join(sorted(owed))
        raise SourceError(f"{platform} names debts ({coins}), so its totals are not known")
    held = holdings(balance, currency)
    # Who has coins alone has no cash, which some exchanges leave out then.
    is_left_out = bool(held) and currency not in balance
    total, free = (_ZERO, _ZERO) if is_left_out else _own(balance, currency)
    value = sum((held[coin] * prices[coin] for coin in held.keys() & prices.keys()), _ZERO)
    return Portfolio(
        balance=total,
        equity=total + value,
        available=free,
        exposure=value,
        realized_pnl=None,
        unrealized_pnl=None,
        positions_count=0,
        currency=currency,
        platform=platform,
        mode=mode,
    )


def holdings(balance: Structure, currency: str) -> dict[str, Decimal]:
    """What an account holds besides its currency, by coin."""
    totals = _amounts(balance, "total")
    return {coin: held for coin, held in totals.items() if coin != currency}


def market_of(structure: Structure, markets: Mapping[str, Structure]) -> Structure:
    """The market of a position, an order or a fill; UnknownMarket where there is no such."""
    symbol = structure.get("symbol")
    market = markets.get(symbol) if isinstance(symbol, str) else None
    if market is None:
        raise UnknownMarket(f"expected a market of the exchange, got {symbol!r:.40}")
    return market


def is_open(position: Structure) -> bool:
    """Whether there is anything in it: some exchanges list all that there may be."""
    return bool(amount(position.get("contracts"), "contracts"))


def position_of(position: Structure, market: Structure) -> TradingPosition:
    """One open position."""
    symbol = _text(position, "symbol", "a position")
    side = position.get("side")
    if side not in _SIDES:
        raise SourceError(f"{symbol}: expected a position's side, got {side!r:.40}")
    entry = amount(position.get("entryPrice"), f"{symbol}: entryPrice")
    if entry is None:
        raise SourceError(f"{symbol}: expected a position's entry price, got none")
    size = _base_size(position, market, entry)
    pnl = _pnl(position, market)
    pct = None
    if pnl is not None and (cost := _cost(position, market, entry)):
        pct = (100 * pnl / cost).quantize(_PCT_UNIT, ROUND_HALF_EVEN)
    return TradingPosition(
        id=str(position.get("id") or f"{symbol}:{side}"),
        asset_pair=symbol,
        side=_SIDES[side],
        size=size,
        entry_price=entry,
        current_price=amount(position.get("markPrice"), f"{symbol}: markPrice"),
        unrealized_pnl=pnl,
        unrealized_pnl_pct=pct,
        margin_used=amount(position.get("initialMargin"), f"{symbol}: initialMargin"),
        opened_at=None,
    )


def order_of(order: Structure, market: Structure) -> Order:
    """One order. Its sizes are in the base asset, as a position's is."""
    id = _text(order, "id", "an order")
    said = order.get("status")
    price = amount(order.get("price"), f"order {id}: price") or None
    average = amount(order.get("average"), f"order {id}: average") or price
    size = amount(order.get("amount"), f"order {id}: amount")
    filled = amount(order.get("filled"), f"order {id}: filled")
    return Order(
        id=id,
        asset_pair=_text(order, "symbol", "an order"),
        action=_action(order, f"order {id}"),
        order_type=order.get("type") or None,
        size=_in_base(size, order, market, price or average),
        filled=_in_base(filled, order, market, average),
        price=price,
        status=str(said).lower() if said else "open",
        placed_at=_time(order.get("timestamp")),
    )


def fill_of(trade: Structure, market: Structure) -> TradeExecuted:
    """One trade of one's own. Its size is in the base asset, as a position's is."""
    symbol = _text(trade, "symbol", "a fill")
    price = amount(trade.get("price"), f"{symbol}: price of a fill")
    size = _in_base(
        amount(trade.get("amount"), f"{symbol}: amount of a fill"), trade, market, price
    )
    when = _time(trade.get("timestamp"))
    if price is None or size is None or when is None:
        raise SourceError(f"{symbol}: expected a fill's price, amount and time, got {trade!r:.80}")
    fee = trade.get("fee") or {}
    quoted = {market.get("quote"), market.get("settle")} - {None}
    return TradeExecuted(
        id=fill_id(trade),
        decision_id=None,
        position_id=None,
        asset_pair=symbol,
        action=_action(trade, f"a fill in {symbol}"),
        size=size,
        price=price,
        fee=amount(fee.get("cost"), f"{symbol}: fee") if fee.get("currency") in quoted else None,
        realized_pnl=None,
        executed_at=when,
    )


def fill_id(trade: Structure) -> str:
    """What names a fill, at exchanges too that give it no id."""
    made_up = f"{trade.get('order')}-{trade.get('timestamp')}-{trade.get('amount')}"
    return str(trade.get("id") or made_up)


def _amounts(balance: Structure, what: str) -> dict[str, Decimal]:
    """What a balance has under a name, by coin; zeros left out."""
    given = balance.get(what)
    found = {
        coin: amount(value, f"the {what} of {coin}")
        for coin, value in (given.items() if isinstance(given, Mapping) else ())
    }
    return {coin: value for coin, value in found.items() if value}


def _own(balance: Structure, currency: str) -> tuple[Decimal, Decimal | None]:
    own = balance.get(currency)
    own = own if isinstance(own, Mapping) else {}
    total = amount(own.get("total"), f"the total of {currency}")
    if total is None:
        raise SourceError(f"the balance has no {currency}: is that the account's currency?")
    return total, amount(own.get("free"), f"free {currency}")


def _contracts(position: Structure, market: Structure) -> Decimal:
    """How many units of the contract's own: of the base asset, or of an inverse one's currency."""
    count = amount(position.get("contracts"), "contracts") or _ZERO
    size = amount(position.get("contractSize") or market.get("contractSize"), "contractSize")
    return abs(count) * (Decimal(1) if size is None else size)


def _in_base(
    count: Decimal | None, structure: Structure, market: Structure, price: Decimal | None
) -> Decimal | None:
    """The amount of an order or fill, in the base asset; None where that needs a price."""
    if not market.get("contract") or not count:
        return count
    if market.get("inverse") and not price:
        return None
    return _base_size({**structure, "contracts": count}, market, price or _ZERO)


def _base_size(position: Structure, market: Structure, price: Decimal) -> Decimal:
    units = _contracts(position, market)
    if not market.get("inverse"):
        return units
    return (units / price).quantize(_PRICE_DIGITS, ROUND_HALF_EVEN) if price else units


def _value(position: Structure, market: Structure) -> Decimal | None:
    """What it is worth now, in its settlement currency."""
    mark = amount(position.get("markPrice"), "markPrice")
    return None if not mark else _cost(position, market, mark)


def _cost(position: Structure, market: Structure, price: Decimal) -> Decimal:
    """What it is worth at a price, in its settlement currency."""
    if market.get("inverse"):
        return _base_size(position, market, price)
    return _contracts(position, market) * price


def _pnl(position: Structure, market: Structure) -> Decimal | None:
    said = amount(position.get("unrealizedPnl"), "unrealizedPnl")
    if said is not None:
        return said
    # Some exchanges leave it out, and ccxt leaves out a zero of others.
    entry = amount(position.get("entryPrice"), "entryPrice")
    mark = amount(position.get("markPrice"), "markPrice")
    if not entry or not mark:
        return None
    gain = _cost(position, market, mark) - _cost(position, market, entry)
    # What is counted in another currency is worth less of its own as the price rises.
    gains = (position.get("side") == "long") is not bool(market.get("inverse"))
    return gain if gains else -gain


def _text(structure: Structure, field: str, what: str) -> str:
    value = structure.get(field)
    if not isinstance(value, str) or not value:
        raise SourceError(f"expected {what} with {field}, got {value!r:.40}")
    return value


def _action(structure: Structure, what: str) -> Action:
    side = structure.get("side")
    if side not in _ACTIONS:
        raise SourceError(f"{what}: expected buy or sell, got {side!r:.40}")
    return _ACTIONS[side]


def _time(milliseconds: Any) -> datetime | None:
    if milliseconds is None:
        return None
    try:
        return _EPOCH + timedelta(milliseconds=int(milliseconds))
    except (OverflowError, TypeError, ValueError):
        got = repr(milliseconds)
        raise InvalidPayload("timestamp", "milliseconds since the epoch", got) from None


def _sum(amounts: Any) -> Decimal | None:
    """The sum; None where one is not known."""
    total = _ZERO
    for each in amounts:
        if each is None:
            return None
        total += each
    return total
