"""The typed payloads, and the names of the events they travel under.

Money is Decimal here and a string on the wire; NaN and infinity are refused when a payload is
made, so that they can't reach a dashboard. Times carry their zone and are UTC on the wire.
`Publisher.publish` takes any other event and payload too.
"""

from __future__ import annotations

import enum
import functools
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias, get_args

import msgspec

from producers.encoding import require_aware, require_money
from producers.errors import InvalidPayload


class Event(enum.StrEnum):
    """What happened, by name."""

    PORTFOLIO_UPDATE = "portfolio_update"
    POSITIONS_UPDATE = "positions_update"
    DECISION_MADE = "decision_made"
    DECISION_UPDATED = "decision_updated"
    STATE_TRANSITION = "state_transition"
    ORDER_UPDATED = "order_updated"
    TRADE_EXECUTED = "trade_executed"
    POSITION_OPENED = "position_opened"
    POSITION_UPDATED = "position_updated"
    POSITION_CLOSED = "position_closed"
    STATUS = "status"
    HEALTH = "health"
    ERROR = "error"
    ALERT = "alert"


class Mode(enum.StrEnum):
    PAPER = "paper"
    LIVE = "live"


class Side(enum.StrEnum):
    LONG = "LONG"
    SHORT = "SHORT"


class Action(enum.StrEnum):
    BUY = "BUY"
    SELL = "SELL"
    HOLD = "HOLD"


class ProcessState(enum.StrEnum):
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    STOPPED = "STOPPED"
    FAILED = "FAILED"


class OodaState(enum.StrEnum):
    IDLE = "IDLE"
    PERCEPTION = "PERCEPTION"
    REASONING = "REASONING"
    RISK_CHECK = "RISK_CHECK"
    EXECUTION = "EXECUTION"
    LEARNING = "LEARNING"


class HealthState(enum.StrEnum):
    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"


