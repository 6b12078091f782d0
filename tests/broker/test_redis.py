from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Callable

import pytest
import redis

from hub.broker.base import Broker, BrokerUnavailableError, ChannelUnavailableError, Link
from hub.broker.pubsub import PubSubReader
from hub.broker.redis import HEADS_A_BATCH, RedisBroker
from hub.broker.timing import Timing
from hub.protocol import keys
from hub.protocol.envelope import Envelope, decode_envelope
from hub.protocol.position import Position
from hub.protocol.publication import Receipt
from hub.protocol.reading import ChannelReading, missed
from tests.support.brokers import eventually, hear, hear_until, store
from tests.support.publications import entry, rows, value
from tests.support.valkey import Valkey

PATIENT = Timing(retry_least_seconds=0.01, retry_most_seconds=0.05)
HASTY = Timing(
    connect_seconds=1.0,
    command_seconds=0.3,
    subscribe_seconds=0.5,
    ping_seconds=0.1,
    pong_seconds=0.2,
    retry_least_seconds=0.01,
    retry_most_seconds=0.05,
    probe_seconds=0.05,
    probe_deadline_seconds=0.3,
)


@contextlib.asynccontextmanager
async def connected(
    valkey: Valkey, timing: Timing = PATIENT, pool_size: int = 4
) -> AsyncIterator[RedisBroker]:
    broker = RedisBroker(valkey.url, timing=timing, pool_size=pool_size)
    await broker.connect()
    try:
        yield broker
    finally:
        await broker.disconnect()


def client_of(valkey: Valkey) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(valkey.socket))


def seqs(receipts: list[Receipt]) -> list[int]:
    return [receipt.position.seq for receipt in receipts]


# Histories that are lost.


def _flush(client: redis.Redis) -> None:
    client.flushall()


def _lose_meta(client: redis.Redis) -> None:
    client.delete(keys.meta("positions"))


def _lose_log(client: redis.Redis) -> None:
    client.delete(keys.log("positions"))


def _lose_a_row(client: redis.Redis) -> None:
    client.hdel(keys.state("positions"), "a")


def _add_a_stranger(client: redis.Redis) -> None:
    client.xadd(keys.log("positions"), {"hello": "world"})


def _break_the_meta(client: redis.Redis) -> None:
    client.hset(keys.meta("positions"), "seq", "many")


@pytest.mark.parametrize(
    "lose", [_flush, _lose_meta, _lose_log, _lose_a_row, _add_a_stranger, _break_the_meta]
)
async def test_a_lost_history_begins_an_epoch_of_its_own(
    valkey: Valkey, lose: Callable[[redis.Redis], None]
) -> None:
    """The next publish is seq 1 of a new epoch, though its id was answered in the old one."""
    async with connected(valkey) as broker:
        [first] = await store(broker, rows(1, {"a": b"1", "b": b"2"}))
        with client_of(valkey) as client:
            lose(client)
        [second] = await store(broker, rows(1, {"a": b"1", "b": b"2"}))
        assert second.position.seq == 1
        assert second.position.epoch != first.position.epoch
        assert not second.duplicate
        reading = await broker.read("positions", None, 10)
        assert reading.position == second.position
        assert reading.rows == {"a": b"1", "b": b"2"}
        assert missed(reading, first.position) is None


# What was put into Redis by hand.


async def test_a_poisoned_channel_harms_no_other(valkey: Valkey) -> None:
    """Its reading fails as unavailable, its head is unknown; the others are as they were."""
    async with connected(valkey) as broker:
        await store(broker, value(1, b"1"), entry(1, b"1"))
        [alert] = await store(broker, entry(1, b"1", channel="alerts"))
        with client_of(valkey) as client:
            client.hset(keys.meta("portfolio"), "seq", "many")
            client.delete(keys.meta("decisions"))
            client.set(keys.meta("decisions"), "poison")
            client.hset(keys.meta("agent"), "seq", "1")
            client.set("tapecast:{Not A Channel}:meta", "poison")
        for channel in ("portfolio", "decisions"):
            with pytest.raises(ChannelUnavailableError, match=channel):
                await broker.read(channel, None, 10)
        heads = await broker.heads(["portfolio", "decisions", "agent", "alerts"])
        assert heads == [None, None, None, alert.position]
        assert await broker.channels() == ["agent", "alerts", "decisions", "portfolio"]
        assert (await broker.read("alerts", None, 10)).position == alert.position


