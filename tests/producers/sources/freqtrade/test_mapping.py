"""producers/sources/freqtrade/mapping.py: freqtrade's answers, in our words."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from producers.errors import InvalidPayload
from producers.events import Action, Mode, ProcessState, Severity, Side
from producers.sources.freqtrade.mapping import (
    Balance,
    Config,
    Profit,
    Trade,
    alert_of,
    decision_of,
    fill_of,
    is_position,
    portfolio_of,
    position_of,
    status_of,
)
from tests.producers.sources.freqtrade.bot import order, trade

PROFIT = Profit(Decimal("12.50"), 7, 4, 2, 1_700_000_000_000)
CONFIG = Config(dry_run=False, exchange="kraken", state="running")


def read(fields: dict[str, Any]) -> Trade:
    """A trade as it comes over the wire."""
    return msgspec.json.decode(msgspec.json.encode(fields), type=Trade)


def test_digits_are_kept() -> None:
    """An amount has the digits that were sent, and is never a float."""
    text = b'{"currencies": [{"currency": "USDT", "balance": 0.10000000000000000001,"free": 1e-8}],'
    balance = msgspec.json.decode(text + b'"total": 1234.50, "stake": "USDT"}', type=Balance)
    assert balance.currencies[0].balance == Decimal("0.10000000000000000001")
    portfolio = portfolio_of(balance, [], PROFIT, CONFIG)
    assert str(portfolio.equity) == "1234.50"
    assert portfolio.available == Decimal("0.00000001")


def test_the_portfolio() -> None:
    """Balance is the stake currency's own, and what is held counts by its price of now."""
    balance = msgspec.convert(
        {"currencies": [{"currency": "BTC", "balance": 1, "free": 1},
                        {"currency": "USDT", "balance": 900, "free": 850}],
         "total": 1000, "stake": "USDT"},
        Balance,
    )  # fmt: skip
    trades = [read(trade(1)), read(trade(2, amount=0.2, current_rate=50, profit_abs=-1))]
    portfolio = portfolio_of(balance, trades, PROFIT, CONFIG)
    amounts: Any = (portfolio.balance, portfolio.available, portfolio.equity)
    assert amounts == (900, 850, 1000)
    assert portfolio.exposure == Decimal("0.1") * Decimal("101.505") + 10
    assert portfolio.unrealized_pnl == Decimal("0.1005") - 1
    assert portfolio.realized_pnl == Decimal("12.50")
    assert (portfolio.positions_count, portfolio.currency) == (2, "USDT")
    assert (portfolio.platform, portfolio.mode) == ("kraken", Mode.LIVE)


def test_what_freqtrade_does_not_know() -> None:
    """A price that it could not get makes what depends on it unknown, not zero."""
    balance = Balance([], Decimal(1), "USDT")
    trades = [read(trade(1)), read(trade(2, current_rate=None, profit_abs=None, profit_pct=None))]
    portfolio = portfolio_of(balance, trades, PROFIT, CONFIG)
    assert (portfolio.exposure, portfolio.unrealized_pnl) == (None, None)
    assert portfolio.balance == portfolio.available == 0
    position = position_of(trades[1])
    assert (position.current_price, position.unrealized_pnl) == (None, None)


def test_dry_run_is_paper() -> None:
    """Paper or live is what the bot's configuration says."""
    config = Config(dry_run=True, exchange="kraken", state="running")
    assert portfolio_of(Balance([], Decimal(1), "USDT"), [], PROFIT, config).mode is Mode.PAPER


def test_a_position() -> None:
    """Opened when its entry was filled; a short one is one."""
    position = position_of(read(trade(7, is_short=True)))
    assert (position.id, position.asset_pair, position.side) == ("7", "BTC/USDT", Side.SHORT)
    assert (position.size, position.entry_price) == (Decimal("0.1"), Decimal("100.5"))
    assert position.unrealized_pnl_pct == 1
    assert position.margin_used == Decimal("10.05")
    assert position.opened_at == datetime(2023, 11, 14, 22, 13, 21, tzinfo=UTC)
    older = trade(7)
    del older["open_fill_timestamp"]
    assert is_position(read(older))
    assert position_of(read(older)).opened_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    "fields", [{"open_fill_timestamp": None}, {"amount": 0}, {"is_open": False}]
)
def test_what_holds_nothing(fields: dict[str, Any]) -> None:
    """An entry that nobody took yet, and a trade that is over, are no positions."""
    assert not is_position(read(trade(1, **fields)))


