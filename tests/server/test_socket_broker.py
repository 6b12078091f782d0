"""Sockets over a broker that is away, comes back or forgets, and the ends of feeds and of hubs."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import msgspec
import pytest
import redis

from hub.core.feed import RING_ENTRIES
from hub.protocol import codes, keys
from tests.server.conftest import MakeHub
from tests.support.brokers import eventually, store
from tests.support.held_broker import HeldBroker
from tests.support.livehub import token
from tests.support.publications import entry, value
from tests.support.socket_client import Frame, opened, welcomed
from tests.support.valkey import Valkey

# A broker that is away.


async def test_a_publish_while_the_broker_is_away(make_hub: MakeHub) -> None:
    """It is answered with 4503 and `retry`, and may be sent again with the same id."""
    broker = HeldBroker()
    live = await make_hub(broker)
    async with welcomed(live.url, token()) as client:
        params = {"event": "e", "data": 1, "producer": "agent", "n": 1}
        broker.away = True
        # Also for channels that the hub knows nothing of, of which it has to ask the broker.
        for channel in ("decisions", "agent", "decisions"):
            error = (await client.ask("publish", channel=channel, **params))["error"]
            assert error["code"] == codes.UNAVAILABLE.number
            assert error["retry"] is True
        broker.away = False
        reply = await client.ask("publish", channel="decisions", **params)
        assert reply["result"]["seq"] == 1


async def test_a_subscribe_while_the_broker_is_away(
    make_hub: MakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of a channel waits for a broker that comes back, and then is told to try again."""
    monkeypatch.setattr("hub.server.feeds.OPEN_SECONDS", 0.3)
    broker = HeldBroker()
    live = await make_hub(broker)
    async with welcomed(live.url, token()) as client:
        for away_in in ("subscribing", "reading"):
            broker.away = away_in == "subscribing"
            id = await client.command("subscribe", channel="decisions")
            if away_in == "reading":
                broker.reading.clear()
                await eventually(lambda: broker.reads > 0, "the feed is being read")
                broker.away = True
                broker.reading.set()
            reply = await client.recv()
            assert reply["id"] == id
            assert reply["error"]["code"] == codes.UNAVAILABLE.number
            assert reply["error"]["retry"] is True
            broker.away = False
        await client.subscribe("decisions")
        await store(broker, entry(1, b"1"))
        assert (await client.recv())["seq"] == 1


async def test_a_broker_that_comes_back_in_time(make_hub: MakeHub) -> None:
    """Nobody who subscribed meanwhile has noticed."""
    broker = HeldBroker()
    live = await make_hub(broker)
    broker.away = True
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(welcomed(live.url, token())) for _ in range(3)]
        ids = [await client.command("subscribe", channel="decisions") for client in clients]
        broker.away = False
        for client, id in zip(clients, ids, strict=True):
            reply = await client.recv()
            assert (reply["id"], "result" in reply) == (id, True)


async def test_a_resume_while_the_broker_is_away(make_hub: MakeHub) -> None:
    """A resume that takes a reading is answered with 4503, and the channel can be asked for
    again."""
    broker = HeldBroker()
    live = await make_hub(broker)
    receipts = await store(broker, *(entry(n, b"1") for n in range(1, 400)))
    since = {"epoch": receipts[0].position.epoch, "seq": 1, "tag": receipts[0].position.tag}
    async with welcomed(live.url, token()) as client:
        await client.subscribe("decisions")
        broker.away = True
        reply = await client.ask("subscribe", channel="decisions", since=since)
        assert reply["error"]["code"] == codes.UNAVAILABLE.number
        broker.away = False
        reply = await client.ask("subscribe", channel="decisions", since=since)
        assert reply["result"]["recovered"] is True
        assert [(await client.recv())["seq"] for _ in range(398)] == list(range(2, 400))
        await store(broker, entry(400, b"1"))
        assert (await client.recv())["seq"] == 400
        assert await client.is_quiet()