async def test_a_poisoned_channel_fails_alone_in_a_batch(valkey: Valkey) -> None:
    """Its publish is answered with an error; its neighbours in the batch used to be so too, though
    they were stored."""
    async with connected(valkey) as broker:
        with client_of(valkey) as client:
            client.set(keys.meta("decisions"), "poison")
        batch = [value(1, b"1"), entry(1, b"1"), value(2, b"2")]
        before, damaged, after = await broker.store(batch)
        assert isinstance(before, Receipt)
        assert isinstance(damaged, BrokerUnavailableError)
        assert isinstance(after, Receipt)
        assert (before.position.seq, after.position.seq) == (1, 2)


async def test_a_broken_meta_is_mended_by_the_next_publish(valkey: Valkey) -> None:
    """What no script wrote counts as a lost history."""
    async with connected(valkey) as broker:
        await store(broker, value(1, b"1"))
        with client_of(valkey) as client:
            client.hset(keys.meta("portfolio"), "seq", "many")
        [receipt] = await store(broker, value(2, b"2"))
        assert (await broker.read("portfolio", None, 10)).position == receipt.position


async def test_errors_of_redis_itself_are_not_the_publishers(valkey: Valkey) -> None:
    """A server that may not write is unavailable: the same publish succeeds once it may."""
    async with connected(valkey) as broker:
        await store(broker, entry(1, b"1"))
        with client_of(valkey) as client:
            client.execute_command("REPLICAOF", "127.0.0.1", "1")
            [answer] = await broker.store([entry(2, b"2")])
            assert isinstance(answer, BrokerUnavailableError)
            assert re.search("(?i)read.?only", str(answer))
            client.execute_command("REPLICAOF", "NO", "ONE")
        assert seqs(await store(broker, entry(2, b"2"))) == [2]


# Scripts.


async def test_flushed_scripts_are_loaded_again_and_order_is_kept(valkey: Valkey) -> None:
    """SCRIPT FLUSH between two batches costs nothing but a second trip."""
    async with connected(valkey) as broker:
        await store(broker, entry(0, b"0"))
        for first in range(1, 101, 20):
            with client_of(valkey) as client:
                client.script_flush()
            batch = [entry(n, b"%d" % n) for n in range(first, first + 20)]
            assert seqs(await store(broker, *batch)) == list(range(first + 1, first + 21))
        with client_of(valkey) as client:
            client.script_flush()
        reading = await broker.read("decisions", 0, 1000)
        assert [entry.data for entry in reading.entries] == [b"%d" % n for n in range(101)]


async def test_a_link_knows_the_scripts_before_it_is_used(valkey: Valkey) -> None:
    """A batch on a fresh server is never half refused, which would turn its order around: the
    server sees each publish once."""
    async with connected(valkey) as broker:
        await store(broker, *(entry(n, b"%d" % n) for n in range(50)))
        with client_of(valkey) as client:
            assert client.info("commandstats")["cmdstat_evalsha"]["calls"] == 50


# Links and servers that go away.


async def test_everything_asked_of_a_dead_server_is_unavailable(valkey: Valkey) -> None:
    """Redis' own errors never get out, and connecting does not wait for the server."""
    valkey.kill()
    async with connected(valkey, HASTY) as broker:
        with pytest.raises(BrokerUnavailableError):
            await broker.store([entry(1, b"1")])
        with pytest.raises(BrokerUnavailableError):
            await broker.read("decisions", None, 10)
        with pytest.raises(BrokerUnavailableError):
            await broker.heads(["decisions"])
        with pytest.raises(BrokerUnavailableError):
            await broker.channels()
        with pytest.raises(BrokerUnavailableError):
            await broker.publish("decisions", b"1")
        with pytest.raises(BrokerUnavailableError):
            await broker.subscribe("decisions")
        await broker.unsubscribe("decisions")
        assert not broker.delivering


