"""producers/sources/ccxt/mapping.py: ccxt's structures, in our words."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from producers.errors import InvalidPayload, SourceError
from producers.events import Action, Mode, Side
from producers.sources.ccxt.mapping import (
    Total,
    amount,
    derivatives_portfolio,
    fill_id,
    fill_of,
    holdings,
    is_open,
    market_of,
    order_of,
    position_of,
    spot_portfolio,
)

LINEAR = {"symbol": "BTC/USDT:USDT", "settle": "USDT", "quote": "USDT", "contract": True,
          "contractSize": "0.01", "inverse": False}  # fmt: skip
INVERSE = {"symbol": "BTC/USD:BTC", "settle": "BTC", "quote": "USD", "contract": True,
           "contractSize": "100", "inverse": True}  # fmt: skip
SPOT = {"symbol": "BTC/USDT", "quote": "USDT", "contract": False}
MARKETS: dict[str, Any] = {str(each["symbol"]): each for each in (LINEAR, INVERSE, SPOT)}
BALANCE = {"USDT": {"total": "1000.10", "free": "900.05"}, "total": {"USDT": "1000.10"}}


def position(**fields: Any) -> dict[str, Any]:
    """50 contracts of 0.01, long."""
    return {
        "symbol": "BTC/USDT:USDT", "id": None, "side": "long", "contracts": "50",
        "contractSize": "0.01", "entryPrice": "100.00", "markPrice": "101.00",
        "unrealizedPnl": "0.50", "initialMargin": "5.00", **fields,
    }  # fmt: skip


def portfolio(*positions: dict[str, Any], **options: Any) -> Any:
    given = {"currency": "USDT", "total_is": Total.BALANCE, "platform": "x", "mode": Mode.LIVE}
    balance = options.pop("balance", BALANCE)
    return derivatives_portfolio(balance, positions, MARKETS, **{**given, **options})


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1.10", "1.10"), (7, "7"), (0.1, "0.1"), (1e-07, "1E-7"), ("", "None"), (None, "None")],
)
def test_amounts(value: Any, expected: str) -> None:
    """Digits stay as they were; a float has the fewest that mean it."""
    assert str(amount(value, "x")) == expected


@pytest.mark.parametrize("value", ["much", True, [], "NaN", float("inf")])
def test_what_is_no_amount(value: Any) -> None:
    """It is a failure, not a zero."""
    with pytest.raises(SourceError, match="x: expected a"):
        amount(value, "x")


def test_a_total_without_unrealized_pnl() -> None:
    """Then it is the balance, and equity is more."""
    found = portfolio(position())
    assert (found.balance, found.equity) == (Decimal("1000.10"), Decimal("1000.60"))
    assert (found.available, found.exposure) == (Decimal("900.05"), Decimal("50.50"))
    assert (found.unrealized_pnl, found.realized_pnl) == (Decimal("0.50"), None)
    assert (found.positions_count, found.mode, found.platform) == (1, Mode.LIVE, "x")


def test_a_total_with_unrealized_pnl() -> None:
    """Then it is the equity, and the balance is less."""
    found = portfolio(position(), total_is=Total.EQUITY)
    assert (found.balance, found.equity) == (Decimal("999.60"), Decimal("1000.10"))


def test_positions_that_are_settled_in_another_currency() -> None:
    """They count in their own portfolio alone."""
    other = position(symbol="BTC/USD:BTC", contractSize="100", unrealizedPnl="0.001")
    found = portfolio(position(), other)
    assert (found.positions_count, found.unrealized_pnl) == (1, Decimal("0.50"))
    balance = {"BTC": {"total": "2", "free": "1"}}
    found = portfolio(position(), other, currency="BTC", balance=balance)
    assert (found.positions_count, found.equity) == (1, Decimal("2.001"))
    # 50 contracts of 100 USD at 101.
    assert found.exposure == Decimal("49.504950495050")


def test_a_pnl_that_is_left_out() -> None:
    """It follows from the prices, of either side and kind; where they are missing too, nothing is
    published."""
    for side, sign in (("long", 1), ("short", -1)):
        found = portfolio(position(side=side, unrealizedPnl=None))
        assert found.unrealized_pnl == sign * Decimal("0.50")
        row = position_of(
            position(symbol="BTC/USD:BTC", side=side, contractSize="100", unrealizedPnl=None),
            INVERSE,
        )
        assert row.unrealized_pnl == sign * (Decimal(50) - Decimal("49.504950495050"))
    with pytest.raises(SourceError, match="does not say the unrealized P&L"):
        portfolio(position(unrealizedPnl=None, markPrice=None))


def test_a_price_that_is_left_out() -> None:
    """Exposure is not known then, and all else is."""
    found = portfolio(position(markPrice=None))
    assert (found.exposure, found.equity) == (None, Decimal("1000.60"))


@pytest.mark.parametrize(
    "balance", [{}, {"USDT": {}}, {"USDT": None}, {"USDC": {"total": "1"}}, {"USDT": {"total": ""}}]
)
def test_a_balance_without_the_currency(balance: dict[str, Any]) -> None:
    """An account without money is not what that means: an answer may be cut short."""
    with pytest.raises(SourceError, match="the balance has no USDT"):
        portfolio(balance=balance)


def test_a_position() -> None:
    """Its size is in the base asset, its P&L in per cent of what it cost."""
    row = position_of(position(), LINEAR)
    assert (row.id, row.asset_pair) == ("BTC/USDT:USDT:long", "BTC/USDT:USDT")
    assert (row.side, row.size) == (Side.LONG, Decimal("0.50"))
    assert (row.entry_price, row.current_price) == (Decimal("100.00"), Decimal("101.00"))
    assert (row.unrealized_pnl_pct, row.margin_used) == (Decimal("1.00"), Decimal("5.00"))
    assert row.opened_at is None
    named = position_of(position(id="p-7", side="short", contracts="-50"), LINEAR)
    assert (named.id, named.side, named.size) == ("p-7", Side.SHORT, Decimal("0.50"))


def test_an_inverse_position() -> None:
    """Contracts of 100 USD are so much of the base asset as that bought."""
    row = position_of(position(symbol="BTC/USD:BTC", contractSize=None, entryPrice="80"), INVERSE)
    assert row.size == Decimal("62.5")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"side": None}, "a position's side"),
        ({"entryPrice": None}, "entry price"),
        ({"symbol": None}, "a position with symbol"),
        ({"entryPrice": "x"}, "expected a number"),
    ],
)
def test_what_is_no_position(fields: dict[str, Any], why: str) -> None:
    """What makes a position is not made up."""
    with pytest.raises(SourceError, match=why):
        position_of(position(**fields), LINEAR)


def test_what_may_be_open() -> None:
    """Some exchanges list positions that hold nothing."""
    assert is_open(position())
    for contracts in ("0", "0.0", None, ""):
        assert not is_open(position(contracts=contracts))


def test_a_market_that_the_exchange_does_not_have() -> None:
    """Its positions can't be counted, so nothing is."""
    assert market_of(position(), MARKETS) is LINEAR
    for symbol in ("X/Y", None, 5):
        with pytest.raises(SourceError, match="expected a market"):
            market_of({"symbol": symbol}, MARKETS)


