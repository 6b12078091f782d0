"""Workers of an inlet, on a real Valkey."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import pytest
import redis.asyncio

from hub.broker.inlet import InletWorker
from hub.broker.redis import RedisBroker
from hub.protocol.inlet import (
    CONSUMER,
    PASS_ON,
    Buried,
    Fate,
    InletEntry,
    InletKeys,
    parse_passed_on,
    pass_on_call,
    take_call,
)
from hub.protocol.publication import Publication, Receipt, SetValue
from hub.protocol.streams import KNOWN, Kind, Stream
from tests.support.brokers import DEADLINE_SECONDS, eventually
from tests.support.valkey import Valkey

Redis: TypeAlias = Any
"""redis-py's own types leave open whether answers are bytes, and whether they are awaited."""

KEYS = InletKeys("tapecast:inlet", "tapecast")
STREAMS = {**KNOWN, "orders": Stream(Kind.TABLE)}


@pytest.fixture
async def link(valkey: Valkey) -> AsyncIterator[Redis]:
    """A client as another language would have one."""
    async with redis.asyncio.Redis.from_url(valkey.url, decode_responses=True) as link:
        yield link


class Running:
    """A worker in this test's loop, and what it said."""

    def __init__(self, valkey: Valkey, lease_ms: int, keys: InletKeys) -> None:
        self.keys = keys
        self.broker = RedisBroker(valkey.url, streams=STREAMS)
        self.buried: list[tuple[str, str]] = []
        self.told: list[str] = []
        self.worker = InletWorker(
            self.broker, keys, STREAMS,
            buried=lambda id, reason: self.buried.append((id, reason)),
            told=self.told.append, lease_ms=lease_ms,
        )  # fmt: skip
        self.task = asyncio.create_task(self.worker.run())

    async def stop(self) -> None:
        self.worker.stop()
        await self.task
        await self.broker.disconnect()

    async def die(self) -> None:
        """As kill -9 would end it: the lease is not given up."""
        self.task.cancel()
        await asyncio.wait([self.task])
        await self.broker.disconnect()


@asynccontextmanager
async def running(
    valkey: Valkey, lease_ms: int = 5_000, keys: InletKeys = KEYS
) -> AsyncIterator[Running]:
    """A worker for the length of the block, unless it died before."""
    worker = Running(valkey, lease_ms, keys)
    try:
        yield worker
    finally:
        if not worker.task.done():
            await worker.stop()


async def add(link: Redis, channel: str, data: Any, event: str = "e", **more: str) -> str:
    """Add an entry; its id."""
    fields = {"channel": channel, "event": event, "data": json.dumps(data), **more}
    id: str = await link.xadd(KEYS.inlet, fields)
    return id


async def published(link: Redis, channel: str) -> list[Any]:
    """The data of a channel's entries."""
    found = await link.xrange(f"tapecast:{{{channel}}}:log")
    return [json.loads(fields["e"])["data"] for _, fields in found]


async def idle(worker: Running, link: Redis) -> None:
    """Return when all that was added has been dealt with."""

    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            groups = await link.xinfo_groups(worker.keys.inlet)
            if groups and all(group["lag"] == 0 == group["pending"] for group in groups):
                return
            await asyncio.sleep(0.01)


