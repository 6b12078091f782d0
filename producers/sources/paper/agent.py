"""A simple trader that follows momentum, as an OODA loop: one step of the loop a tick.

The rules:

1. IDLE -> PERCEPTION: take the next asset pair, in turn.
2. PERCEPTION -> REASONING: look at its last prices. With too few of them, back to IDLE.
3. REASONING: decide, and say why. HOLD goes back to IDLE; BUY and SELL go on to RISK_CHECK.
   An open position is closed when the momentum turns against it or its loss passes the stop;
   without one, a strong momentum opens one in its direction.
4. RISK_CHECK -> EXECUTION, or back to IDLE where the risk is refused. What closes a position is
   always let through; what opens one needs confidence, margin and a closed circuit breaker.
5. EXECUTION -> LEARNING: fill at the price of now; the decision counts as executed.
6. LEARNING -> IDLE: count the trade. `BREAKER_LOSSES` losses in a row open the circuit breaker,
   and no position is opened for the next `BREAKER_ROUNDS` rounds of the loop.
7. Paused or stopped it takes no step, and what it was about to do is forgotten: the prices that it
   was decided at are old when it goes on. A fill that was not counted yet is counted.

Everything is a function of the seed and the times that are handed in: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from itertools import cycle
from typing import Any, Final

import msgspec

from producers.errors import CommandFailed
from producers.events import (
    Action,
    AgentEvent,
    AgentStatus,
    Alert,
    BreakerState,
    CircuitBreaker,
    Component,
    Decision,
    Failure,
    Health,
    HealthState,
    OodaState,
    ProcessState,
    Severity,
    Side,
    StateTransition,
    Totals,
    TradeExecuted,
    known,
)
from producers.sources.paper.account import Account, OpenPosition, OrderRejected
from producers.sources.paper.config import Config, changed
from producers.sources.paper.market import Instrument, Market
from producers.sources.paper.strategy import LONG_WINDOW, confidence_of, decide, momentum_ppm

PROVIDER: Final = "momentum"
BREAKER_LOSSES: Final = 3
BREAKER_ROUNDS: Final = 10


class _Intent(msgspec.Struct, frozen=True):
    """A decision on its way to the market, and the position it would close."""

    decision: Decision
    instrument: Instrument
    closes: OpenPosition | None


class Agent:
    """The trader. `tick` takes the next step and says what happened, in order: first what came of
    what it was told meanwhile. What it can't do when it is told raises CommandFailed.

    `run` names this run: ids made by two runs are never the same.
    """

    def __init__(self, market: Market, account: Account, *, run: str) -> None:
        self._market = market
        self._account = account
        self._run = run
        self._process = ProcessState.RUNNING
        self._config = Config()
        self._told: list[AgentEvent] = []
        self._turns = cycle(market.instruments)
        self._instrument = market.instruments[0]
        self._state = OodaState.IDLE
        self._intent: _Intent | None = None
        self._trade: TradeExecuted | None = None
        self._totals = Totals()
        self._losses_in_row = 0
        self._breaker_rounds = 0
        self._started: datetime | None = None

    def tick(self, now: datetime) -> list[AgentEvent]:
        """Take one step of the loop at the market's prices of now."""
        self._started = self._started or now
        events, self._told = self._told, []
        if self._process is not ProcessState.RUNNING:
            return events
        before = self._state
        self._state, reason = self._step(now, events)
        events.append(StateTransition(from_state=before, to_state=self._state, reason=reason))
        return events

    def status(self, now: datetime) -> AgentStatus:
        """The process and its loop; the first tick counts as the start."""
        uptime = now - (self._started or now)
        return AgentStatus(
            state=self._process,
            ooda_state=self._state,
            paused=self._process is ProcessState.PAUSED,
            uptime_seconds=int(uptime.total_seconds()),
            totals=self._totals,
            config=self.config,
        )

    def health(self) -> Health:
        """Whether the loop may open positions."""
        is_open = self._breaker_rounds > 0
        state = HealthState.DEGRADED if is_open else HealthState.OK
        detail = f"{self._losses_in_row} losses in a row" if is_open else None
        return Health(
            state=state,
            components={
                "market": Component(state=HealthState.OK),
                "strategy": Component(state=state, detail=detail),
            },
            circuit_breakers={
                "losses": CircuitBreaker(
                    state=BreakerState.OPEN if is_open else BreakerState.CLOSED,
                    failures=self._losses_in_row,
                )
            },
        )

    # What it is told

    @property
    def process(self) -> ProcessState:
        """Whether it trades."""
        return self._process

    @property
    def config(self) -> dict[str, Any]:
        """What can be changed, as it is now, and what it trades."""
        pairs = [each.asset_pair for each in self._market.instruments]
        return {**msgspec.structs.asdict(self._config), "asset_pairs": pairs, "autonomous": True}

    def start(self) -> None:
        """Trade, after a stop."""
        if self._process is ProcessState.PAUSED:
            raise CommandFailed("the agent is paused: resume it")
        self._process = ProcessState.RUNNING

    def pause(self) -> None:
        """Decide nothing new; positions stay."""
        self._require_started()
        self._halt("paused")
        self._process = ProcessState.PAUSED

    def resume(self) -> None:
        """Go on after a pause."""
        self._require_started()
        self._process = ProcessState.RUNNING

    def stop(self, reason: str) -> None:
        """Trade no more; positions stay."""
        self._halt(reason)
        self._process = ProcessState.STOPPED

    def configure(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Change these settings, all or none; returns what counts from now on."""
        self._config = changed(self._config, fields)
        return self.config

    def close(self, position_id: str, command_id: str, now: datetime) -> TradeExecuted:
        """Close a position at the price of now."""
        closing = self._intent.closes if self._intent is not None else None
        if closing is not None and closing.id == position_id:
            self._halt("its position was closed")
        try:
            trade = self._account.close(
                position_id,
                trade_id=f"{command_id}-{position_id}",
                decision_id=command_id,
                prices=self._market.prices(),
                now=now,
            )
        except OrderRejected as rejected:
            raise CommandFailed(str(rejected)) from None
        self._told.append(trade)
        self._count_trade(trade, self._told)
        return trade

    def close_all(self, command_id: str, now: datetime) -> list[TradeExecuted]:
        """Close every position at the price of now."""
        open_now = self._account.positions(self._market.prices())
        return [self.close(position.id, command_id, now) for position in open_now]

    def _require_started(self) -> None:
        if self._process is ProcessState.STOPPED:
            raise CommandFailed("the agent is stopped: start it")

    def _halt(self, reason: str) -> None:
        """Leave the loop where it is."""
        if self._trade is not None:
            self._learn(self._told)
        if self._state is not OodaState.IDLE:
            idle = OodaState.IDLE
            self._told.append(StateTransition(from_state=self._state, to_state=idle, reason=reason))
            self._state = idle
        self._intent = None

    # The loop

    def _step(self, now: datetime, events: list[AgentEvent]) -> tuple[OodaState, str]:
        match self._state:
            case OodaState.IDLE:
                self._instrument = next(self._turns)
                self._breaker_rounds = max(0, self._breaker_rounds - 1)
                return OodaState.PERCEPTION, f"look at {self._instrument.asset_pair}"
            case OodaState.PERCEPTION:
                return self._perceive()
            case OodaState.REASONING:
                return self._reason(now, events)
            case OodaState.RISK_CHECK:
                return self._check_risk()
            case OodaState.EXECUTION:
                return self._execute(now, events)
            case OodaState.LEARNING:
                return self._learn(events)

    def _perceive(self) -> tuple[OodaState, str]:
        seen = len(self._market.history(self._instrument.asset_pair))
        if seen < LONG_WINDOW:
            return OodaState.IDLE, f"{seen} of {LONG_WINDOW} prices seen"
        return OodaState.REASONING, f"{seen} prices seen"

    def _reason(self, now: datetime, events: list[AgentEvent]) -> tuple[OodaState, str]:
        pair = self._instrument.asset_pair
        held = self._account.open_in(pair)
        momentum = momentum_ppm(self._market.history(pair))
        stop = self._config.stop_loss_pct
        action, reasoning = decide(momentum, held, self._loss_pct(held), stop)
        self._totals = msgspec.structs.replace(self._totals, decisions=self._totals.decisions + 1)
        price = self._market.price(pair)
        size = None
        if action is not Action.HOLD:
            size = held.size if held else self._affordable(price)
        decision = Decision(
            id=f"{self._run}-{self._totals.decisions}",
            asset_pair=pair,
            action=action,
            confidence=confidence_of(momentum),
            reasoning=reasoning,
            entry_price=price,
            size=size,
            provider=PROVIDER,
            timestamp=now,
        )
        events.append(decision)
        if action is Action.HOLD:
            return OodaState.IDLE, "nothing to do"
        self._intent = _Intent(decision, self._instrument, held)
        return OodaState.RISK_CHECK, f"{action} {pair}"

    def _check_risk(self) -> tuple[OodaState, str]:
        assert self._intent is not None
        refusal = None
        if self._intent.closes is None:
            refusal = self._refusal(self._intent.decision)
        if refusal is None:
            return OodaState.EXECUTION, "within limits"
        self._intent = None
        return OodaState.IDLE, f"refused: {refusal}"

    def _execute(self, now: datetime, events: list[AgentEvent]) -> tuple[OodaState, str]:
        assert self._intent is not None
        intent, self._intent = self._intent, None
        try:
            self._trade = self._fill(intent, self._market.prices(), now)
        except OrderRejected as rejected:
            events.append(Failure(component="execution", detail=str(rejected)))
            return OodaState.IDLE, "rejected"
        events.append(self._trade)
        events.append(msgspec.structs.replace(intent.decision, executed=True))
        return OodaState.LEARNING, f"filled at {self._trade.price}"

    def _learn(self, events: list[AgentEvent]) -> tuple[OodaState, str]:
        assert self._trade is not None
        trade, self._trade = self._trade, None
        return OodaState.IDLE, self._count_trade(trade, events)

    def _count_trade(self, trade: TradeExecuted, events: list[AgentEvent]) -> str:
        totals = self._totals
        totals = msgspec.structs.replace(
            totals, trades=totals.trades + 1, realized_pnl=self._account.realized_pnl
        )
        reason = "position opened"
        if trade.position_id != trade.id:
            gain = known(trade.realized_pnl) - known(trade.fee)
            won = gain > 0
            reason = f"{'won' if won else 'lost'} {abs(gain)}"
            totals = msgspec.structs.replace(
                totals, wins=totals.wins + won, losses=totals.losses + (not won)
            )
            self._count_result(won, events)
        self._totals = totals
        return reason

    def _count_result(self, won: bool, events: list[AgentEvent]) -> None:
        self._losses_in_row = 0 if won else self._losses_in_row + 1
        if self._losses_in_row == BREAKER_LOSSES:
            self._breaker_rounds = BREAKER_ROUNDS
            self._losses_in_row = 0
            events.append(
                Alert(
                    severity=Severity.WARNING,
                    title=f"{BREAKER_LOSSES} losses in a row",
                    detail=f"no position is opened for {BREAKER_ROUNDS} rounds",
                )
            )

    def _fill(self, intent: _Intent, prices: Mapping[str, Decimal], now: datetime) -> TradeExecuted:
        decision = intent.decision
        assert decision.size is not None
        trade_id = f"{decision.id}-t"
        if intent.closes is not None:
            return self._account.close(
                intent.closes.id, trade_id=trade_id, decision_id=decision.id, prices=prices, now=now
            )
        return self._account.open(
            trade_id=trade_id,
            decision_id=decision.id,
            asset_pair=decision.asset_pair,
            side=Side.LONG if decision.action is Action.BUY else Side.SHORT,
            size=decision.size,
            prices=prices,
            now=now,
        )

    def _refusal(self, decision: Decision) -> str | None:
        assert decision.confidence is not None
        if self._breaker_rounds:
            return "the circuit breaker is open"
        if decision.confidence < self._config.min_confidence:
            return f"confidence {decision.confidence} is below {self._config.min_confidence}"
        if not decision.size:
            return "the account is too small for one lot"
        return None

    def _affordable(self, price: Decimal) -> Decimal:
        budget = self._config.equity_share * self._account.portfolio(self._market.prices()).equity
        lot = self._instrument.lot
        return (budget / price).quantize(lot, ROUND_DOWN) if budget > 0 else Decimal(0)

    def _loss_pct(self, held: OpenPosition | None) -> Decimal:
        if held is None:
            return Decimal(0)
        marked = self._account.positions(self._market.prices())
        return next(known(each.unrealized_pnl_pct) for each in marked if each.id == held.id)
