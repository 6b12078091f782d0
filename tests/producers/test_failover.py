"""A primary that is killed and a replica that lacked its last entries, both real, behind one
address: what was acknowledged is there again, once, and dashboards hear of the reset."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from hub.client import Client, Reset, Snapshot, Update
from hub.protocol import keys
from hub.protocol.scripts import ANSWERS_KEPT
from producers.answers import Outcome
from producers.link import Timing
from producers.publisher import Publisher
from tests.producers.redis_view import command, envelopes, eventually, history
from tests.support.livehub import LiveHub, token
from tests.support.relay import Relay
from tests.support.valkey import Valkey

QUICK = Timing(
    connect_seconds=1.0,
    answer_seconds=1.0,
    check_idle_seconds=0.05,
    longest_pause_seconds=0.1,
    drain_seconds=20.0,
)


class Pair:
    """A primary and its replica. relay: the address of the one that is used."""

    def __init__(self, primary: Valkey, replica: Valkey, relay: Relay, replication: Relay) -> None:
        self.primary = primary
        self.replica = replica
        self.relay = relay
        self._replication = replication

    async def replicate(self) -> None:
        """Let the replica catch up with the primary; it follows from then on."""
        async with Redis.from_url(self.replica.url) as link:
            await link.replicaof("127.0.0.1", self._replication.port)
        await eventually(self.in_step, "a replica that has everything")

    def in_step(self) -> bool:
        """Whether the replica has all that the primary has."""
        of_primary, of_replica = (
            command(each, "INFO", "replication") for each in (self.primary, self.replica)
        )
        is_linked = of_replica.get("master_link_status") == "up"
        offset = of_replica.get("slave_repl_offset")
        return is_linked and bool(offset == of_primary["master_repl_offset"])

    def part(self) -> None:
        """Let the replica get nothing any more."""
        self._replication.cut()

    def fail_over(self) -> None:
        """Kill the primary, promote the replica, and lead everybody there."""
        self.primary.kill()
        command(self.replica, "REPLICAOF", "NO", "ONE")
        self.relay.turn_to(self.replica)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    """Two servers that have nothing yet, in step."""
    # By default a primary waits for more replicas before it sends what it has.
    at_once: dict[str, Any] = {"repl-diskless-sync-delay": 0}
    with Valkey(**at_once) as primary, Valkey(**at_once) as replica:
        async with Relay(primary) as relay, Relay(primary) as replication:
            pair = Pair(primary, replica, relay, replication)
            await pair.replicate()
            yield pair


def numbers(valkey: Valkey, channel: str = "log") -> list[int]:
    return [data["n"] for _event, data in history(valkey, channel)]


def rows(valkey: Valkey, channel: str = "positions") -> dict[str, Any]:
    found = command(valkey, "HGETALL", keys.state(channel))
    return {key.decode(): json.loads(row) for key, row in found.items()}


async def publish_log(publisher: Publisher, *numbers: int) -> None:
    calls = [publisher.publish("log", "entry", {"n": n}, wait=True) for n in numbers]
    for answer in await asyncio.gather(*calls):
        assert answer.outcome is Outcome.STORED


async def test_what_was_acknowledged_is_there_again_once(pair: Pair) -> None:
    """All of it: entries that the replica lacked, in order and none of the others twice; values
    and tables as they were last. Nothing had to be published for that."""
    async with Publisher(pair.relay.url, timing=QUICK) as publisher:
        await publish_log(publisher, *range(300))
        await publisher.publish("status", "status", {"n": 1})
        await publisher.publish("positions", "positions_update", {"rows": {"a": 1, "b": 2}})
        await eventually(pair.in_step, "a replica that has everything")
        pair.part()
        await publish_log(publisher, *range(300, 900))
        await publisher.publish("status", "status", {"n": 2})
        patch = {"upsert": {"c": 3}, "delete": ["a"]}
        await publisher.publish("positions", "positions_update", patch)
        pair.fail_over()
        assert numbers(pair.replica) == list(range(300))
        await eventually(lambda: publisher.counts["again"] == 602, "all that was lost")
        await publish_log(publisher, 900)
    assert numbers(pair.replica) == list(range(901))
    assert numbers(pair.replica, "status") == [1, 2]
    assert rows(pair.replica) == {"b": 2, "c": 3}


async def test_dashboards_are_told_of_the_reset(pair: Pair) -> None:
    """A hub at the same address says that history was lost, then shows what is published again."""
    async with (
        LiveHub(redis_url=pair.relay.url, idle_check_seconds=0.2) as live,
        Client(live.url, token(), max_delay_seconds=0.05) as client,
        Publisher(pair.relay.url, timing=QUICK) as publisher,
    ):
        log, status = client.subscribe("log"), client.subscribe("status")
        await publish_log(publisher, *range(10))
        await publisher.publish("status", "status", {"n": 1})
        await eventually(pair.in_step, "a replica that has everything")
        pair.part()
        await publish_log(publisher, *range(10, 20))
        await publisher.publish("status", "status", {"n": 2})
        seen = []
        async with asyncio.timeout(20):
            while 19 not in seen:
                seen += _numbers_in(await anext(log))
            while _numbers_in(await anext(status)) != [2]:
                pass
        pair.fail_over()
        after: list[int] = []
        resets = 0
        async with asyncio.timeout(20):
            while 19 not in after:
                frame = await anext(log)
                if isinstance(frame, Reset):
                    after.clear()
                    resets += 1
                after += _numbers_in(frame)
            assert resets >= 1
            while not isinstance(await anext(status), Reset):
                pass
            while _numbers_in(await anext(status)) != [2]:
                pass
    assert seen == after == list(range(20))


def _numbers_in(frame: object) -> list[int]:
    if isinstance(frame, Snapshot):
        data: Any = frame.data
        if isinstance(data, dict) and "entries" in data:
            return [entry["data"]["n"] for entry in data["entries"]]
        return [data["n"]] if isinstance(data, dict) else []
    if isinstance(frame, Update):
        data = frame.data
        return [data["n"]]
    return []


async def test_more_than_redis_remembers(pair: Pair) -> None:
    """Of far more entries than Redis remembers answers, those that the replica has are not stored
    twice."""
    count = 4 * ANSWERS_KEPT
    async with Publisher(pair.relay.url, timing=QUICK) as publisher:
        await publish_log(publisher, *range(count))
        await eventually(pair.in_step, "a replica that has everything")
        pair.part()
        await publish_log(publisher, *range(count, 2 * count))
        pair.fail_over()
        await eventually(lambda: publisher.counts["again"] == count, "all that was lost")
    assert numbers(pair.replica) == list(range(2 * count))


async def test_in_the_middle_of_publishing(pair: Pair) -> None:
    """What was under way when the primary died comes after what it had acknowledged."""
    async with Publisher(pair.relay.url, timing=QUICK) as publisher:
        await publish_log(publisher, *range(100))
        await eventually(pair.in_step, "a replica that has everything")
        pair.part()
        await publish_log(publisher, *range(100, 200))
        pair.primary.freeze()
        under_way = asyncio.create_task(publish_log(publisher, *range(200, 600)))
        await asyncio.sleep(0)
        pair.fail_over()
        await under_way
    assert numbers(pair.replica) == list(range(600))


async def test_a_replica_with_a_history_of_its_own(pair: Pair) -> None:
    """One that was promoted before the primary died, and took the publishes of others: theirs stay,
    and ours come after them."""
    async with (
        Publisher(pair.relay.url, timing=QUICK) as ours,
        Publisher(pair.replica.url, timing=QUICK) as theirs,
    ):
        await publish_log(ours, 0, 1, 2)
        await eventually(pair.in_step, "a replica that has everything")
        pair.part()
        await publish_log(ours, 3, 4, 5, 6)
        command(pair.replica, "REPLICAOF", "NO", "ONE")
        await publish_log(theirs, *range(100, 110))
        pair.fail_over()
        await eventually(lambda: ours.counts["again"] == 4, "all that was lost")
    assert numbers(pair.replica) == [0, 1, 2, *range(100, 110), 3, 4, 5, 6]


async def test_everything_lost(pair: Pair) -> None:
    """A server that has nothing gets it all, in a history that begins anew."""
    async with Publisher(pair.relay.url, timing=QUICK) as publisher:
        await publish_log(publisher, *range(100))
        await publisher.publish("status", "status", {"n": 1}, lease=30)
        for n in range(3):
            await publisher.publish("keyed", "entry", {"n": n}, key=str(n))
        pair.part()
        command(pair.replica, "REPLICAOF", "NO", "ONE")
        command(pair.replica, "FLUSHALL")
        pair.fail_over()
        await eventually(lambda: publisher.counts["again"] == 104, "all of it")
        same = await publisher.publish("keyed", "entry", {"n": 2}, key="2", wait=True)
    assert numbers(pair.replica) == list(range(100))
    assert numbers(pair.replica, "keyed") == [0, 1, 2]
    assert same.receipt is not None
    assert same.receipt.unchanged
    assert command(pair.replica, "HGET", keys.meta("status"), "lease") == b"30000"


async def test_a_second_failover_in_the_middle(pair: Pair) -> None:
    """Back to the first server, which lost its memory, while things are published again."""
    async with Publisher(pair.relay.url, timing=QUICK) as publisher:
        await publish_log(publisher, *range(2_000))
        pair.part()
        command(pair.replica, "REPLICAOF", "NO", "ONE")
        command(pair.replica, "FLUSHALL")
        pair.fail_over()
        await eventually(lambda: numbers(pair.replica) != [], "something published again")
        await asyncio.to_thread(pair.primary.start)
        pair.relay.turn_to(pair.primary)
        pair.replica.kill()
        await eventually(lambda: len(numbers(pair.primary)) == 2_000, "all of it")
    assert numbers(pair.primary) == list(range(2_000))


@pytest.mark.parametrize("lost", ["FLUSHALL", "DEL"])
async def test_history_that_vanishes_behind_an_open_link(valkey: Valkey, lost: str) -> None:
    """Where no link broke, the next answer shows that history was lost; what came before is
    published again after it."""
    timing = Timing(check_idle_seconds=60.0)
    async with Publisher(valkey.url, timing=timing) as publisher:
        await publish_log(publisher, *range(5))
        await publisher.publish("positions", "positions_update", {"rows": {"a": 1}})
        channels = ("log", "positions")
        names = [each(channel) for channel in channels for each in (keys.meta, keys.log)]
        command(valkey, lost, *(names if lost == "DEL" else ()))
        await publish_log(publisher, 5)
        await publisher.publish("positions", "positions_update", {"upsert": {"b": 2}})
        await publisher.flush()
        await eventually(lambda: len(envelopes(valkey, "log")) == 6, "the others")
        await eventually(lambda: len(rows(valkey)) == 2, "the rows")
    assert sorted(numbers(valkey)) == list(range(6))
    assert rows(valkey) == {"a": 1, "b": 2}


async def test_a_demotion_that_breaks_no_link(pair: Pair) -> None:
    """The server at the same link becomes a replica of one that lacks entries, and is promoted
    again: it says READONLY in between, which is reason enough to ask."""
    async with Publisher(pair.relay.url, timing=QUICK) as publisher:
        await publish_log(publisher, *range(50))
        await eventually(pair.in_step, "a replica that has everything")
        pair.part()
        await publish_log(publisher, *range(50, 100))
        command(pair.replica, "REPLICAOF", "NO", "ONE")
        async with Relay(pair.replica) as back:
            command(pair.primary, "REPLICAOF", "127.0.0.1", str(back.port))
            waiting = asyncio.create_task(publish_log(publisher, 100))
            await eventually(lambda: numbers(pair.primary) == list(range(50)), "older data")
            await eventually(lambda: publisher.is_away, "a publish that is refused for now")
            command(pair.primary, "REPLICAOF", "NO", "ONE")
            await waiting
    assert numbers(pair.primary) == list(range(101))


async def test_replicas_are_waited_for(pair: Pair) -> None:
    """With `replicas`, the answer says whether so many have it; with none there in time, that it
    is stored."""
    async with Publisher(pair.relay.url, timing=QUICK) as publisher:
        plain, replicated = await asyncio.gather(
            publisher.publish("log", "entry", {"n": 0}, replica_timeout_ms=10_000),
            publisher.publish("log", "entry", {"n": 1}, replicas=1, replica_timeout_ms=10_000),
        )
        in_vain = await publisher.publish(
            "log", "entry", {"n": 2}, replicas=2, replica_timeout_ms=20
        )
        pair.part()
        parted = await publisher.publish("log", "entry", {"n": 3}, replicas=1)
    answers = [plain, replicated, in_vain, parted]
    assert [answer.outcome.value for answer in answers] == [
        "stored",
        "replicated",
        "stored",
        "stored",
    ]
    assert [answer.position.seq for answer in answers if answer.position] == [1, 2, 3, 4]


async def test_a_link_that_breaks_while_replicas_are_waited_for(pair: Pair) -> None:
    """The publish is stored all the same, and its caller is told so."""
    async with Publisher(pair.relay.url, timing=QUICK) as publisher:
        await publish_log(publisher, 0)
        pair.part()
        waiting = asyncio.create_task(
            publisher.publish("log", "entry", {"n": 1}, replicas=1, replica_timeout_ms=60_000)
        )
        await eventually(lambda: len(numbers(pair.primary)) == 2, "the publish")
        pair.relay.turn_to(pair.primary)
        assert (await waiting).outcome is Outcome.STORED
        await publish_log(publisher, 2)
    assert numbers(pair.primary) == [0, 1, 2]


@pytest.mark.parametrize("wrong", [{"replicas": -1}, {"replica_timeout_ms": 0}, {"wait": -0.5}])
async def test_options_that_make_no_sense(valkey: Valkey, wrong: dict[str, Any]) -> None:
    """They are refused, with what was expected."""
    async with Publisher(valkey.url) as publisher:
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}.*expected"):
            await publisher.publish("log", "entry", 1, **wrong)