async def emptied(link: Redis) -> None:
    """Return when nothing is left in the inlet."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            if await link.xlen(KEYS.inlet) == 0:
                return
            await asyncio.sleep(0.01)


async def test_entries_of_every_kind_are_published_in_order(valkey: Valkey, link: Redis) -> None:
    """What was there before the worker came, and what comes later; then the stream is empty."""
    for n in range(300):
        await add(link, "decisions", {"n": n}, "decision_made")
    async with running(valkey) as worker:
        await idle(worker, link)
        await add(link, "portfolio", {"equity": "10.10"})
        await add(link, "portfolio", {"equity": "10.10"})
        await add(link, "orders", {"upsert": {"o-1": {"size": "1.0"}}})
        for n in range(300, 600):
            await add(link, "decisions", {"n": n}, "decision_made")
        await idle(worker, link)
        await emptied(link)
    assert await published(link, "decisions") == [{"n": n} for n in range(600)]
    assert await link.get("tapecast:{portfolio}:state") == '{"equity":"10.10"}'
    assert await link.hgetall("tapecast:{orders}:state") == {"o-1": '{"size":"1.0"}'}
    counts = worker.worker.counts
    assert (counts.published, counts.unchanged, counts.buried) == (602, 1, 0)


async def test_inlets_may_have_entries_of_the_same_id(valkey: Valkey, link: Redis) -> None:
    """As those have that are added in the same millisecond, or to an inlet that was deleted; such
    an entry used to be taken for the other one, and was lost."""
    other = InletKeys("orders:inlet", KEYS.group)
    async with running(valkey) as one, running(valkey, keys=other) as two:
        for worker in (one, two):
            fields = {"channel": "news", "event": "e", "data": f'"{worker.keys.inlet}"'}
            await link.xadd(worker.keys.inlet, fields, id="7-0")
            await idle(worker, link)
        await link.delete(KEYS.inlet)
        await link.xadd(KEYS.inlet, fields | {"data": '"anew"'}, id="7-0")
        await eventually(lambda: one.worker.counts.published == 2, "the inlet to be made anew")
    assert await published(link, "news") == [KEYS.inlet, other.inlet, "anew"]


async def test_an_entry_that_was_added_twice_is_published_once(valkey: Valkey, link: Redis) -> None:
    """By the id that it gave itself, also over a restart; a key acts as in any publish."""
    async with running(valkey) as worker:
        for _ in range(2):
            await add(link, "decisions", 1, id="d-1")
        await idle(worker, link)
    async with running(valkey) as worker:
        await add(link, "decisions", 2, id="d-1")
        await add(link, "decisions", 3, id="d-2")
        for _ in range(2):
            await add(link, "decisions", 4, key="k")
        await idle(worker, link)
    assert await published(link, "decisions") == [1, 3, 4]
    assert (worker.worker.counts.known, worker.worker.counts.unchanged) == (1, 1)


async def test_bad_entries_are_buried_with_the_reason(valkey: Valkey, link: Redis) -> None:
    """They are reported, kept with their fields, and hold nobody up."""
    await link.set("tapecast:{broken}:meta", "by hand")
    bad: list[tuple[dict[str, str], str]] = [
        ({"event": "e", "data": "1"}, "got no channel"),
        ({"channel": "Decisions", "event": "e", "data": "1"}, "expected a channel name"),
        ({"channel": "decisions", "event": "e", "data": "{"}, "expected JSON in UTF-8"),
        ({"channel": "decisions", "event": "e", "data": '{"equity": "NaN"}'}, "finite number"),
        ({"channel": "decisions", "event": "e", "data": f'"{"x" * 300_000}"'}, "at most"),
        ({"channel": "half", "event": "e", "data": "1", "key": "k"}, "damaged by hand"),
        ({"channel": "half", "event": "e", "data": "2", "key": "k"}, "damaged by hand"),
        ({"channel": "orders", "event": "e", "data": "1"}, "a table expects"),
        ({"channel": "broken", "event": "e", "data": "1"}, "WRONGTYPE"),
    ]  # fmt: skip
    async with running(valkey) as worker:
        await add(link, "half", 0)
        await idle(worker, link)
        await link.set("tapecast:{half}:state", "by hand")
        for n, (fields, _) in enumerate(bad):
            await add(link, "alerts", n)
            await link.xadd(KEYS.inlet, fields)
        await eventually(lambda: len(worker.buried) == len(bad), "all of the bad ones")
        await idle(worker, link)
    assert await published(link, "alerts") == list(range(len(bad)))
    dead = await link.xrange(KEYS.dead)
    assert [fields["entry"] for _, fields in dead] == [id for id, _ in worker.buried]
    for (_, fields), (given, said) in zip(
        sorted(dead, key=lambda each: each[1]["entry"]), bad, strict=True
    ):
        assert said in fields["reason"]
        assert {name: fields[name] for name in given} == given
    assert worker.worker.counts.buried == len(bad)


async def test_an_entry_is_passed_on_only_while_it_is_the_oldest(
    valkey: Valkey, link: Redis
) -> None:
    """Of those that are pending; one that a channel's kind forbids is buried, or asked for again
    where the kind was only remembered."""
    await link.xgroup_create(KEYS.inlet, KEYS.group, "0", mkstream=True)
    await link.set(KEYS.lease, "token")
    ids = [await add(link, "news", n) for n in range(3)]
    broker = RedisBroker(valkey.url)
    await broker.store([Publication("news", Kind.VALUE, "e", SetValue(b"7"), "p", 1)])
    await link.xreadgroup(KEYS.group, CONSUMER, {KEYS.inlet: ">"})

    async def pass_on(n: int, kind: Kind, *, sure: bool) -> object:
        entry = InletEntry(ids[n], "news", "e", b"%d" % n)
        call = pass_on_call(KEYS, "token", entry, kind, Stream(kind), "x", 1, kind_is_sure=sure)
        [reply] = await broker.call(PASS_ON, [call])
        return parse_passed_on(reply)

    assert await pass_on(1, Kind.VALUE, sure=True) is Fate.LATER
    assert await pass_on(0, Kind.LOG, sure=False) is Fate.KIND
    buried = await pass_on(0, Kind.LOG, sure=True)
    assert buried == Buried("news is a value, not a log")
    assert await pass_on(0, Kind.VALUE, sure=True) is Fate.GONE
    assert isinstance(await pass_on(1, Kind.VALUE, sure=True), Receipt)
    await link.set(KEYS.lease, "another")
    assert await pass_on(2, Kind.VALUE, sure=True) is Fate.LOST
    await broker.disconnect()
    assert await published(link, "news") == [7, 1]


async def test_a_dead_worker_is_replaced_and_nothing_is_twice(valkey: Valkey, link: Redis) -> None:
    """What it had read and not passed on comes first; the one that waited goes on with it."""
    async with running(valkey, lease_ms=300) as first:
        await eventually(lambda: first.worker.counts.active, "the first to be active")
        async with running(valkey, lease_ms=300) as second:
            await eventually(lambda: second.told != [], "the second to wait")
            assert second.told == ["another worker is active; waiting for my turn."]
            await first.die()
            # Read, and never passed on.
            for n in range(10):
                await add(link, "decisions", n)
            await link.xreadgroup(KEYS.group, CONSUMER, {KEYS.inlet: ">"}, count=5)
            await link.xreadgroup(KEYS.group, "somebody", {KEYS.inlet: ">"}, count=2)
            await idle(second, link)
            assert second.worker.counts.active
    assert await published(link, "decisions") == list(range(10))


async def test_a_worker_that_was_frozen_does_nothing_when_it_wakes(
    valkey: Valkey, link: Redis
) -> None:
    """Its lease ran out meanwhile: what it still meant to pass on is another's."""
    async with running(valkey) as first:
        await add(link, "decisions", 0)
        await idle(first, link)
        await link.set(KEYS.lease, "somebody else's", px=60_000)
        await add(link, "decisions", 1)
        await eventually(lambda: first.told != [], "it to notice")
        assert not first.worker.counts.active
        assert await published(link, "decisions") == [0]
        assert await link.get(KEYS.lease) == "somebody else's"
        await link.delete(KEYS.lease)
        await idle(first, link)
    assert await published(link, "decisions") == [0, 1]


