"""The paper agent does what it is told: producers/sources/paper/obeying.py and config.py."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import redis

from hub.protocol import keys
from producers.commands import Commands
from producers.errors import CommandFailed, CommandsRefused, ProducerError
from producers.events import (
    AgentStatus,
    Decision,
    OodaState,
    ProcessState,
    StateTransition,
    TradeExecuted,
)
from producers.handlers import obeying
from producers.publisher import Publisher
from producers.sources.base import Decided, Happened, Positions, Reading, State
from producers.sources.paper import PaperSource
from producers.sources.paper.config import Config, changed
from producers.worker import Worker
from tests.producers.test_commands import QUICK
from tests.support.brokers import DEADLINE_SECONDS, eventually
from tests.support.command_desk import Desk
from tests.support.valkey import Valkey

NOW = datetime(2025, 1, 1, tzinfo=UTC)


class Paper:
    """A paper source that is told things by a desk, and polled when the test says so."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.source = PaperSource(seed=1, account="desk-7", run="r", now=lambda: NOW)
        self.readings: list[Reading] = []
        self._sent = 0

    async def poll(self, times: int = 1) -> list[Reading]:
        """The readings of so many polls."""
        readings = [each for _ in range(times) for each in await self.source.poll()]
        self.readings += readings
        return readings

    async def poll_until(self, condition: Callable[[list[Reading]], bool]) -> list[Reading]:
        """Poll until the readings are as wanted; returns those."""
        for _ in range(1_000):
            if condition(readings := await self.poll()):
                return readings
        raise AssertionError("never happened")

    async def tell(self, event: str, data: bytes = b"{}") -> tuple[str, Any]:
        """Send a command; returns its id's end and what came of it."""
        self._sent += 1
        id = f"c{self._sent}"
        self.desk.send(id, event, data)
        ends = ("command.done", "command.failed")

        def end() -> list[tuple[str, Any]]:
            return [(e, data) for e, data in self.desk.log() if e in ends and data["id"] == id]

        await eventually(lambda: bool(end()), f"{event} ends")
        [(found, said)] = end()
        return found, said.get("result", said.get("reason"))

    async def status(self) -> AgentStatus:
        """What the next poll says of the agent."""
        return status_of(await self.poll())


def status_of(readings: list[Reading]) -> AgentStatus:
    """The agent's status among readings."""
    [status] = [
        each.payload
        for each in readings
        if isinstance(each, State) and isinstance(each.payload, AgentStatus)
    ]
    return status


def rows_of(readings: list[Reading]) -> list[str]:
    """The ids of the open positions."""
    [rows] = [each.rows for each in readings if isinstance(each, Positions)]
    return [row.id for row in rows]


def steps_of(readings: list[Reading]) -> list[StateTransition]:
    """The steps of the loop."""
    return [
        each.payload
        for each in readings
        if isinstance(each, Happened) and isinstance(each.payload, StateTransition)
    ]


def trades_of(readings: list[Reading]) -> list[TradeExecuted]:
    """The fills."""
    return [
        each.payload
        for each in readings
        if isinstance(each, Happened) and isinstance(each.payload, TradeExecuted)
    ]


@pytest.fixture
def desk(valkey: Valkey) -> Iterator[Desk]:
    with redis.Redis(unix_socket_path=str(valkey.socket)) as client:
        yield Desk(client)


@pytest.fixture
async def paper(valkey: Valkey, desk: Desk) -> AsyncIterator[Paper]:
    """A paper agent that obeys."""
    paper = Paper(desk)
    commands = Commands(valkey.url, agent=paper.source.agent, timing=QUICK)
    task = asyncio.create_task(paper.source.handlers().obey(commands))
    yield paper
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_paused_agent_decides_nothing(paper: Paper) -> None:
    """Its market goes on, and its positions with it; resumed, it goes on too."""
    await paper.poll_until(rows_of)  # type: ignore[arg-type]
    assert await paper.tell("agent.pause") == ("command.done", {"state": "PAUSED"})
    first = await paper.poll()
    assert (status_of(first).state, status_of(first).paused) == (ProcessState.PAUSED, True)
    paused = await paper.poll(50)
    assert not [each for each in paused if isinstance(each, Decided)]
    assert not steps_of(paused)
    marks = [each.rows for each in paused if isinstance(each, Positions)]
    assert len({row.current_price for rows in marks for row in rows}) > 1
    assert await paper.tell("agent.resume") == ("command.done", {"state": "RUNNING"})
    assert not (await paper.status()).paused
    assert steps_of(await paper.poll(5))


