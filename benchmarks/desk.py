"""Publishes what a busy desk would: portfolio, positions, decisions and an agent's steps in turn.

    python -m benchmarks.desk --redis URL --rate 1000 --seconds 60

Every call is made when it is due, whether those before it were answered or not, so the rate is what
was asked for. One JSON line says what was published, and what it took.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import subprocess
import sys
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeAlias

import msgspec

from benchmarks.load import ROOT
from benchmarks.producer import Produced
from producers.events import (
    Action,
    Decision,
    Event,
    Mode,
    OodaState,
    Portfolio,
    Side,
    StateTransition,
    TradingPosition,
)
from producers.publisher import Publisher

POSITIONS = 100
MARKED = 3
"""Positions whose price moves at a time."""
TURN_SECONDS = 0.001
"""Between two looks at what is due: a value that waits for the next would be superseded by it."""
REASONING = "Momentum on rising volume, above the upper band; the stop lies below the last swing. "


class Desk:
    """Makes one publish after another. The same numbers make the same desk."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._chance = random.Random(7)
        self._opened_at = datetime.now(UTC)
        self.equity = Decimal("100000.00")
        all_positions = [self._position(n, Decimal(100)) for n in range(POSITIONS)]
        self.rows = {position.id: position for position in all_positions}
        self.decisions = 0

    async def furnish(self) -> None:
        """Publish every position once."""
        await self._publisher.positions(self.rows.values())

    async def publish(self, number: int) -> None:
        """The publish of this number, counted from 0."""
        await (self._portfolio, self._marks, self._decision, self._step)[number % 4]()

    async def _portfolio(self) -> None:
        self.equity += Decimal(self._chance.randrange(-5000, 5001)) / 100
        await self._publisher.portfolio(
            Portfolio(
                balance=Decimal("100000.00"),
                equity=self.equity,
                available=self.equity / 2,
                exposure=self.equity / 2,
                realized_pnl=Decimal(0),
                unrealized_pnl=self.equity - 100_000,
                positions_count=POSITIONS,
                currency="USD",
                platform="paper",
                mode=Mode.PAPER,
            )
        )

    async def _marks(self) -> None:
        numbers = self._chance.sample(range(POSITIONS), MARKED)
        prices = [self._price() for _ in numbers]
        rows = {
            f"p{n:03d}": self._position(n, price) for n, price in zip(numbers, prices, strict=True)
        }
        self.rows |= rows
        await self._publisher.publish("positions", Event.POSITIONS_UPDATE, {"upsert": rows})

    async def _decision(self) -> None:
        self.decisions += 1
        await self._publisher.decision(
            Decision(
                id=f"{self._opened_at.timestamp()}-{self.decisions}",
                asset_pair="BTCUSD",
                action=self._chance.choice(list(Action)),
                confidence=self._chance.randrange(101),
                reasoning=f"{REASONING * 2}Decision {self.decisions}",
                entry_price=Decimal("87305.50"),
                size=Decimal("0.0280"),
                provider="desk",
                timestamp=datetime.now(UTC),
            )
        )

    async def _step(self) -> None:
        step = StateTransition(
            from_state=OodaState.PERCEPTION,
            to_state=OodaState.REASONING,
            reason=f"after decision {self.decisions}",
        )
        await self._publisher.agent_event(Event.STATE_TRANSITION, step)

    def _price(self) -> Decimal:
        return Decimal(self._chance.randrange(9000, 11000)) / 100

    def _position(self, number: int, price: Decimal) -> TradingPosition:
        return TradingPosition(
            id=f"p{number:03d}",
            asset_pair=f"PAIR{number:03d}",
            side=Side.LONG,
            size=Decimal("1.50"),
            entry_price=Decimal(100),
            current_price=price,
            unrealized_pnl=(price - 100) * Decimal("1.50"),
            unrealized_pnl_pct=price - 100,
            margin_used=Decimal("30.00"),
            opened_at=self._opened_at,
        )


async def publish(desk: Desk, rate: float, count: int) -> None:
    """So many publishes, `rate` a second; behind that where this process can't."""
    began = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        done = 0
        while done < count:
            due = min(count, int((time.monotonic() - began) * rate) + 1)
            for number in range(done, due):
                tasks.create_task(desk.publish(number))
            done = due
            await asyncio.sleep(TURN_SECONDS)


Process: TypeAlias = "subprocess.Popen[str]"


def start(redis: str, rate: float, seconds: float) -> Process:
    """Publish in a process of its own, which runs on the caller's cores."""
    command = [sys.executable, "-m", "benchmarks.desk", "--redis", redis]
    command += ["--rate", str(rate), "--seconds", str(seconds)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )


async def produce(redis: str, rate: float, seconds: float) -> Produced:
    """Publish until the seconds are over."""
    async with Publisher(redis, name="desk") as publisher:
        desk = Desk(publisher)
        await desk.furnish()
        stored = publisher.counts["stored"]
        began, cpu_began = time.monotonic(), time.process_time()
        await publish(desk, rate, int(rate * seconds))
        took, cpu = time.monotonic() - began, time.process_time() - cpu_began
        return Produced(publisher.counts["stored"] - stored, took, cpu)


def main() -> None:
    """Read the options, publish, report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--redis", metavar="URL", required=True)
    parser.add_argument("--rate", type=float, required=True, help="publishes a second")
    parser.add_argument("--seconds", type=float, required=True)
    produced = asyncio.run(produce(**vars(parser.parse_args())))
    sys.stdout.write(msgspec.json.encode(produced).decode() + "\n")


if __name__ == "__main__":
    main()
