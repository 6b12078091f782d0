"""Exact delivery through the Python client: what an application iterates over is the truth."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from hub.client import Client, Frame, Recovered, Reset, Snapshot, Subscription, Update
from tests.exact.checker import Follower, Tape, Truth, decode_text, followers
from tests.exact.dashboards import wait
from tests.exact.load import CHANNELS, LOGS
from tests.exact.rig import Fault, Rig, Size, rig
from tests.exact.test_scenarios import cut_links, kill_hub, kill_valkey
from tests.support.brokers import eventually
from tests.support.valkey import Valkey

pytestmark = pytest.mark.exact

FULL = Size(10, 0, 30.0, 500.0, stay=10.0, away=4.0)
SHORT = Size(3, 0, 4.0, 100.0, stay=1.5, away=0.5)


class Application:
    """Follows every channel with a client that it closes and opens again, at random."""

    def __init__(self, number: int, rig: Rig, tapes: Mapping[str, Tape], breaches: list[str]):
        self._rig = rig
        self._random = random.Random(number)
        self._urls = [*rig.socket_urls[number % 2 :], *rig.socket_urls[: number % 2]]
        self._breaches = breaches
        self._followers = followers(CHANNELS, tapes, breaches.append)
        self._subscriptions: dict[str, Subscription] = {}
        self.recovered = 0

    @property
    def delivered(self) -> int:
        """Updates that it took."""
        return sum(follower.delivered for follower in self._followers)

    async def live(self, end: asyncio.Event, truths: Mapping[str, Truth]) -> None:
        """Come and go until the end, then stay until `truths` are reached."""
        last = False
        while not last:
            last = end.is_set()
            async with Client(self._urls, self._rig.token) as client, asyncio.TaskGroup() as tasks:
                readers = [tasks.create_task(self._read(client, each)) for each in self._followers]
                if last:
                    await eventually(lambda: self._reached(truths), "the producers' heads")
                else:
                    await wait(end, self._random.uniform(0, self._rig.size.stay))
                for reader in readers:
                    reader.cancel()
            await wait(end, self._random.uniform(0, self._rig.size.away))
        for follower in self._followers:
            follower.compare(truths[follower.channel])

    async def _read(self, client: Client, follower: Follower) -> None:
        channel = follower.channel
        before = self._subscriptions.get(channel)
        since = None if before is None else before.position
        subscription = self._subscriptions[channel] = client.subscribe(channel, since=since)
        follower.leave()
        follower.ask()
        async for frame in subscription:
            self._take(follower, frame)

    def _take(self, follower: Follower, frame: Frame) -> None:
        match frame:
            case Recovered():
                # Also where the client reconnected by itself, and asked for what was missed.
                self.recovered += 1
                follower.leave()
                follower.ask()
                follower.answer(recovered=True)
            case Snapshot():
                if not follower.following:
                    follower.answer(recovered=False)
                follower.take(decode_text(frame.text))
            case Update():
                follower.take(decode_text(frame.text))
            case Reset():
                follower.breach(f"{frame}")

    def _reached(self, truths: Mapping[str, Truth]) -> bool:
        return all(each.position == truths[each.channel].head for each in self._followers)


@pytest.mark.parametrize(
    ("scenario", "fault"),
    [
        pytest.param("Valkey killed and back", kill_valkey, id="valkey-killed"),
        pytest.param("pub/sub links cut every 2 s", cut_links, id="links-cut"),
        pytest.param("hub killed, one left", kill_hub, id="hub-killed"),
    ],
)
async def test_what_the_client_yields_is_exact(
    scenario: str,
    fault: Fault,
    full_size: bool,
    durable_valkey: Valkey,
    tmp_path: Path,
    tell: Callable[..., None],
) -> None:
    """An application reads each entry once, over clients and hubs that come and go."""
    breaches: list[str] = []
    tapes = {channel: Tape(channel) for channel in LOGS}
    end, truths = asyncio.Event(), dict[str, Truth]()
    async with rig(durable_valkey, FULL if full_size else SHORT, tmp_path, hubs=2) as running:
        applications = [
            Application(number, running, tapes, breaches) for number in range(running.size.clients)
        ]
        async with asyncio.TaskGroup() as tasks:
            for application in applications:
                tasks.create_task(application.live(end, truths))
            ledger = await running.publish_through(fault)
            truths.update(ledger.truths())
            end.set()
    for channel, tape in tapes.items():
        tape.compare(truths[channel], breaches.append)
    recovered = sum(application.recovered for application in applications)
    tell(
        scenario=f"client: {scenario}",
        entries=sum(map(len, ledger.entries.values())),
        deliveries=sum(application.delivered for application in applications),
        recovered=recovered,
        breaches=len(breaches),
    )
    assert breaches == []
    assert recovered > len(applications)