def test_a_spot_account() -> None:
    """Cash is the balance, and coins count at their prices; those without one don't."""
    balance = {**BALANCE, "total": {"USDT": "1000.10", "BTC": "0.5", "DUST": "3", "OLD": "0"}}
    assert holdings(balance, "USDT") == {"BTC": Decimal("0.5"), "DUST": Decimal(3)}
    prices = {"BTC": Decimal("100.50")}
    found = spot_portfolio(balance, prices, currency="USDT", platform="x", mode=Mode.PAPER)
    assert (found.balance, found.equity) == (Decimal("1000.10"), Decimal("1050.35"))
    assert (found.exposure, found.unrealized_pnl) == (Decimal("50.25"), None)
    assert holdings({"USDT": {}}, "USDT") == {}


def test_a_spot_account_with_debts() -> None:
    """Some exchanges' totals are with them, others' are not: nothing is said, and too much was."""
    options: dict[str, Any] = {"currency": "USDT", "platform": "x", "mode": Mode.LIVE}
    assert spot_portfolio({**BALANCE, "debt": {"BTC": "0.0"}}, {}, **options).equity
    with pytest.raises(SourceError, match=r"x names debts \(BTC\)"):
        spot_portfolio({**BALANCE, "debt": {"BTC": "0.5", "USDT": None}}, {}, **options)