async def test_many_who_return_at_once_share_a_reading(make_hub: MakeHub) -> None:
    """However many were away longer than the feed remembers, the broker is read once for all who
    wait; each gets exactly what it missed. A reading each took so long after an outage that it was
    given up, asked for again, and never done."""
    broker = HeldBroker()
    live = await make_hub(broker)
    receipts = await store(broker, *(entry(n, b"1") for n in range(1, 400)))
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(welcomed(live.url, token())) for _ in range(20)]
        await clients[0].subscribe("decisions")
        reads = broker.reads
        broker.reading.clear()
        for seq, client in enumerate(clients, start=1):
            at = receipts[seq - 1].position
            since = {"epoch": at.epoch, "seq": seq, "tag": at.tag}
            await client.command("subscribe", channel="decisions", since=since)
            # The first is being read for before the others come, so that they share the next.
            await eventually(lambda: broker.reads > reads, "the channel is being read")
        for client in clients[1:]:
            assert await client.is_quiet()
        broker.reading.set()
        for seq, client in enumerate(clients, start=1):
            heard = await client.until(lambda frame: frame.get("seq") == 399 and "ts" in frame)
            replies = [frame["result"] for frame in heard if frame.get("result")]
            assert [reply["recovered"] for reply in replies] == [True]
            missed = [frame["seq"] for frame in heard if frame.get("type") == "update"]
            assert missed == list(range(seq + 1, 400))
        assert broker.reads == reads + 2


async def test_a_hub_without_its_redis(make_hub: MakeHub) -> None:
    """A hub starts and answers though nothing listens at its address."""
    live = await make_hub(redis_url="unix:///nonexistent/tapecast.sock")
    async with welcomed(live.url, token()) as client:
        reply = await client.ask("publish", channel="decisions", event="e", data=1)
        assert reply["error"]["code"] == codes.UNAVAILABLE.number
        assert reply["error"]["retry"] is True
        assert await client.is_quiet()


# A real one.


async def test_a_whole_path_over_valkey(make_hub: MakeHub, valkey: Valkey) -> None:
    """Publish by socket, snapshot, update, resume: with the envelopes that the script wrote."""
    live = await make_hub(redis_url=valkey.url)
    async with welcomed(live.url, token()) as client, welcomed(live.url, token()) as other:
        await store(live.hub.broker, entry(0, b'{"n":0}'))
        await other.subscribe("decisions")
        params = {"channel": "decisions", "event": "decision_made"}
        receipts = [
            (await client.ask("publish", **params, data={"n": n}))["result"] for n in range(1, 5)
        ]
        updates = [await other.recv() for _ in range(4)]
        assert [(u["seq"], u["tag"]) for u in updates] == [(r["seq"], r["tag"]) for r in receipts]
        since = {key: receipts[0][key] for key in ("epoch", "seq", "tag")}
        reply = await client.ask("subscribe", channel="decisions", since=since)
        assert reply["result"]["recovered"] is True
        assert [(await client.recv())["data"]["n"] for _ in range(3)] == [2, 3, 4]


async def test_a_flushed_valkey(make_hub: MakeHub, valkey: Valkey) -> None:
    """A lost history is noticed though the channel stays quiet, and the new one follows."""
    live = await make_hub(redis_url=valkey.url, idle_check_seconds=0.1)
    async with welcomed(live.url, token()) as client:
        await client.subscribe("portfolio")
        await store(live.hub.broker, value(1, b"1"))
        assert (await client.recv())["data"] == 1
        with redis.Redis(unix_socket_path=str(valkey.socket)) as admin:
            admin.flushall()
        reset, snapshot = await client.recv(), await client.recv()
        assert (reset["type"], reset["state"]) == ("channel", "reset")
        assert (snapshot["seq"], snapshot["data"]) == (0, None)
        await store(live.hub.broker, value(2, b"2"))
        update = await client.recv()
        assert (update["seq"], update["data"]) == (1, 2)


