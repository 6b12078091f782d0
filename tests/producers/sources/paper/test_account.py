"""producers/sources/paper/account.py: books that add up to the last digit."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from producers.events import Action, Side, TradeExecuted, known
from producers.sources.paper.account import Account, OrderRejected

NOW = datetime(2025, 1, 1, tzinfo=UTC)
PAIRS = ("BTCUSD", "ETHUSD")


def opened(account: Account, side: Side, size: str, price: str, id: str = "t1") -> TradeExecuted:
    return account.open(
        trade_id=id,
        decision_id="d",
        asset_pair="BTCUSD",
        side=side,
        size=Decimal(size),
        prices={"BTCUSD": Decimal(price)},
        now=NOW,
    )


def closed(
    account: Account, price: str, size: str | None = None, position_id: str = "t1"
) -> TradeExecuted:
    return account.close(
        position_id,
        trade_id="t2",
        decision_id="d",
        prices={"BTCUSD": Decimal(price)},
        now=NOW,
        size=None if size is None else Decimal(size),
    )


def test_a_long_position() -> None:
    """Bought at 100 and sold at 110, two of them bring 20, less the fees."""
    account = Account()
    bought = opened(account, Side.LONG, "2", "100")
    assert (bought.action, bought.fee) == (Action.BUY, Decimal("0.0800"))
    (position,) = account.positions({"BTCUSD": Decimal(105)})
    assert position.unrealized_pnl == 10
    assert position.unrealized_pnl_pct == 5
    assert position.margin_used == 40
    sold = closed(account, "110")
    assert (sold.action, sold.position_id) == (Action.SELL, "t1")
    assert sold.realized_pnl == 20
    assert account.realized_pnl == 20 - known(bought.fee) - known(sold.fee)


def test_a_short_position() -> None:
    """Sold at 100 and bought back at 110, two of them cost 20."""
    account = Account()
    assert opened(account, Side.SHORT, "2", "100").action is Action.SELL
    bought = closed(account, "110")
    assert bought.action is Action.BUY
    assert bought.realized_pnl == -20


def test_a_part() -> None:
    """Closing a part leaves the rest at its entry price."""
    account = Account()
    opened(account, Side.LONG, "2", "100")
    assert closed(account, "110", "0.5").realized_pnl == 5
    (rest,) = account.positions({"BTCUSD": Decimal(110)})
    assert rest.size == Decimal("1.5")
    assert rest.unrealized_pnl == 15
    assert rest.margin_used == 30


@pytest.mark.parametrize("size", ["0", "-1", "501"])
def test_too_much_margin(size: str) -> None:
    """An order for nothing, or for more than the account carries, changes nothing."""
    account = Account(Decimal(10_000))
    with pytest.raises(OrderRejected, match="available 10000"):
        opened(account, Side.LONG, size, "100")
    assert account.balance == 10_000
    assert account.open_in("BTCUSD") is None


def test_closing_too_much() -> None:
    """What is not open can't be closed."""
    account = Account()
    opened(account, Side.LONG, "1", "100")
    with pytest.raises(OrderRejected, match="expected up to 1, got 2"):
        closed(account, "100", "2")
    with pytest.raises(OrderRejected, match="no-such is not open"):
        closed(account, "100", position_id="no-such")


PRICES = st.integers(1, 10**7).map(lambda ticks: ticks * Decimal("0.01"))
SIZES = st.integers(1, 5_000).map(lambda lots: lots * Decimal("0.001"))


class Books(RuleBasedStateMachine):
    """Any orders at any prices, against sums of exact fractions over all fills."""

    open_ids = Bundle("open_ids")

    @initialize(prices=st.tuples(PRICES, PRICES))
    def start(self, prices: tuple[Decimal, Decimal]) -> None:
        self.account = Account(Decimal(10_000))
        self.prices = dict(zip(PAIRS, prices, strict=True))
        self.fills: list[TradeExecuted] = []
        self.count = 0

    @rule(pair=st.sampled_from(PAIRS), price=PRICES)
    def move(self, pair: str, price: Decimal) -> None:
        self.prices[pair] = price

    @rule(
        target=open_ids,
        pair=st.sampled_from(PAIRS),
        side=st.sampled_from(Side),
        size=SIZES,
    )
    def open(self, pair: str, side: Side, size: Decimal) -> object:
        self.count += 1
        try:
            fill = self.account.open(
                trade_id=f"t{self.count}",
                decision_id="d",
                asset_pair=pair,
                side=side,
                size=size,
                prices=self.prices,
                now=NOW,
            )
        except OrderRejected:
            return multiple()
        self.fills.append(fill)
        return fill.id

    @rule(position_id=consumes(open_ids))
    def close(self, position_id: str) -> None:
        self.count += 1
        self.fills.append(
            self.account.close(
                position_id,
                trade_id=f"t{self.count}",
                decision_id="d",
                prices=self.prices,
                now=NOW,
            )
        )

    @invariant()
    def adds_up(self) -> None:
        portfolio = self.account.portfolio(self.prices)
        positions = self.account.positions(self.prices)
        exactly = Fraction

        cash = exactly(0)
        held: dict[str, Fraction] = dict.fromkeys(PAIRS, exactly(0))
        for fill in self.fills:
            sign = 1 if fill.action is Action.BUY else -1
            held[fill.asset_pair] += sign * exactly(fill.size)
            cash -= sign * exactly(fill.size) * exactly(fill.price) + exactly(known(fill.fee))
        worth = sum((held[pair] * exactly(self.prices[pair]) for pair in PAIRS), exactly(0))
        # All money that came and went, and what is held at the prices of now.
        assert exactly(portfolio.equity) == 10_000 + cash + worth
        assert portfolio.balance == 10_000 + known(portfolio.realized_pnl)
        assert portfolio.equity == portfolio.balance + known(portfolio.unrealized_pnl)
        assert portfolio.unrealized_pnl == sum(known(each.unrealized_pnl) for each in positions)
        margin = sum(known(each.margin_used) for each in positions)
        assert portfolio.available == portfolio.equity - margin
        assert portfolio.exposure == sum(
            each.size * known(each.current_price) for each in positions
        )
        assert portfolio.positions_count == len(positions)


Books.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestBooks = Books.TestCase