async def test_what_it_was_about_to_do_is_forgotten(paper: Paper) -> None:
    """A decision from before a pause is not carried out after it, at a price that is old."""

    def is_about_to(readings: list[Reading]) -> bool:
        return status_of(readings).ooda_state is OodaState.EXECUTION

    await paper.poll_until(is_about_to)
    await paper.tell("agent.pause")
    [step] = steps_of(await paper.poll())
    assert (step.from_state, step.to_state, step.reason) == (
        OodaState.EXECUTION, OodaState.IDLE, "paused",
    )  # fmt: skip
    await paper.tell("agent.resume")
    assert steps_of(await paper.poll())[0].to_state is OodaState.PERCEPTION


async def test_a_fill_is_counted_before_a_pause(paper: Paper) -> None:
    """The loop had still to learn from it."""

    def is_learning(readings: list[Reading]) -> bool:
        return status_of(readings).ooda_state is OodaState.LEARNING

    before = status_of(await paper.poll_until(is_learning)).totals.trades
    await paper.tell("agent.pause")
    assert (await paper.status()).totals.trades == before + 1


async def test_stop_and_start(paper: Paper) -> None:
    """Stopped it neither pauses nor resumes, and says what to do; started it trades again."""
    assert await paper.tell("agent.stop") == ("command.done", {"state": "STOPPED"})
    assert (await paper.status()).state is ProcessState.STOPPED
    for event in ("agent.pause", "agent.resume"):
        assert await paper.tell(event) == ("command.failed", "the agent is stopped: start it")
    assert await paper.tell("agent.start") == ("command.done", {"state": "RUNNING"})
    assert await paper.tell("agent.start") == ("command.done", {"state": "RUNNING"})
    assert steps_of(await paper.poll(3))
    await paper.tell("agent.pause")
    assert await paper.tell("agent.start") == (
        "command.failed", "the agent is paused: resume it",
    )  # fmt: skip


async def test_a_position_is_closed(paper: Paper) -> None:
    """At the price of now, as a trade of the command; what is not open can't be."""
    [position, *_] = rows_of(await paper.poll_until(rows_of))  # type: ignore[arg-type]
    await paper.tell("agent.pause")
    event, trade = await paper.tell("position.close", json.dumps({"id": position}).encode())
    assert event == "command.done"
    assert (trade["position_id"], trade["decision_id"]) == (position, "c2")
    assert isinstance(trade["price"], str)
    readings = await paper.poll()
    assert position not in rows_of(readings)
    assert [each.position_id for each in trades_of(readings)] == [position]
    again = await paper.tell("position.close", json.dumps({"id": position}).encode())
    assert again == ("command.failed", f"{position} is not open")


async def test_a_position_that_it_was_about_to_close(paper: Paper) -> None:
    """It is closed once: what the agent had decided is forgotten."""

    def closes(readings: list[Reading]) -> bool:
        intent = paper.source._trader._intent
        return intent is not None and intent.closes is not None

    await paper.poll_until(closes)
    intent = paper.source._trader._intent
    assert intent is not None
    assert intent.closes is not None
    position = intent.closes.id
    await paper.tell("position.close", json.dumps({"id": position}).encode())
    readings = await paper.poll(4)
    assert [each.position_id for each in trades_of(readings)] == [position]
    assert not [each for each in readings if isinstance(each, Happened) and each.event == "error"]


async def test_an_emergency_stop_closes_everything(paper: Paper) -> None:
    """And stops; what it was about to open is not opened."""
    open_now = rows_of(await paper.poll_until(lambda readings: len(rows_of(readings)) > 1))
    event, result = await paper.tell("emergency.stop")
    assert event == "command.done"
    assert (result["state"], sorted(result["closed"])) == ("STOPPED", sorted(open_now))
    readings = await paper.poll(20)
    assert len(trades_of(readings)) == len(open_now)
    assert all(not each.rows for each in readings if isinstance(each, Positions))
    assert (await paper.status()).state is ProcessState.STOPPED


