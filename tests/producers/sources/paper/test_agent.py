"""producers/sources/paper/agent.py: the OODA loop, by its rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from producers.events import (
    Action,
    AgentEvent,
    Alert,
    BreakerState,
    Decision,
    Failure,
    HealthState,
    OodaState,
    ProcessState,
    Side,
    StateTransition,
    TradeExecuted,
    known,
)
from producers.sources.paper.account import Account, OpenPosition
from producers.sources.paper.agent import (
    BREAKER_LOSSES,
    BREAKER_ROUNDS,
    Agent,
)
from producers.sources.paper.config import Config
from producers.sources.paper.market import Market
from producers.sources.paper.strategy import confidence_of, decide, momentum_ppm

MIN_CONFIDENCE = Config().min_confidence

START = datetime(2025, 1, 1, tzinfo=UTC)
STEPS = {
    OodaState.IDLE: {OodaState.PERCEPTION},
    OodaState.PERCEPTION: {OodaState.REASONING, OodaState.IDLE},
    OodaState.REASONING: {OodaState.RISK_CHECK, OodaState.IDLE},
    OodaState.RISK_CHECK: {OodaState.EXECUTION, OodaState.IDLE},
    OodaState.EXECUTION: {OodaState.LEARNING, OodaState.IDLE},
    OodaState.LEARNING: {OodaState.IDLE},
}


class Run:
    """An agent on a market, a tick a second."""

    def __init__(self, seed: int = 1, ticks: int = 0, account: Account | None = None) -> None:
        self.market = Market(seed)
        self.account = account or Account()
        self.agent = Agent(self.market, self.account, run="r")
        self.now = START
        self.events: list[AgentEvent] = []
        for _ in range(ticks):
            self.tick()

    def tick(self) -> list[AgentEvent]:
        self.market.step()
        self.now += timedelta(seconds=1)
        events = self.agent.tick(self.now)
        self.events += events
        return events

    def of(self, kind: type[AgentEvent]) -> list[AgentEvent]:
        return [each for each in self.events if isinstance(each, kind)]


def test_same_seed_same_run() -> None:
    """A run is a function of its seed and times, to the last event."""
    assert Run(seed=5, ticks=500).events == Run(seed=5, ticks=500).events


def test_the_loop_keeps_to_its_steps() -> None:
    """Every tick is one step of the loop, and every state is visited."""
    run = Run(ticks=2_000)
    steps = [each for each in run.events if isinstance(each, StateTransition)]
    assert len(steps) == 2_000
    at = OodaState.IDLE
    for step in steps:
        assert step.from_state is at
        assert step.to_state in STEPS[at]
        at = step.to_state
    assert {step.to_state for step in steps} == set(OodaState)


def test_too_little_to_see() -> None:
    """Without a history, PERCEPTION goes back to IDLE."""
    run = Run(ticks=2)
    assert run.agent.status(run.now).ooda_state is OodaState.IDLE


def test_decisions_and_fills() -> None:
    """Each fill belongs to a decision, which is then told as executed; no id comes twice."""
    run = Run(ticks=3_000)
    made = [each for each in run.events if isinstance(each, Decision) and not each.executed]
    executed = [each for each in run.events if isinstance(each, Decision) and each.executed]
    fills = [each for each in run.events if isinstance(each, TradeExecuted)]
    assert fills
    assert len({each.id for each in made}) == len(made)
    assert len({each.id for each in fills}) == len(fills)
    assert [each.decision_id for each in fills] == [each.id for each in executed]
    assert all(each.reasoning and each.confidence is not None for each in made)
    totals = run.agent.status(run.now).totals
    assert totals.decisions == len(made)
    closing = [each for each in fills if each.position_id != each.id]
    # The last fill may not have been learned from yet.
    assert len(fills) - totals.trades in (0, 1)
    assert len(closing) - (totals.wins + totals.losses) in (0, 1)
    assert run.account.balance == run.account.deposit + sum(
        known(each.realized_pnl) - known(each.fee) for each in fills
    )


def test_status() -> None:
    """The status counts from the first tick."""
    run = Run()
    assert run.agent.status(START).uptime_seconds == 0
    run.tick()
    status = run.agent.status(run.now + timedelta(seconds=90))
    assert (status.state, status.uptime_seconds) == (ProcessState.RUNNING, 90)
    assert not status.paused


def test_circuit_breaker() -> None:
    """Losses in a row stop new positions for some rounds, with an alert."""
    for seed in range(20):
        run = Run(seed=seed)
        for _ in range(3_000):
            if any(isinstance(each, Alert) for each in run.tick()):
                break
        else:
            continue
        break
    assert f"{BREAKER_LOSSES} losses in a row" in str(run.of(Alert)[-1])
    assert run.agent.health().state is HealthState.DEGRADED
    assert run.agent.health().circuit_breakers["losses"].state is BreakerState.OPEN
    rounds = 0
    while run.agent.health().circuit_breakers["losses"].state is BreakerState.OPEN:
        for event in run.tick():
            rounds += isinstance(event, StateTransition) and event.from_state is OodaState.IDLE
            if isinstance(event, TradeExecuted):
                assert event.position_id != event.id, "a position was opened"
    assert rounds == BREAKER_ROUNDS
    assert run.agent.health().state is HealthState.OK


def test_a_small_account() -> None:
    """Who can't pay for one lot trades nothing."""
    run = Run(ticks=500, account=Account(Decimal("0.01")))
    assert run.of(TradeExecuted) == []
    reasons = {each.reason for each in run.events if isinstance(each, StateTransition)}
    assert "refused: the account is too small for one lot" in reasons