class BreakerState(enum.StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Severity(enum.StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class AlertState(enum.StrEnum):
    FIRING = "firing"
    RESOLVED = "resolved"


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """What every typed payload promises: money is finite, times have a zone, and what has names
    has one of them."""

    def __post_init__(self) -> None:
        name = type(self).__name__
        for field, may_be_unknown in _money_fields(type(self)):
            value = getattr(self, field)
            if value is not None or not may_be_unknown:
                require_money(f"{name}.{field}", value)
        for field in self.__struct_fields__:
            value = getattr(self, field)
            if isinstance(value, datetime):
                require_aware(f"{name}.{field}", value)
        for field, names, may_be_unknown in _enum_fields(type(self)):
            value = getattr(self, field)
            if value not in list(names) and (value is not None or not may_be_unknown):
                raise InvalidPayload(f"{name}.{field}", f"one of {', '.join(names)}", value)


@functools.cache
def _money_fields(payload: type[Payload]) -> tuple[tuple[str, bool], ...]:
    return tuple(
        (field.name, field.type is not Decimal)
        for field in msgspec.structs.fields(payload)
        if field.type in (Decimal, Decimal | None)
    )


@functools.cache
def _enum_fields(payload: type[Payload]) -> tuple[tuple[str, type[enum.StrEnum], bool], ...]:
    return tuple(
        (field.name, names, names is not field.type)
        for field in msgspec.structs.fields(payload)
        for names in (field.type, *get_args(field.type))
        if isinstance(names, type) and issubclass(names, enum.StrEnum)
    )


class Portfolio(Payload, frozen=True, kw_only=True):
    """An account as a whole; all amounts in `currency`, None for what a platform does not say."""

    balance: Decimal
    equity: Decimal
    available: Decimal | None
    exposure: Decimal | None
    realized_pnl: Decimal | None
    unrealized_pnl: Decimal | None
    positions_count: int
    currency: str
    platform: str
    mode: Mode


class TradingPosition(Payload, frozen=True, kw_only=True):
    """One open position; `size` in the base asset, `unrealized_pnl_pct` of the entry value.

    None for what a platform does not say.
    """

    id: str
    asset_pair: str
    side: Side
    size: Decimal
    entry_price: Decimal
    current_price: Decimal | None
    unrealized_pnl: Decimal | None
    unrealized_pnl_pct: Decimal | None
    margin_used: Decimal | None
    opened_at: datetime | None


def known(amount: Decimal | None) -> Decimal:
    """An amount of a payload whose maker always says it."""
    assert amount is not None
    return amount


# What the market moves without the trader doing anything.
MARKS: Final = frozenset({"current_price", "unrealized_pnl", "unrealized_pnl_pct"})


class Decision(Payload, frozen=True, kw_only=True):
    """What an agent decided, and later whether it was carried out.

    `metadata` is the deciding program's own; `extra` keeps the fields of a decision file that
    have no name here, so that nothing is lost on the way.
    """

    id: str
    asset_pair: str
    action: Action
    confidence: float | None = None
    reasoning: str | None = None
    entry_price: Decimal | None = None
    size: Decimal | None = None
    executed: bool = False
    provider: str | None = None
    timestamp: datetime | None = None
    metadata: dict[str, Any] = {}
    extra: dict[str, Any] = {}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.id, str) or not self.id:
            raise InvalidPayload("Decision.id", "an id", self.id)
        # Written so that NaN is refused too.
        if self.confidence is not None and not 0 <= self.confidence <= 100:
            raise InvalidPayload("Decision.confidence", "0 to 100", self.confidence)


class Totals(Payload, frozen=True, kw_only=True):
    """What an agent did since it started."""

    decisions: int = 0
    trades: int = 0
    wins: int = 0
    losses: int = 0
    realized_pnl: Decimal = Decimal(0)


class AgentStatus(Payload, frozen=True, kw_only=True):
    """Where an agent is: its process, its OODA loop, and its settings, which are its own."""

    state: ProcessState
    ooda_state: OodaState
    paused: bool
    uptime_seconds: int
    totals: Totals
    config: dict[str, Any] = {}


class Component(Payload, frozen=True, kw_only=True):
    """One part that can fail; `detail` says what is wrong."""

    state: HealthState
    detail: str | None = None


class CircuitBreaker(Payload, frozen=True, kw_only=True):
    """A breaker, and the failures in a row that it counted."""

    state: BreakerState
    failures: int = 0


class Health(Payload, frozen=True, kw_only=True):
    """The parts and breakers of a producer, by name, and the worst of them as `state`."""

    state: HealthState
    components: dict[str, Component] = {}
    circuit_breakers: dict[str, CircuitBreaker] = {}


class StateTransition(Payload, frozen=True, kw_only=True):
    """A step of the OODA loop."""

    from_state: OodaState
    to_state: OodaState
    reason: str | None = None


class Order(Payload, frozen=True, kw_only=True):
    """An order as it stands at an exchange (event `order_updated`).

    `status` is the exchange's, in lower case: open, closed, canceled, rejected, expired; "unknown"
    for one that is not open any more, where the exchange does not say what became of it. `price` is
    None for one that takes what the market gives.
    """

    id: str
    asset_pair: str
    action: Action
    order_type: str | None
    size: Decimal | None
    filled: Decimal | None
    price: Decimal | None
    status: str
    placed_at: datetime | None


class TradeExecuted(Payload, frozen=True, kw_only=True):
    """A fill; `realized_pnl` is what it closed, before its `fee`.

    None for what a platform does not say; a fee that is not in the currency of the price is none.
    """

    id: str
    decision_id: str | None
    position_id: str | None
    asset_pair: str
    action: Action
    size: Decimal
    price: Decimal
    fee: Decimal | None
    realized_pnl: Decimal | None
    executed_at: datetime


class Failure(Payload, frozen=True, kw_only=True):
    """What went wrong (event `error`)."""

    component: str
    detail: str


class Alert(Payload, frozen=True, kw_only=True):
    """Something a person should look at.

    What a rule says has more: whether it begins or ends, the `incident` that both name, the channel
    and the row of a table that it is about, and the value that met the limit. All of it is None in
    what an agent says itself.
    """

    severity: Severity
    title: str
    detail: str | None = None
    rule: str | None = None
    state: AlertState | None = None
    incident: str | None = None
    channel: str | None = None
    row: str | None = None
    value: Decimal | None = None
    limit: Decimal | None = None


AgentEvent: TypeAlias = (
    StateTransition | Decision | Order | TradeExecuted | TradingPosition | Failure | Alert
)