async def test_what_was_removed_unread_is_said(valkey: Valkey, link: Redis) -> None:
    """An inlet that its writers bound may lose what nobody read; that is not silent."""
    async with running(valkey) as worker:
        await add(link, "decisions", 0)
        await idle(worker, link)
    for n in range(1, 11):
        await add(link, "decisions", n)
    await link.xtrim(KEYS.inlet, maxlen=4, approximate=False)
    async with running(valkey) as worker:
        await idle(worker, link)
        assert worker.worker.counts.removed == 6
    assert await published(link, "decisions") == [0, 7, 8, 9, 10]
    assert worker.told == ["6 entries were removed before they were published."]


@pytest.mark.parametrize("noticed_by_redis", [True, False])
async def test_what_was_removed_after_it_was_read_is_said(
    valkey: Valkey,
    link: Redis,
    monkeypatch: pytest.MonkeyPatch,
    noticed_by_redis: bool,
) -> None:
    """A dead worker had read it, and somebody deleted it; Redis before 7 leaves it pending."""
    if not noticed_by_redis:
        monkeypatch.setattr(
            "hub.broker.inlet.take_call",
            lambda *given, begun: take_call(*given, begun=False),
        )
    await link.xgroup_create(KEYS.inlet, KEYS.group, "0", mkstream=True)
    id = await add(link, "decisions", 0)
    await add(link, "decisions", 1)
    await link.xreadgroup(KEYS.group, CONSUMER, {KEYS.inlet: ">"})
    await link.xdel(KEYS.inlet, id)
    async with running(valkey) as worker:
        await idle(worker, link)
    assert await published(link, "decisions") == [1]
    if noticed_by_redis:
        assert worker.told == ["1 entries were removed before they were published."]
    else:
        assert worker.buried == [(id, "it was removed before it was published")]