async def test_a_frozen_server_is_given_up_in_time_and_nothing_is_stored_twice(
    valkey: Valkey,
) -> None:
    """A publish that timed out may have happened: sent again with its id, it has one seq, and the
    subscription hears it or is told RESTORED."""
    async with connected(valkey, HASTY) as broker:
        await broker.subscribe("decisions")
        await store(broker, entry(1, b"1"))
        assert isinstance((await hear(broker))[1], bytes)
        valkey.freeze()
        for _ in range(3):
            with pytest.raises(BrokerUnavailableError, match=r"0\.3 s"):
                await broker.store([entry(2, b"2")])
        valkey.thaw()
        assert seqs(await store(broker, entry(2, b"2"), entry(3, b"3"))) == [2, 3]
        await eventually(lambda: broker.delivering, "delivering")
        reading = await broker.read("decisions", 0, 10)
        assert [entry.data for entry in reading.entries] == [b"1", b"2", b"3"]
        await hear_until(broker, Link.RESTORED)


async def test_a_killed_server_comes_back_with_all_it_answered(durable_valkey: Valkey) -> None:
    """After kill -9 and a restart on its file the history goes on where it was."""
    async with connected(durable_valkey, HASTY) as broker:
        await broker.subscribe("decisions")
        receipts = await store(broker, *(entry(n, b"%d" % n) for n in range(1, 51)))
        durable_valkey.kill()
        with pytest.raises(BrokerUnavailableError):
            await broker.store([entry(51, b"51")])
        await asyncio.to_thread(durable_valkey.start)
        again, more = await store(broker, entry(50, b"50"), entry(51, b"51"))
        assert again == Receipt(receipts[-1].position, duplicate=True)
        assert (more.position.epoch, more.position.seq) == (again.position.epoch, 51)
        await hear_until(broker, Link.RESTORED)


async def test_killed_command_links_are_replaced(valkey: Valkey) -> None:
    """Links that were closed in the pool are noticed before they are used."""
    async with connected(valkey) as broker:
        for n in range(10):
            async with asyncio.TaskGroup() as tasks:
                for m in range(4):
                    tasks.create_task(store(broker, entry(4 * n + m, b"1")))
            with client_of(valkey) as client:
                client.execute_command("CLIENT", "KILL", "TYPE", "normal")
        heads = await broker.heads(["decisions"])
        assert [head.seq for head in heads if head] == [40]


async def test_a_hub_that_reads_after_every_restored_misses_nothing(valkey: Valkey) -> None:
    """The pub/sub link is killed again and again while entries are published; whoever repairs from
    the stream at each RESTORED and each gap has them all, once and in order."""
    count = 600
    async with connected(valkey) as publisher, connected(valkey) as broker:
        await broker.subscribe("decisions")

        async def publish() -> None:
            for n in range(count):
                await store(publisher, entry(n, b"%d" % n))

        async def kill() -> None:
            with client_of(valkey) as client:
                while True:
                    client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
                    await asyncio.sleep(0.02)

        publishing, killing = asyncio.create_task(publish()), asyncio.create_task(kill())
        found, restored = await _follow(broker, count)
        killing.cancel()
        await asyncio.gather(publishing)
        await asyncio.gather(killing, return_exceptions=True)
        assert [entry.data for entry in found] == [b"%d" % n for n in range(count)]
        assert restored > 0


async def _follow(broker: Broker, count: int) -> tuple[list[Envelope], int]:
    """All entries from the first on as a hub gathers them, and how often the link was restored."""
    found: list[Envelope] = []
    restored = 0
    while len(found) < count:
        _channel, message = await hear(broker)
        if isinstance(message, bytes):
            envelope = decode_envelope("decisions", message)
            at = found[-1].position if found else Position(envelope.position.epoch, 0, "")
            if envelope.seq <= at.seq:
                continue
            if envelope.follows(at):
                found.append(envelope)
                continue
        else:
            restored += 1
        found.extend((await broker.read("decisions", len(found), count)).entries)
    return found, restored


async def test_two_subscriptions_at_the_same_moment_are_a_mistake(valkey: Valkey) -> None:
    """The second must not return before the confirmation: it fails, and the first stays."""
    async with connected(valkey) as broker:
        first = asyncio.create_task(broker.subscribe("decisions"))
        await asyncio.sleep(0)
        with pytest.raises(AssertionError):
            await broker.subscribe("decisions")
        await first
        await store(broker, entry(1, b"1"))
        assert isinstance((await hear(broker))[1], bytes)