def test_a_rejected_order() -> None:
    """An order that the account rejects is told as a failure, and the loop goes on."""
    run = Run()
    while run.agent.status(run.now).ooda_state is not OodaState.EXECUTION:
        run.tick()
    run.account.realized_pnl = Decimal(-10_000)
    run.tick()
    assert len(run.of(Failure)) == 1
    assert run.agent.status(run.now).ooda_state is OodaState.IDLE


def held(side: Side) -> OpenPosition:
    return OpenPosition(
        id="p",
        asset_pair="BTCUSD",
        side=side,
        size=Decimal(1),
        entry_price=Decimal(100),
        opened_at=START,
    )


@pytest.mark.parametrize(
    ("momentum", "position", "pnl_pct", "action"),
    [
        (0, None, "0", Action.HOLD),
        (1_000, None, "0", Action.BUY),
        (-1_000, None, "0", Action.SELL),
        (1_000, Side.LONG, "1", Action.HOLD),
        (-1_000, Side.LONG, "1", Action.SELL),
        (1_000, Side.SHORT, "1", Action.BUY),
        (1_000, Side.LONG, "-2", Action.SELL),
        (-1_000, Side.SHORT, "-1.5", Action.BUY),
        (0, Side.SHORT, "-1.49", Action.HOLD),
    ],
)
def test_rules_of_reasoning(
    momentum: int, position: Side | None, pnl_pct: str, action: Action
) -> None:
    """Follow the momentum, close what it turned against, stop a loss."""
    decided, reasoning = decide(momentum, held(position) if position else None, Decimal(pnl_pct))
    assert decided is action
    assert reasoning


def test_confidence() -> None:
    """Confidence grows with the momentum, and never leaves 50 to 99."""
    assert confidence_of(0) == 50
    assert confidence_of(-10_000) == confidence_of(10_000) == 99
    assert confidence_of(200) < MIN_CONFIDENCE < confidence_of(1_000)


def test_momentum() -> None:
    """Rising prices have a positive momentum, falling ones a negative one."""
    rising = tuple(Decimal(100 + i) for i in range(20))
    assert momentum_ppm(rising) > 0
    assert momentum_ppm(rising[::-1]) < 0
    assert momentum_ppm((Decimal(7),) * 20) == 0
