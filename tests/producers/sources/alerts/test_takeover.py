"""`tapecast produce alerts` as several processes: killed, frozen, stopped."""

from __future__ import annotations

import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from redis import Redis

from hub.protocol import keys
from producers.publisher import Publisher
from tests.cli.conftest import Command
from tests.producers.payloads import portfolio
from tests.producers.redis_view import history
from tests.support.processes import DEADLINE_SECONDS, wait_until
from tests.support.valkey import Valkey

RULES = """
[sources.alerts]
lease_seconds = 0.5

[sources.alerts.rules.low]
watch = "field"
channel = "portfolio"
field = "equity"
op = "<"
limit = 1000
"""
LOW = ("low", "firing")


class Shift:
    """Processes with the same rules, of which one is active."""

    def __init__(self, valkey: Valkey, folder: Path) -> None:
        self._valkey = valkey
        self._file = folder / "tapecast.toml"
        self._file.write_text(RULES)
        self.holders: set[str] = set()

    @contextmanager
    def process(self) -> Iterator[subprocess.Popen[str]]:
        """One more, for the length of the block, unless it ended before."""
        environ = {"XDG_RUNTIME_DIR": str(self._valkey.folder)}
        command = Command({**environ, "TAPECAST_REDIS_URL": self._valkey.url})
        arguments = ("produce", "alerts", "--config", str(self._file), "--quiet")
        with command.start(*arguments) as process:
            try:
                yield process
            finally:
                process.kill()

    def holder(self) -> str:
        """Whose token is in the lease, "" for nobody's."""
        with Redis.from_url(self._valkey.url, decode_responses=True) as redis:
            found = str(redis.get(keys.rules_lease("alerts", "alerts")) or "")
        if found:
            self.holders.add(found)
        return found

    def until_held(self) -> str:
        """Return when one is active."""
        wait_until(lambda: bool(self.holder()), "somebody who is active")
        return self.holder()

    def told(self) -> list[tuple[str, Any]]:
        """What was published, as state and value, in order."""
        return [(data["state"], data["value"]) for _, data in history(self._valkey, "alerts")]

    def until_told(self, count: int) -> None:
        """Return when so many alerts are published."""
        wait_until(lambda: len(self.told()) >= count, f"{count} alerts")


async def publish(publisher: Publisher, *equities: int) -> None:
    """Publish an account with each of these in turn."""
    for equity in equities:
        account = portfolio(equity=Decimal(equity))
        await publisher.portfolio(account, lease=600, wait=True)


async def test_killed_at_random_each_incident_is_published_once(
    valkey: Valkey, tmp_path: Path
) -> None:
    """kill -9 at any of 300 incidents, with others that wait: each begins and ends once."""
    chance = random.Random(7)
    shift = Shift(valkey, tmp_path)
    expected: list[tuple[str, Any]] = []
    with ExitStack() as stack:
        processes = [stack.enter_context(shift.process()) for _ in range(2)]
        shift.until_held()
        async with Publisher(valkey.url) as publisher:
            for turn in range(10):
                for n in range(30):
                    low = 30 * turn + n
                    await publish(publisher, low, 2000 + low)
                    expected += [("firing", str(low)), ("resolved", str(2000 + low))]
                    if n == 10:
                        shift.holder()
                        killed = processes.pop(chance.randrange(2))
                        killed.kill()
                        killed.wait()
                        processes.append(stack.enter_context(shift.process()))
                if turn % 3 == 0:
                    # Now and then all is done, and somebody is killed who has nothing to do.
                    shift.until_told(len(expected))
        shift.until_told(len(expected))
    assert shift.told() == expected
    incidents = [data["incident"] for _, data in history(valkey, "alerts")]
    assert incidents[::2] == incidents[1::2]
    assert len(set(incidents)) == 300
    # It was the active one more than once.
    assert len(shift.holders) > 2


async def test_one_that_was_frozen_doubles_nothing(valkey: Valkey, tmp_path: Path) -> None:
    """SIGSTOP, another goes on, SIGCONT: what the first saw meanwhile is not its to tell."""
    shift = Shift(valkey, tmp_path)
    expected: list[tuple[str, Any]] = []
    with shift.process() as first:
        before = shift.until_held()
        async with Publisher(valkey.url) as publisher:
            await publish(publisher, 1)
            expected += [("firing", "1")]
            shift.until_told(1)
            first.send_signal(signal.SIGSTOP)
            await publish(publisher, 2001, 2)
            expected += [("resolved", "2001"), ("firing", "2")]
            with shift.process() as second:
                wait_until(lambda: shift.holder() not in ("", before), "another that is active")
                shift.until_told(3)
                first.send_signal(signal.SIGCONT)
                await publish(publisher, 2002)
                expected += [("resolved", "2002")]
                shift.until_told(4)
                # Stopped, it lets the other take over at once.
                second.send_signal(signal.SIGTERM)
                assert second.wait(timeout=DEADLINE_SECONDS) == 0
            wait_until(lambda: shift.holder() == before, "the first that is active again")
            await publish(publisher, 3)
            expected += [("firing", "3")]
            shift.until_told(5)
    assert shift.told() == expected


async def test_who_waits_says_so_elsewhere(valkey: Valkey, tmp_path: Path) -> None:
    """The health of the active one is not written over by others that wait."""
    shift = Shift(valkey, tmp_path)
    with shift.process():
        shift.until_held()
        with shift.process():
            wait_until(lambda: bool(history(valkey, "health:alerts.standby")), "one that waits")
            components = history(valkey, "health:alerts")[-1][1]["components"]
            assert components.keys() == {"rules", "source"}
