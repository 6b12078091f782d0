"""producers/sources/paper/source.py: the agent's channels."""

from __future__ import annotations

from datetime import UTC, datetime

from producers.events import AgentStatus, Event, Health, Portfolio, known
from producers.sources.base import Decided, Happened, Positions, Reading, State
from producers.sources.paper import PaperSource


def source(account: str | None = None) -> PaperSource:
    return PaperSource(account=account, run="r", now=lambda: datetime(2025, 1, 1, tzinfo=UTC))


async def polls(paper: PaperSource, count: int) -> list[Reading]:
    return [reading for _ in range(count) for reading in await paper.poll()]


async def test_every_poll_says_the_whole_state() -> None:
    """Portfolio, positions, status, health and one step of the loop come with each call."""
    readings = await source().poll()
    states = {each.channel: type(each.payload) for each in readings if isinstance(each, State)}
    assert states == {"portfolio": Portfolio, "status": AgentStatus, "health": Health}
    assert sum(isinstance(each, Positions) for each in readings) == 1
    assert [each.event for each in readings if isinstance(each, Happened)] == [
        Event.STATE_TRANSITION
    ]


async def test_decisions_and_events() -> None:
    """A decision is told twice when it is carried out; the agent's log hears that it was made."""
    readings = await polls(source(), 200)
    made = [r.decision for r in readings if isinstance(r, Decided) and not r.decision.executed]
    done = [r.decision for r in readings if isinstance(r, Decided) and r.decision.executed]
    told = [r.payload for r in readings if isinstance(r, Happened) and r.event == "decision_made"]
    assert made == told
    assert {each.id for each in done} < {each.id for each in made}
    events = {each.event for each in readings if isinstance(each, Happened)}
    assert {Event.STATE_TRANSITION, Event.DECISION_MADE, Event.TRADE_EXECUTED} <= events


async def test_positions_agree_with_the_portfolio() -> None:
    """What a poll says of positions and portfolio is of one moment."""
    paper = source()
    for _ in range(100):
        readings = await paper.poll()
        (rows,) = (each.rows for each in readings if isinstance(each, Positions))
        (portfolio,) = (
            each.payload
            for each in readings
            if isinstance(each, State) and isinstance(each.payload, Portfolio)
        )
        assert portfolio.positions_count == len(rows)
        assert portfolio.unrealized_pnl == sum(known(each.unrealized_pnl) for each in rows)


async def test_account() -> None:
    """With an account, each channel is the account's own."""
    paper = source(account="acct-7")
    assert paper.health_channel == "health:acct-7"
    assert all(each.endswith(":acct-7") for each in paper.channels)
    assert {each.channel for each in await polls(paper, 50)} <= {
        *paper.channels,
        "alerts:acct-7",
    }


async def test_runs_do_not_share_ids() -> None:
    """The same seed started again makes decisions of its own, not updates of the last run's."""
    first, second = PaperSource(seed=1), PaperSource(seed=1)
    ids = [
        {each.decision.id for each in await polls(paper, 60) if isinstance(each, Decided)}
        for paper in (first, second)
    ]
    assert all(ids)
    assert not ids[0] & ids[1]


def test_options() -> None:
    """The command's options make the source."""
    paper = PaperSource.from_options({"seed": 3, "account": None})
    assert "portfolio" in paper.channels