async def test_poison_in_valkey(make_hub: MakeHub, valkey: Valkey) -> None:
    """What somebody wrote into the keys by hand hurts nobody but their own channel."""
    live = await make_hub(redis_url=valkey.url)
    broker = live.hub.broker
    await store(broker, entry(1, b"1"), value(1, b"1"))
    with redis.Redis(unix_socket_path=str(valkey.socket)) as admin:
        admin.xadd(keys.log("decisions"), {"e": b'{"channel":"decisions"'}, id="7-0")
        admin.set(keys.state("portfolio"), b'{"equity":"NaN"}')
        admin.publish(keys.pubsub("decisions"), b'{"channel":"decisions","type":"update"')
    async with welcomed(live.url, token()) as client:
        _, snapshot = await client.subscribe("portfolio")
        assert snapshot["data"] is None
        _, snapshot = await client.subscribe("decisions")
        assert [e["data"] for e in snapshot["data"]["entries"]] == [1]
        await store(broker, value(2, b"2"), entry(2, b"2"))
        # The log cannot be continued behind what was written into it: a new history.
        frames = await client.until(lambda frame: frame.get("type") == "snapshot")
        assert [e["data"] for e in frames[-1]["data"]["entries"]] == [2]
        assert [frame["data"] for frame in frames if frame["channel"] == "portfolio"] == [2]


async def test_a_killed_valkey_closes_no_socket(make_hub: MakeHub, durable_valkey: Valkey) -> None:
    """Sockets stay open while it is away, and what was kept is served when it is back."""
    live = await make_hub(redis_url=durable_valkey.url)
    async with welcomed(live.url, token()) as client:
        await client.subscribe("decisions")
        await store(live.hub.broker, entry(1, b"1"))
        assert (await client.recv())["data"] == 1
        durable_valkey.kill()
        reply = await client.ask("publish", channel="decisions", event="e", data=0)
        assert reply["error"]["code"] == codes.UNAVAILABLE.number
        await asyncio.to_thread(durable_valkey.start)
        await store(live.hub.broker, entry(2, b"2"))
        update = await client.recv()
        assert (update["seq"], update["data"]) == (2, 2)


# Feeds.


async def test_a_feed_lingers_and_begins_again(make_hub: MakeHub) -> None:
    """A channel that nobody hears is let go after a while; the next subscriber brings it up."""
    live = await make_hub(feed_linger_seconds=0.1)
    broker = live.hub.broker
    async with welcomed(live.url, token()) as client:
        for n in range(1, 4):
            await client.subscribe("decisions")
            await store(broker, entry(n, b"%d" % n))
            assert (await client.recv())["seq"] == n
            await client.ask("unsubscribe", channel="decisions")
            await eventually(lambda: not list(live.hub.registry), "the feed was let go")
        await eventually(lambda: not live.hub.feeds._keeping, "its keeper ended")


async def test_subscribing_in_the_moment_a_feed_is_let_go(make_hub: MakeHub) -> None:
    """Whoever comes just then is served by the next feed; they used to be told that it failed."""
    live = await make_hub()
    broker = live.hub.broker
    async with welcomed(live.url, token()) as client:
        await client.subscribe("decisions")
        await client.ask("unsubscribe", channel="decisions")
        for n in range(1, 6):
            live.hub.feeds.let_go(0.0)
            assert live.hub.registry.get("decisions") is None
            await client.subscribe("decisions")
            await store(broker, entry(n, b"1"))
            assert (await client.recv())["seq"] == n
            await client.ask("unsubscribe", channel="decisions")


