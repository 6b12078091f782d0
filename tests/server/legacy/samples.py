"""What producers publish, and old dashboards are to be shown."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from hub.broker.base import Broker
from hub.protocol.publication import (
    AppendEntry,
    PatchRows,
    Publication,
    ReplaceRows,
    SetValue,
    Touch,
)
from hub.protocol.streams import KNOWN, Kind, stream_options
from producers.encoding import encode
from producers.events import (
    Action,
    AgentStatus,
    Decision,
    Event,
    Mode,
    OodaState,
    Portfolio,
    ProcessState,
    Side,
    Totals,
    TradingPosition,
)
from tests.support.brokers import store

WS = "/api/v1/bot/ws"

PORTFOLIO = Portfolio(
    balance=Decimal("10000.00"),
    equity=Decimal("10174.69"),
    available=Decimal("9000.5"),
    exposure=Decimal("2451.00"),
    realized_pnl=Decimal("-6.50"),
    unrealized_pnl=Decimal("174.69"),
    positions_count=1,
    currency="USD",
    platform="paper",
    mode=Mode.PAPER,
)
POSITION = TradingPosition(
    id="p-1",
    asset_pair="BTCUSD",
    side=Side.LONG,
    size=Decimal("0.0280"),
    entry_price=Decimal("87537.2"),
    current_price=Decimal("87572.4"),
    unrealized_pnl=Decimal("0.98"),
    unrealized_pnl_pct=Decimal("0.04"),
    margin_used=Decimal("490.20"),
    opened_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
)
DECISION = Decision(
    id="d-1",
    asset_pair="ETHUSD",
    action=Action.BUY,
    confidence=72.5,
    reasoning="momentum",
    entry_price=Decimal("3100.10"),
    size=Decimal("0.5"),
    timestamp=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
)
STATUS = AgentStatus(
    state=ProcessState.RUNNING,
    ooda_state=OodaState.REASONING,
    paused=False,
    uptime_seconds=90,
    totals=Totals(decisions=4, trades=3, wins=2, losses=1),
)

OLD_PORTFOLIO = {
    "balance": {"total": 10000.0, "available": 9000.5, "currency": "USD"},
    "active_positions": 1,
    "max_concurrent_trades": None,
    "platform": "paper",
    "portfolio_value": 10174.69,
}
OLD_POSITION = {
    "id": "p-1",
    "asset_pair": "BTCUSD",
    "side": "LONG",
    "size": 0.028,
    "entry_price": 87537.2,
    "current_price": 87572.4,
    "unrealized_pnl": 0.98,
    "unrealized_pnl_pct": 0.04,
    "margin_used": 490.2,
}
OLD_DECISION = {
    "decision_id": "d-1",
    "id": "d-1",
    "asset_pair": "ETHUSD",
    "action": "BUY",
    "confidence": 72.5,
    "reasoning": "momentum",
    "timestamp": "2026-01-02T03:04:05Z",
    "executed": False,
    "execution_result": None,
}


def changed(payload: Any, **fields: Any) -> Any:
    """A payload with other fields."""
    return msgspec.structs.replace(payload, **fields)


class Agent:
    """Publishes to a broker as producers do; `account` as `tapecast produce --account` says it."""

    def __init__(self, broker: Broker, account: str = "") -> None:
        self._broker = broker
        self._suffix = f":{account}" if account else ""
        self._n = 0

    async def _publish(self, stream: str, event: str, change: Any, lease_ms: int = 0) -> None:
        self._n += 1
        kind = stream_options(stream, KNOWN).kind
        channel = f"{stream}{self._suffix}"
        one = Publication(channel, kind, event, change, "agent", self._n, lease_ms)
        await store(self._broker, one)

    async def portfolio(self, portfolio: Portfolio = PORTFOLIO, *, lease_ms: int = 0) -> None:
        change = SetValue(encode(portfolio))
        await self._publish("portfolio", Event.PORTFOLIO_UPDATE, change, lease_ms)

    async def status(self, status: AgentStatus = STATUS, *, lease_ms: int = 0) -> None:
        await self._publish("status", Event.STATUS, SetValue(encode(status)), lease_ms)

    async def health(self, health: object) -> None:
        await self._publish("health", Event.HEALTH, SetValue(encode(health)))

    async def touch(self, stream: str, lease_ms: int) -> None:
        await self._publish(stream, "touch", Touch(), lease_ms)

    async def positions(self, *rows: TradingPosition) -> None:
        change = ReplaceRows({row.id: encode(row) for row in rows})
        await self._publish("positions", Event.POSITIONS_UPDATE, change)

    async def position(self, row: TradingPosition) -> None:
        change = PatchRows({row.id: encode(row)})
        await self._publish("positions", Event.POSITIONS_UPDATE, change)

    async def decision(self, decision: Decision = DECISION, event: str = "decision_made") -> None:
        """On the channel of decisions, and on the agent's own log, which repeats it."""
        await self._publish("decisions", event, AppendEntry(encode(decision)))
        await self.did("decision_made", decision)

    async def decisions(self, numbers: range) -> None:
        """Many at once, named by their numbers."""
        many = []
        for number in numbers:
            self._n += 1
            change = AppendEntry(encode(changed(DECISION, id=f"d-{number}")))
            channel = f"decisions{self._suffix}"
            one = Publication(channel, Kind.LOG, "decision_made", change, "agent", self._n)
            many.append(one)
        await store(self._broker, *many)

    async def did(self, event: str, payload: object) -> None:
        await self._publish("agent", event, AppendEntry(encode(payload)))

    async def alert(self, payload: object) -> None:
        await self._publish("alerts", Event.ALERT, AppendEntry(encode(payload)))