async def test_an_inlet_that_was_deleted_begins_anew(valkey: Valkey, link: Redis) -> None:
    """Also one that was flushed with all channels, of which one is of another kind now."""
    async with running(valkey) as worker:
        await add(link, "news", 1)
        await idle(worker, link)
        await link.flushall()
        broker = RedisBroker(valkey.url, streams={"news": Stream(Kind.VALUE)})
        await broker.store([Publication("news", Kind.VALUE, "e", SetValue(b"7"), "p", 1)])
        await broker.disconnect()
        for n in range(3):
            await add(link, "news", n)
        await eventually(lambda: worker.worker.counts.published == 4, "the new ones")
    assert await published(link, "news") == [7, 0, 1, 2]
    assert worker.buried == []


async def test_redis_may_be_away(durable_valkey: Valkey) -> None:
    """Killed and started again on its append-only file: everything is published, once."""
    async with running(durable_valkey, lease_ms=500) as worker:
        for turn in range(3):
            async with redis.asyncio.Redis.from_url(
                durable_valkey.url, decode_responses=True
            ) as link:
                for n in range(20):
                    await add(link, "decisions", turn * 20 + n)
            await asyncio.to_thread(durable_valkey.kill)
            await asyncio.to_thread(durable_valkey.start)
        async with redis.asyncio.Redis.from_url(durable_valkey.url, decode_responses=True) as link:
            await idle(worker, link)
            assert await published(link, "decisions") == list(range(60))


async def test_a_server_that_may_not_write_is_waited_for(valkey: Valkey, link: Redis) -> None:
    """A replica refuses; nothing is buried for that."""
    async with running(valkey) as worker:
        await eventually(lambda: worker.worker.counts.active, "it to be active")
        await add(link, "decisions", 0)
        await idle(worker, link)
        await link.execute_command("CONFIG", "SET", "min-replicas-to-write", "1")
        await eventually(lambda: worker.told != [], "it to say so")
        assert "NOREPLICAS" in worker.told[0]
        await link.execute_command("CONFIG", "SET", "min-replicas-to-write", "0")
        await add(link, "decisions", 1)
        await idle(worker, link)
    assert await published(link, "decisions") == [0, 1]
    assert worker.buried == []


async def test_another_group_keeps_what_it_has_not_seen(valkey: Valkey, link: Redis) -> None:
    """The stream is trimmed for its only group alone."""
    await link.xgroup_create(KEYS.inlet, "archive", "0", mkstream=True)
    async with running(valkey) as worker:
        for n in range(500):
            await add(link, "decisions", n)
        await eventually(lambda: worker.worker.counts.published == 500, "all of them")
    assert await link.xlen(KEYS.inlet) == 500


async def test_names_are_forgotten_beyond_their_bound(
    valkey: Valkey, link: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest first."""
    monkeypatch.setattr("hub.protocol.inlet.IDS_KEPT", 3)
    async with running(valkey) as worker:
        for n in range(5):
            await add(link, "decisions", n, id=f"d-{n}")
        await add(link, "decisions", "again", id="d-4")
        await add(link, "decisions", "forgotten", id="d-0")
        await idle(worker, link)
    assert await published(link, "decisions") == [0, 1, 2, 3, 4, "forgotten"]
    assert await link.zcard(KEYS.ids) == 3