async def test_feeds_are_bounded(make_hub: MakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """One channel more than a hub may follow is refused for now; what nobody hears makes room."""
    monkeypatch.setattr("hub.server.feeds.MAX_FEEDS", 3)
    live = await make_hub()
    async with welcomed(live.url, token()) as client:
        for channel in ("a", "b", "c", "a"):
            await client.subscribe(channel)
        error = (await client.ask("subscribe", channel="d"))["error"]
        assert (error["code"], error["retry"]) == (codes.UNAVAILABLE.number, True)
        await client.ask("unsubscribe", channel="b")
        live.hub.feeds.let_go(3600.0)
        await eventually(lambda: len(live.hub.feeds._keeping) == 2, "there is room")
        await client.subscribe("d")


@pytest.mark.complains("feed decisions")
async def test_a_broken_feed_ends_its_subscribers_alone(
    make_hub: MakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of the hub in one channel closes who follows it, to come back; others go on."""
    live = await make_hub()
    broker = live.hub.broker
    async with welcomed(live.url, token()) as one, welcomed(live.url, token()) as two:
        await one.subscribe("decisions")
        await two.subscribe("portfolio")
        feed = live.hub.feeds._keepers["decisions"]

        def fail(message: object) -> None:
            raise AssertionError("seeded by the test")

        monkeypatch.setattr(feed, "_receive", fail)
        await store(broker, entry(1, b"1"), value(2, b"2"))
        assert (await one.closed())[0] == codes.INTERNAL.number
        assert (await two.recv())["data"] == 2
        await two.subscribe("decisions")
        # The feed is up again, so that the hub is as ready as before; it used to be so no more.
        assert live.hub.tasks.failed == []


@pytest.mark.complains("bridge decisions")
async def test_a_broken_bridge_answers_those_on_it(
    make_hub: MakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of the hub while it reads for who returns is an error for them; they used to wait
    for ever."""
    live = await make_hub()
    broker = live.hub.broker
    receipts = await store(broker, *(entry(n, b"1") for n in range(RING_ENTRIES + 10)))
    since = msgspec.to_builtins(receipts[0].position)
    async with welcomed(live.url, token()) as client:
        await client.subscribe("decisions")

        async def fail(*args: object) -> None:
            raise AssertionError("seeded by the test")

        monkeypatch.setattr(live.hub.feeds, "_catch_up", fail)
        reply = await client.ask("subscribe", channel="decisions", since=since)
        assert (reply["error"]["code"], reply["error"]["retry"]) == (codes.FAILED.number, True)
        monkeypatch.undo()
        reply = await client.ask("subscribe", channel="decisions", since=since)
        assert reply["result"]["recovered"]
        assert live.hub.tasks.failed == []


# The end of a hub.


async def test_drain(make_hub: MakeHub) -> None:
    """Everybody hears the notice, then is closed with 1012, one after another over the spread."""
    live = await make_hub(drain_seconds=2.0, drain_spread_seconds=0.5)
    ends: list[float] = []

    async def follow(stack: AsyncExitStack) -> list[Frame]:
        client = await stack.enter_async_context(welcomed(live.url, token()))
        await client.subscribe("portfolio")
        ready.release()
        frames, code, _ = await client.rest()
        ends.append(live.hub.clock())
        assert code == codes.RESTART.number
        return frames

    ready = asyncio.Semaphore(0)
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        followers = [group.create_task(follow(stack)) for _ in range(20)]
        for _ in range(20):
            await ready.acquire()
        live.begin_stop()
        await eventually(lambda: live.hub.draining, "it drains")
    for follower in followers:
        assert follower.result() == [
            {"type": "notice", "code": "shutdown", "in_ms": 2000, "spread_ms": 500}
        ]
    assert ends[-1] - ends[0] > 0.2
    await live.stop()


async def test_what_is_published_during_a_drain_is_heard(make_hub: MakeHub) -> None:
    """Until its close a client is served."""
    live = await make_hub(drain_seconds=2.0, drain_spread_seconds=1.0)
    broker = live.hub.broker
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(welcomed(live.url, token())) for _ in range(3)]
        for client in clients:
            await client.subscribe("decisions")
        live.begin_stop()
        for client in clients:
            assert (await client.recv())["type"] == "notice"
        await store(broker, entry(1, b"1"))
        heard = [[frame.get("seq") for frame in (await client.rest())[0]] for client in clients]
        assert [1] in heard
    await live.stop()


async def test_no_new_connections_during_a_drain(make_hub: MakeHub) -> None:
    """One that was on its way already is told to go elsewhere."""
    live = await make_hub()
    live.hub.draining = True
    async with opened(live.url, token()) as client:
        assert (await client.closed())[0] == codes.RESTART.number


async def test_a_client_that_does_not_leave(make_hub: MakeHub) -> None:
    """A drain ends in time though a client reads nothing, and answers no close."""
    live = await make_hub(drain_seconds=1.0)
    async with welcomed(live.url, token()) as client:
        client.stop_reading()
        await live.stop()
        assert not live.hub.connections
        client.vanish()


async def test_an_idle_hub_ends_at_once(make_hub: MakeHub) -> None:
    """With nobody connected there is nothing to wait for."""
    live = await make_hub(drain_seconds=3600.0, drain_spread_seconds=3600.0)
    await live.stop()
