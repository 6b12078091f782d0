"""`tapecast produce alerts` as several processes: killed, frozen, stopped."""

from __future__ import annotations

import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from redis import Redis

from hub.protocol import keys
from producers.publisher import Publisher
from tests.cli.conftest import Command
from tests.producers.payloads import portfolio
from tests.producers.redis_view import eventually, history
from tests.producers.sources.alerts.sinks.test_webhook import Receiver
from tests.support.processes import DEADLINE_SECONDS, wait_until
from tests.support.valkey import Valkey
from tests.support.web import serving

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
SINK = """
[sources.alerts.sinks.desk]
kind = "webhook"
url = "{url}"
"""


class Shift:
    """Processes with the same rules, of which one is active."""

    def __init__(self, valkey: Valkey, folder: Path, sinks: str = "") -> None:
        self._valkey = valkey
        self._file = folder / "tapecast.toml"
        self._file.write_text(RULES + sinks)

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
            return str(redis.get(keys.rules_lease("alerts", "alerts")) or "")

    def until_held(self, other_than: str = "") -> str:
        """Return when one is active, another than that."""
        wait_until(lambda: self.holder() not in ("", other_than), "somebody who is active")
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
    """kill -9 at 8 places of 200 incidents, each time the active one: all begin and end once, and
    all are delivered, in order and at least once."""
    chance = random.Random(7)
    expected: list[tuple[str, Any]] = []
    receiver = Receiver()
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(serving(receiver.app))
        shift = Shift(valkey, tmp_path, SINK.format(url=url))
        active = stack.enter_context(shift.process())
        holder = shift.until_held()
        async with Publisher(valkey.url) as publisher:
            for turn in range(8):
                waiting = stack.enter_context(shift.process())
                killed_at = chance.randrange(25)
                for n in range(25):
                    low = 25 * turn + n
                    await publish(publisher, low, 2000 + low)
                    expected += [("firing", str(low)), ("resolved", str(2000 + low))]
                    if n == killed_at:
                        active.kill()
                        active.wait()
                if turn % 4 == 0:
                    # Now and then all is done, and somebody is killed who has nothing to do.
                    shift.until_told(len(expected))
                shift.until_held(other_than=holder)
                active, holder = waiting, shift.holder()
        shift.until_told(len(expected))

        def delivered() -> list[tuple[str, Any]]:
            """What came, without what came again under the same id."""
            once = {body["id"]: (body["state"], body["value"]) for _, body in receiver.posts}
            return list(once.values())

        await eventually(lambda: len(delivered()) >= len(expected), "every delivery")
        assert delivered() == expected
    assert shift.told() == expected
    incidents = [data["incident"] for _, data in history(valkey, "alerts")]
    assert incidents[::2] == incidents[1::2]
    assert len(set(incidents)) == 200


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
                shift.until_held(other_than=before)
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
