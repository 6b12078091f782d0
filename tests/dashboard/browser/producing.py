"""What a desk's producer publishes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from types import TracebackType
from typing import Self

import msgspec

from producers.events import (
    Action,
    AgentStatus,
    Component,
    Decision,
    Health,
    HealthState,
    Mode,
    OodaState,
    Portfolio,
    ProcessState,
    Side,
    Totals,
    TradingPosition,
)
from producers.publisher import Publisher
from tests.support.brokers import eventually

MINUS = "\N{MINUS SIGN}"
OPENED_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

PORTFOLIO = Portfolio(
    balance=Decimal("10000.00"),
    equity=Decimal("10168.1912"),
    available=Decimal("9000.5"),
    exposure=Decimal("1000"),
    realized_pnl=Decimal("-6.50"),
    unrealized_pnl=Decimal("174.6912"),
    positions_count=1,
    currency="USD",
    platform="paper",
    mode=Mode.PAPER,
)
STATUS = AgentStatus(
    state=ProcessState.RUNNING,
    ooda_state=OodaState.REASONING,
    paused=False,
    uptime_seconds=3725,
    totals=Totals(decisions=12, trades=3, wins=2, losses=1, realized_pnl=Decimal("-6.50")),
)
HEALTH = Health(state=HealthState.OK, components={"market": Component(state=HealthState.OK)})


def portfolio(equity: str) -> Portfolio:
    """The account at this equity."""
    return msgspec.structs.replace(PORTFOLIO, equity=Decimal(equity))


def position(number: int, price: str = "100.25") -> TradingPosition:
    """One of many positions, marked at a price."""
    entry, size = Decimal("100.10"), Decimal("1.50")
    profit = (Decimal(price) - entry) * size
    return TradingPosition(
        id=f"p{number}",
        asset_pair=f"PAIR{number:03d}",
        side=Side.SHORT if number % 3 == 0 else Side.LONG,
        size=size,
        entry_price=entry,
        current_price=Decimal(price),
        unrealized_pnl=profit,
        unrealized_pnl_pct=Decimal(price) - entry,
        margin_used=Decimal("30.0300"),
        opened_at=OPENED_AT,
    )


def decision(number: int) -> Decision:
    """A decision that says its number."""
    return Decision(
        id=f"d{number}",
        asset_pair="BTCUSD",
        action=list(Action)[number % 3],
        confidence=number % 101,
        reasoning=f"decision {number}",
        entry_price=Decimal("87305.5"),
        size=Decimal("0.0280"),
    )


def grouped(amount: Decimal | None, places: int = 0, *, signed: bool = False) -> str:
    """All digits of a decimal, whole ones in groups, at least so many places behind them."""
    assert amount is not None, "the desk knows each amount"
    whole, _, fraction = f"{abs(amount):f}".partition(".")
    fraction = fraction.ljust(places, "0")
    sign = MINUS if amount < 0 else "+" if signed and amount > 0 else ""
    return f"{sign}{int(whole):,}" + (f".{fraction}" if fraction else "")


async def furnish(publisher: Publisher) -> None:
    """Publish once to each channel of a desk, so that none is missing."""
    await asyncio.gather(
        publisher.portfolio(PORTFOLIO),
        publisher.positions([position(1)]),
        publisher.decision(decision(1)),
        publisher.status(STATUS),
        publisher.health(HEALTH),
    )


class Decider:
    """Publishes numbered decisions, one after another, for the length of the block.

    It ends by itself before the feed of a page, which keeps 300, forgets its first.
    """

    MOST = 280
    PACE_SECONDS = 0.02

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._ended = False
        self._task: asyncio.Task[None] | None = None
        self.last = 0
        """The number of the newest decision that is stored."""

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._decide(), name="decider")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended = True
        assert self._task is not None
        await self._task

    async def goes_on(self) -> None:
        """Return after a few more decisions, or the last."""
        wanted = min(self.last + 5, self.MOST)
        await eventually(lambda: self.last >= wanted, f"decision {wanted} is stored")

    async def _decide(self) -> None:
        while not self._ended and self.last < self.MOST:
            await self._publisher.decision(decision(self.last + 1))
            self.last += 1
            # A pace, which nobody waits for.
            await asyncio.sleep(self.PACE_SECONDS)
