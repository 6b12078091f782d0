"""Exact delivery: real hubs, producers, Valkey and clients, and what can befall them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from redis.asyncio import Redis

from tests.exact.dashboards import LOST
from tests.exact.rig import FULL, SHORT, Fault, Outcome, Rig, Size, rig
from tests.support.valkey import Valkey

pytestmark = pytest.mark.exact

FROZEN_SECONDS = 6.0
"""Longer than a hub and a producer wait for an answer."""


@pytest.fixture
def size(full_size: bool) -> Size:
    """How large the scenarios are."""
    return FULL if full_size else SHORT


async def nothing(rig: Rig) -> None:
    """All is well."""


async def kill_valkey(rig: Rig) -> None:
    """Killed in the middle, and started again on what it had written."""
    await asyncio.sleep(rig.size.seconds / 2)
    rig.valkey.kill()
    await asyncio.sleep(1.0)
    await asyncio.to_thread(rig.valkey.start)


async def cut_links(rig: Rig) -> None:
    """Every 2 s all pub/sub links are cut, those of two hubs in the short scenario too."""
    cut = 0
    async with Redis.from_url(rig.valkey.url) as link:
        for _ in range(int(rig.size.seconds // 2)):
            await asyncio.sleep(2.0)
            cut += await link.client_kill_filter(_type="pubsub")
    assert cut >= rig.size.seconds // 2


async def freeze_valkey(rig: Rig) -> None:
    """Stopped in the middle: every link stays open and nothing is answered."""
    await asyncio.sleep(rig.size.seconds / 2)
    rig.valkey.freeze()
    await asyncio.sleep(FROZEN_SECONDS)
    rig.valkey.thaw()
    await asyncio.sleep(rig.size.seconds / 2)


async def kill_hub(rig: Rig) -> None:
    """One of the hubs is killed in the middle, and never comes back."""
    await asyncio.sleep(rig.size.seconds / 2)
    rig.hubs[0].kill()


async def kill_worker(rig: Rig) -> None:
    """One of the hub's workers is killed in the middle, and replaced."""
    await asyncio.sleep(rig.size.seconds / 2)
    os.kill(rig.hubs[0].workers()[0], signal.SIGKILL)


def cells(outcome: Outcome) -> dict[str, str | int]:
    """What the summary says of it."""
    report = outcome.report
    return {
        "entries": outcome.published,
        "deliveries": report.deliveries,
        "joins": report.joins,
        "resumes": report.resumes,
        "recovered": report.recovered,
        "silence": f"{report.silence_seconds:.2f} s",
        "closes": ", ".join(f"{n} x {code}" for code, n in report.closes.items()) or 0,
        "breaches": report.breach_count,
    }


@pytest.mark.parametrize(
    ("scenario", "fault"),
    [
        pytest.param("calm", nothing, id="calm"),
        pytest.param("Valkey killed and back", kill_valkey, id="valkey-killed"),
        pytest.param("pub/sub links cut every 2 s", cut_links, id="links-cut"),
        pytest.param("Valkey frozen for 6 s", freeze_valkey, id="valkey-frozen"),
    ],
)
async def test_delivery_is_exact_and_no_socket_closes(
    scenario: str,
    fault: Fault,
    size: Size,
    durable_valkey: Valkey,
    tmp_path: Path,
    tell: Callable[..., None],
) -> None:
    """Clients that come and go get every entry once, in order, whatever becomes of Valkey."""
    async with rig(durable_valkey, size, tmp_path) as running:
        outcome = await running.run(fault)
    report = outcome.report
    tell(scenario=scenario, **cells(outcome))
    assert report.breach_count == 0, "\n".join(report.breaches)
    assert report.closes == {}
    # A resume that its client did not wait for, and no other, was not answered.
    assert size.clients < report.recovered <= report.resumes


async def test_clients_of_a_killed_hub_go_on_exactly_at_another(
    size: Size, durable_valkey: Valkey, tmp_path: Path, tell: Callable[..., None]
) -> None:
    """What a client saw at one hub is a position that every other hub resumes from."""
    async with rig(durable_valkey, size, tmp_path, hubs=2) as running:
        outcome = await running.run(kill_hub)
    report = outcome.report
    tell(scenario="hub killed, one left", **cells(outcome))
    assert report.breach_count == 0, "\n".join(report.breaches)
    # They hear it from their links, and no client of the other hub is closed.
    assert set(report.closes) == {LOST}
    assert report.closes[LOST] <= size.clients
    assert size.clients < report.recovered <= report.resumes


@pytest.mark.skipif(sys.platform != "linux", reason="workers are found in /proc")
async def test_clients_of_a_killed_worker_go_on_exactly_at_the_others(
    size: Size, durable_valkey: Valkey, tmp_path: Path, tell: Callable[..., None]
) -> None:
    """They come back to the same address, to another worker or to the one that replaces theirs."""
    # A worker that has just started knows the last changes of a value or a table. Who was away for
    # longer gets its state anew, which is right, and not what this is about.
    size = msgspec.structs.replace(size, away=min(size.away, 3.0))
    async with rig(durable_valkey, size, tmp_path, workers=2) as running:
        before = set(running.hubs[0].workers())
        outcome = await running.run(kill_worker)
        after = set(running.hubs[0].workers())
    report = outcome.report
    tell(scenario="one of two workers killed", **cells(outcome))
    assert (len(before), len(after), len(before & after)) == (2, 2, 1)
    assert report.breach_count == 0, "\n".join(report.breaches)
    assert set(report.closes) <= {LOST}
    assert report.closes.get(LOST, 0) <= size.clients
    assert size.clients < report.recovered <= report.resumes