async def test_more_callers_than_links_wait_their_turn(valkey: Valkey) -> None:
    """The pool is a bound, not a limit that callers run into."""
    async with connected(valkey, pool_size=2) as broker:
        await store(broker, entry(1, b"1"))
        async with asyncio.TaskGroup() as tasks:
            readings = [tasks.create_task(broker.read("decisions", 0, 1)) for _ in range(200)]
        assert all(len(reading.result().entries) == 1 for reading in readings)
        with client_of(valkey) as client:
            links = client.client_list(_type="normal")
            assert len(links) <= 2 + 1  # The last is the test's own.


async def test_a_cancelled_command_leaves_no_answer_behind(valkey: Valkey) -> None:
    """Whoever is cancelled while it waits for an answer does not hand it to the next caller."""
    async with connected(valkey, pool_size=1) as broker:
        await store(broker, *(entry(n, b"1", channel=f"decisions:{n}") for n in range(30)))
        for n in range(30):
            cancelled = asyncio.create_task(broker.read("decisions:0", None, 1))
            for _ in range(n % 10):
                await asyncio.sleep(0)
            cancelled.cancel()
            reading = await broker.read(f"decisions:{n}", None, 1)
            assert [entry.channel for entry in reading.entries] == [f"decisions:{n}"]
            await asyncio.wait([cancelled])


async def test_many_heads_are_asked_for_in_batches(valkey: Valkey) -> None:
    """As many channels as there are, in the order asked for."""
    names = [f"decisions:{n}" for n in range(2 * HEADS_A_BATCH + 1)]
    async with connected(valkey) as broker:
        await store(broker, entry(1, b"1", channel=names[-1]))
        heads = await broker.heads(names)
        assert [head is not None for head in heads] == [False] * (len(names) - 1) + [True]


# Readiness.


async def test_delivery_is_noticed_to_fail_and_to_come_back(valkey: Valkey) -> None:
    """A frozen server delivers nothing, though its links are open; after the thaw it does."""
    async with connected(valkey, HASTY) as broker:
        for _ in range(2):
            await eventually(lambda: broker.delivering, "delivering")
            valkey.freeze()
            await eventually(lambda: not broker.delivering, "not delivering")
            valkey.thaw()


async def test_a_link_that_is_open_and_deaf_is_not_delivering(valkey: Valkey) -> None:
    """A server that answers commands and never delivers is found out by the probe alone."""
    with client_of(valkey) as client:
        client.execute_command(
            "ACL", "SETUSER", "deaf", "on", "nopass", "~*", "resetchannels", "&tapecast:{*", "+@all"
        )
    broker = RedisBroker(f"{valkey.url}?username=deaf&password=any", timing=HASTY)
    await broker.connect()
    try:
        await store(broker, entry(1, b"1"))
        with client_of(valkey) as client:
            denied = "acl_access_denied_channel"
            await eventually(lambda: client.info("stats")[denied] > 0, "a refused probe")
        assert not broker.delivering
    finally:
        await broker.disconnect()


async def test_a_task_that_dies_is_told_of_and_shown(
    valkey: Valkey, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake in the reader ends the broker's work loudly, and readiness with it."""

    async def die(self: PubSubReader) -> None:
        raise ZeroDivisionError("a mistake")

    async with connected(valkey, HASTY) as healthy:
        await eventually(lambda: healthy.delivering, "delivering")
        assert not caplog.records
    monkeypatch.setattr(PubSubReader, "run", die)
    async with connected(valkey, HASTY) as broker:
        await eventually(lambda: "died" in caplog.text, "it is logged")
        assert not broker.delivering
        assert [record.levelno for record in caplog.records] == [logging.CRITICAL]


async def test_nothing_is_left_of_a_broker_that_was_disconnected(valkey: Valkey) -> None:
    """No task and no link outlives it."""
    before = asyncio.all_tasks()
    async with connected(valkey) as broker:
        await broker.subscribe("decisions")
        await store(broker, entry(1, b"1"))
    assert asyncio.all_tasks() == before
    with client_of(valkey) as client:
        await eventually(lambda: len(client.client_list()) == 1, "no link but the test's own")


async def test_a_broker_that_was_never_connected_can_be_disconnected(valkey: Valkey) -> None:
    """It is what a start that failed half way does."""
    broker = RedisBroker(valkey.url)
    assert await broker.read("decisions", None, 1) == ChannelReading.empty("decisions")
    await broker.disconnect()


def test_a_url_of_another_kind_is_refused() -> None:
    """Only Redis' own schemes are taken."""
    with pytest.raises(ValueError, match="redis://"):
        RedisBroker("http://localhost")