async def test_settings_are_changed(paper: Paper) -> None:
    """All or none; the status shows those that count."""
    assert (await paper.status()).config["min_confidence"] == 55
    event, result = await paper.tell(
        "config.set", b'{"min_confidence":100,"stop_loss_pct":"-0.5","equity_share":0.10}'
    )
    assert event == "command.done"
    assert result == {
        "min_confidence": 100, "stop_loss_pct": "-0.5", "equity_share": "0.10",
        "asset_pairs": ["BTCUSD", "ETHUSD", "SOLUSD"], "autonomous": True,
    }  # fmt: skip
    assert (await paper.status()).config["equity_share"] == Decimal("0.10")
    assert not trades_of(await paper.poll(200)), "nothing is so certain"
    event, reason = await paper.tell("config.set", b'{"min_confidence":50,"leverage":3}')
    assert (event, reason) == (
        "command.failed",
        "unknown setting leverage. Known are: min_confidence, stop_loss_pct, equity_share.",
    )
    assert (await paper.status()).config["min_confidence"] == 100


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("min_confidence", [-1, 101, 55.5, "55", True, None], "a whole number from 0 to 100"),
        ("stop_loss_pct", [0, 1, -101, "soon", "NaN", None, False], "from -100 to below 0"),
        ("equity_share", [0, -1, "1.01", [], "Infinity"], "above 0 and up to 1"),
    ],
)
def test_wrong_settings_are_refused(name: str, values: list[Any], expected: str) -> None:
    """With what was expected, and what was got."""
    for value in values:
        with pytest.raises(CommandFailed, match=f"{name}: expected .*{expected}, got"):
            changed(Config(), {name: value})


def test_a_stop_that_is_set_counts() -> None:
    """In the decisions after it."""
    assert changed(Config(), {"stop_loss_pct": Decimal("-3")}).stop_loss_pct == -3


async def test_another_command_fails(paper: Paper) -> None:
    """It says what it obeys."""
    event, reason = await paper.tell("agent.fly")
    assert event == "command.failed"
    assert "agent.pause" in reason
    assert "position.close" in reason


async def test_a_worker_with_its_agents_commands(valkey: Valkey, desk: Desk) -> None:
    """As `tapecast produce paper` runs them: what a command does is on the channels."""
    source = PaperSource(account="desk-7")
    async with Publisher(valkey.url) as publisher:
        worker = Worker(source, publisher, interval=0.01)
        async with obeying(source.handlers(), publisher, source.agent):
            running = asyncio.create_task(worker.run())
            desk.send("c1", "agent.pause")
            await eventually(lambda: "command.done" in desk.events(), "it is done")

            def status() -> Any:
                found: Any = desk.client.get(keys.state("status:desk-7"))
                return json.loads(found or b"{}")

            await eventually(lambda: status().get("state") == "PAUSED", "its status says so")
            worker.stop()
            await running


async def test_a_source_that_is_no_agent(valkey: Valkey) -> None:
    """Obeys nothing, and asks nobody."""
    async with Publisher(valkey.url) as publisher, obeying(None, publisher, None):
        pass


async def test_an_agent_that_can_not_be_stopped_does_not_go_on(valkey: Valkey, desk: Desk) -> None:
    """Where Redis refuses its commands, the block is cancelled and the reason raised."""
    desk.client.acl_setuser(
        "poor", enabled=True, nopass=True, keys=["*"], channels=["*"], categories=["+@all"],
        commands=["-evalsha"],
    )  # fmt: skip
    source = PaperSource()
    async with asyncio.timeout(DEADLINE_SECONDS):
        async with Publisher(f"unix://poor:x@{valkey.socket}") as publisher:
            with pytest.raises(CommandsRefused) as refused:
                async with obeying(source.handlers(), publisher, source.agent):
                    await asyncio.Event().wait()
    assert isinstance(refused.value, ProducerError)


def test_decisions_are_as_they_were() -> None:
    """Nothing that it was told, nothing that is different: the same seed, the same run."""
    told, untold = (PaperSource(seed=3, run="r", now=lambda: NOW) for _ in range(2))
    told._trader.pause()
    told._trader.resume()

    async def decisions(source: PaperSource) -> list[Decision]:
        readings = [each for _ in range(100) for each in await source.poll()]
        return [each.decision for each in readings if isinstance(each, Decided)]

    assert asyncio.run(decisions(told)) == asyncio.run(decisions(untold))