@pytest.mark.parametrize(
    ("is_short", "side", "action", "reason", "pnl"),
    [
        (False, "buy", Action.BUY, "breakout", None),
        (False, "sell", Action.SELL, "roi", Decimal("0.05")),
        (False, "stoploss", Action.SELL, "stoploss", Decimal("0.05")),
        (True, "sell", Action.SELL, "breakout", None),
        (True, "buy", Action.BUY, "roi", Decimal("-0.05")),
        (True, "stoploss", Action.BUY, "stoploss", Decimal("-0.05")),
    ],
)
def test_orders(
    is_short: bool, side: str, action: Action, reason: str, pnl: Decimal | None
) -> None:
    """Each is a decision with its reason, and a fill with what it brought before fees."""
    orders = [order("o1", side, safe_price=101.0, ft_order_tag="roi")]
    one = read(trade(1, is_short=is_short, orders=orders))
    decision = decision_of(one, one.orders[0])
    assert (decision.id, decision.action, decision.reasoning) == ("freqtrade-o1", action, reason)
    assert (decision.executed, decision.provider) == (True, "Awesome")
    fill = fill_of(one, one.orders[0])
    assert fill is not None
    assert (fill.action, fill.price, fill.size) == (action, Decimal(101), Decimal("0.1"))
    assert fill.realized_pnl == pnl
    assert (fill.position_id, fill.decision_id) == ("1", decision.id)


def test_what_an_exit_brought() -> None:
    """It is against what was paid until then; against the average of now a later entry changed
    it, and it was told again."""
    prices = [("buy", 1.0, 100), ("sell", 0.5, 110), ("buy", 0.5, 120), ("sell", 1.0, 121),
              ("buy", 1.0, 90)]  # fmt: skip
    orders = [
        order(f"o{i}", side, filled=filled, safe_price=price, order_filled_timestamp=1_000 + i)
        for i, (side, filled, price) in enumerate(prices)
    ]
    for known in (4, 5):
        one = read(trade(1, orders=orders[:known], open_rate=90 if known == 5 else 110))
        fills = [fill_of(one, each) for each in one.orders]
        assert [fill and fill.realized_pnl for fill in fills[:4]] == [
            None, Decimal(5), None, Decimal(11),
        ]  # fmt: skip


def test_an_order_that_nobody_took() -> None:
    """It is a decision that was not executed, and no fill; nor is one that is taken in part."""
    fields: dict[str, Any]
    for fields in (
        {"filled": 0.0, "order_filled_timestamp": None},
        {"filled": None, "is_open": True},
        {"filled": 0.05, "is_open": True},
    ):
        one = read(trade(1, orders=[order("o1", "buy", **fields)]))
        assert fill_of(one, one.orders[0]) is None
        assert decision_of(one, one.orders[0]).executed == bool(fields["filled"])


def test_what_can_not_be_an_order() -> None:
    """A side that there is not, and a time beyond all times, are refused."""
    one = read(trade(1, orders=[order("o1", "hold")]))
    with pytest.raises(InvalidPayload, match="ft_order_side"):
        decision_of(one, one.orders[0])
    with pytest.raises(InvalidPayload, match="timestamp"):
        position_of(read(trade(1, open_fill_timestamp=2**62)))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("running", ProcessState.RUNNING),
        ("paused", ProcessState.PAUSED),
        ("stopped", ProcessState.STOPPED),
        ("reload_config", ProcessState.STARTING),
        ("", ProcessState.FAILED),
    ],
)
def test_the_status(state: str, expected: ProcessState) -> None:
    """The process, how long it runs, and what it did."""
    now = datetime(2023, 11, 14, 22, 14, 20, tzinfo=UTC)
    status = status_of(PROFIT, Config(dry_run=True, exchange="x", state=state), now)
    assert (status.state, status.paused) == (expected, state == "paused")
    assert status.uptime_seconds == 60
    assert (status.totals.trades, status.totals.wins, status.totals.losses) == (7, 4, 2)
    unstarted = msgspec.structs.replace(PROFIT, bot_start_timestamp=None)
    assert status_of(unstarted, CONFIG, now).uptime_seconds == 0


@pytest.mark.parametrize(
    ("message", "severity", "detail"),
    [
        ({"type": "warning", "status": "low"}, Severity.WARNING, "low"),
        ({"type": "exception", "status": "oops"}, Severity.CRITICAL, "oops"),
        ({"type": "exception", "data": "oops"}, Severity.CRITICAL, "oops"),
        ({"type": "strategy_msg", "msg": "hello"}, Severity.INFO, "hello"),
        (
            {"type": "protection_trigger", "pair": "BTC/USDT", "reason": "Cooldown",
             "lock_end_time": "2025-01-01 00:00:00"},
            Severity.WARNING, "Cooldown, until 2025-01-01 00:00:00",
        ),
    ],
)  # fmt: skip
def test_alerts(message: dict[str, Any], severity: Severity, detail: str) -> None:
    """What a person should look at."""
    alert = alert_of(message)
    assert alert is not None
    assert (alert.severity, alert.detail) == (severity, detail)


def test_what_is_no_alert() -> None:
    """Orders, and whatever comes to be."""
    assert alert_of({"type": "entry"}) is None
    assert alert_of({"type": "something new"}) is None
    assert alert_of({}) is None
