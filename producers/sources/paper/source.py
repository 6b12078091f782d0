"""The paper agent as a source: a market tick, a step of the agent, and all its channels."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Self

import click

from producers.events import (
    AgentEvent,
    Alert,
    Decision,
    Event,
    Failure,
    StateTransition,
    TradeExecuted,
)
from producers.handlers import Handlers
from producers.sources.base import Decided, Happened, PollingSource, Positions, Reading, State
from producers.sources.paper.account import Account
from producers.sources.paper.agent import Agent
from producers.sources.paper.market import Market
from producers.sources.paper.obeying import handlers_of
from producers.sources.paper.strategy import LONG_WINDOW

_EVENTS: Mapping[type[AgentEvent], Event] = {
    StateTransition: Event.STATE_TRANSITION,
    TradeExecuted: Event.TRADE_EXECUTED,
    Failure: Event.ERROR,
}


def _utc_now() -> datetime:
    return datetime.now(UTC)


class PaperSource(PollingSource):
    """An agent that trades on paper. The same seed gives the same prices and trades."""

    summary: ClassVar[str] = """Trade on paper.

    The market is seeded, and the agent goes through an OODA loop.

    \b
    Examples:
      tapecast produce paper
      tapecast produce paper --seed 7 --interval 0.25
      tapecast produce paper --account acct-7      # publishes portfolio:acct-7, ...
      tapecast command agent.pause --agent acct-7 --wait
    """
    options: ClassVar[Sequence[click.Parameter]] = (
        click.Option(["--seed"], type=int, default=1, show_default=True, help="Of the market."),
        click.Option(
            ["--account"],
            metavar="NAME",
            help="Publish to portfolio:NAME, positions:NAME and so on, and obey commands:NAME.",
        ),
    )
    interval_seconds = 0.5

    def __init__(
        self,
        *,
        seed: int = 1,
        account: str | None = None,
        run: str | None = None,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        suffix = f":{account}" if account else ""
        self._portfolio = f"portfolio{suffix}"
        self._positions = f"positions{suffix}"
        self._decisions = f"decisions{suffix}"
        self._agent_log = f"agent{suffix}"
        self._alerts = f"alerts{suffix}"
        self._status = f"status{suffix}"
        self._health = f"health{suffix}"
        self.agent = account
        self._now = now
        self._market = Market(seed)
        # Markets have a past: the agent needs not wait for one.
        for _ in range(LONG_WINDOW):
            self._market.step()
        self._account = Account()
        # Another run is another history of decisions, though the seed be the same.
        self._trader = Agent(
            self._market, self._account, run=run or f"paper-{secrets.token_hex(4)}"
        )

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        return cls(seed=options["seed"], account=options["account"])

    @property
    def channels(self) -> tuple[str, ...]:
        return (
            self._portfolio,
            self._positions,
            self._decisions,
            self._agent_log,
            self._status,
            self._health,
        )

    @property
    def health_channel(self) -> str:
        return self._health

    def handlers(self) -> Handlers:
        return handlers_of(self._trader, self._now)

    async def poll(self) -> Sequence[Reading]:
        now = self._now()
        self._market.step()
        readings = [self._reading_of(event) for event in self._trader.tick(now)]
        prices = self._market.prices()
        return [
            *(each for batch in readings for each in batch),
            Positions(self._positions, self._account.positions(prices)),
            State(self._portfolio, self._account.portfolio(prices)),
            State(self._status, self._trader.status(now)),
            State(self._health, self._trader.health()),
        ]

    def _reading_of(self, event: AgentEvent) -> list[Reading]:
        match event:
            case Decision():
                decided = Decided(self._decisions, event)
                if event.executed:
                    return [decided]
                return [decided, Happened(self._agent_log, Event.DECISION_MADE, event)]
            case Alert():
                return [Happened(self._alerts, Event.ALERT, event)]
            case _:
                return [Happened(self._agent_log, _EVENTS[type(event)], event)]