def test_a_spot_account_of_coins_alone() -> None:
    """Cash that the exchange leaves out is none; that it left out everything is a failure."""
    options: dict[str, Any] = {"currency": "USDT", "platform": "x", "mode": Mode.LIVE}
    prices = {"BTC": Decimal(100)}
    found = spot_portfolio({"total": {"BTC": "0.5"}}, prices, **options)
    assert (found.balance, found.available, found.equity) == (Decimal(0), Decimal(0), Decimal(50))
    wrong: list[dict[str, Any]] = [{}, {"total": {}}, {"total": {"BTC": "0.5"}, "USDT": {}}]
    for balance in wrong:
        with pytest.raises(SourceError, match="the balance has no USDT"):
            spot_portfolio(balance, prices, **options)


def test_an_order() -> None:
    """As it stands; a market order has no price."""
    order = {"id": "o1", "symbol": "BTC/USDT", "side": "sell", "type": "limit", "amount": "0.10",
             "filled": "0.05", "price": "99.50", "status": "open",
             "timestamp": 1_700_000_000_000}  # fmt: skip
    found = order_of(order, SPOT)
    assert (found.id, found.action, found.status) == ("o1", Action.SELL, "open")
    assert (found.size, found.filled, found.price) == (
        Decimal("0.10"), Decimal("0.05"), Decimal("99.50"),
    )  # fmt: skip
    assert found.placed_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    nothing = dict.fromkeys(("status", "timestamp", "filled"))
    market = order_of({**order, **nothing, "price": "0"}, SPOT)
    assert (market.price, market.status, market.placed_at) == (None, "open", None)
    with pytest.raises(SourceError, match="expected buy or sell"):
        order_of({**order, "side": None}, SPOT)
    with pytest.raises(SourceError, match="an order with id"):
        order_of({**order, "id": None}, SPOT)
    with pytest.raises(InvalidPayload, match="milliseconds"):
        order_of({**order, "timestamp": "yesterday"}, SPOT)


def test_an_order_of_contracts() -> None:
    """Its sizes are in the base asset, as those of its fills; where that needs a price that nobody
    knows yet, there is none. They were contracts."""
    order = {"id": "o1", "symbol": "BTC/USDT:USDT", "side": "buy", "amount": "50", "filled": "20",
             "price": "100", "status": "open"}  # fmt: skip
    found = order_of(order, LINEAR)
    assert (found.size, found.filled) == (Decimal("0.50"), Decimal("0.20"))
    # 50 and 20 contracts of 100 dollars, these at 125.
    inverse = order_of({**order, "average": "125"}, INVERSE)
    assert (inverse.size, inverse.filled) == (Decimal(50), Decimal(16))
    market = order_of({**order, "price": None, "filled": "0"}, INVERSE)
    assert (market.size, market.filled) == (None, Decimal(0))


FILL = {"id": "x1", "order": "o1", "symbol": "BTC/USDT:USDT", "side": "buy", "price": "100.10",
        "amount": "50", "timestamp": 1_700_000_000_000,
        "fee": {"cost": "0.0275", "currency": "USDT"}}  # fmt: skip


def test_a_fill() -> None:
    """Contracts become the base asset; a fee in another currency is no fee of this one."""
    found = fill_of(FILL, LINEAR)
    assert (found.id, found.action, found.size) == ("x1", Action.BUY, Decimal("0.50"))
    assert (found.price, found.fee) == (Decimal("100.10"), Decimal("0.0275"))
    assert (found.realized_pnl, found.decision_id, found.position_id) == (None, None, None)
    assert fill_of({**FILL, "fee": {"cost": "1", "currency": "BNB"}}, LINEAR).fee is None
    assert fill_of({**FILL, "fee": None}, LINEAR).fee is None
    assert fill_of({**FILL, "symbol": "BTC/USDT", "amount": "0.5"}, SPOT).size == Decimal("0.5")
    assert fill_id({**FILL, "id": None}) == "o1-1700000000000-50"


@pytest.mark.parametrize("field", ["price", "amount", "timestamp"])
def test_what_is_no_fill(field: str) -> None:
    """What makes a fill is not made up."""
    with pytest.raises(SourceError, match="expected a fill's price, amount and time"):
        fill_of({**FILL, field: None}, LINEAR)
