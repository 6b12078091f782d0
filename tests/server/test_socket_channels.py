"""Following channels, over either adapter: snapshots, resumes, states, pace and heartbeats."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from hub.broker.base import Broker
from hub.broker.memory import MemoryBroker
from hub.core.feed import RING_ENTRIES
from hub.protocol import codes
from hub.protocol import frames as hub_frames
from hub.protocol.envelope import encode_envelope
from hub.protocol.position import Position
from hub.protocol.streams import KNOWN, Kind, Stream
from tests.server.conftest import MakeHub, every_adapter
from tests.support.brokers import eventually, store
from tests.support.held_broker import HeldBroker
from tests.support.livehub import (
    LiveHub,
    token,
)
from tests.support.publications import entry, patch, rows, touch, value
from tests.support.socket_client import Frame, SocketClient, welcomed

adapter = every_adapter


@pytest.fixture
async def client(live: LiveHub) -> AsyncIterator[SocketClient]:
    """A client that may do everything."""
    async with welcomed(live.url, token()) as client:
        yield client


async def recv_many(client: SocketClient, count: int) -> list[Frame]:
    """The next frames."""
    return [await client.recv() for _ in range(count)]


def at(position: Position) -> dict[str, Any]:
    """A position as a client gives it in `since`."""
    return {"epoch": position.epoch, "seq": position.seq, "tag": position.tag}


def seqs(frames: Sequence[Frame]) -> list[int]:
    return [frame["seq"] for frame in frames]


# Snapshot and updates.


async def test_an_empty_channel(client: SocketClient) -> None:
    """A channel that nothing was published to stands at 0, and its snapshot is empty."""
    for channel, kind, data in (
        ("portfolio", "value", None),
        ("positions", "table", {"rows": {}}),
        ("decisions", "log", {"entries": []}),
    ):
        result, snapshot = await client.subscribe(channel)
        assert result == {
            "channel": channel,
            "epoch": "",
            "seq": 0,
            "tag": "",
            "kind": kind,
            "stale": False,
            "recovered": False,
            "interval_ms": 0,
        }
        assert (snapshot["seq"], snapshot["data"]) == (0, data)


async def test_a_snapshot_has_the_whole_state(client: SocketClient, broker: Broker) -> None:
    """By kind: the value, all rows, the newest entries; at the position of the reply."""
    await store(
        broker,
        value(1, b'{"equity":"1.50"}'),
        rows(2, {"a": b"1", "b": b"2"}),
        patch(3, {"c": b"3"}, ("a",)),
        *(entry(n, b'{"n":%d}' % n) for n in range(10, 15)),
    )
    _, snapshot = await client.subscribe("portfolio")
    assert snapshot["data"] == {"equity": "1.50"}
    result, snapshot = await client.subscribe("positions")
    assert snapshot["data"] == {"rows": {"b": 2, "c": 3}}
    assert (snapshot["seq"], snapshot["tag"]) == (result["seq"], result["tag"])
    _, snapshot = await client.subscribe("decisions")
    assert [e["data"]["n"] for e in snapshot["data"]["entries"]] == [10, 11, 12, 13, 14]
    assert [e["seq"] for e in snapshot["data"]["entries"]] == [1, 2, 3, 4, 5]


async def test_a_log_snapshot_is_as_long_as_its_history(make_hub: MakeHub) -> None:
    """The last `history` entries of the stream, and no more, also while the channel grows."""
    live = await make_hub(streams={**KNOWN, "short": Stream(history=3)})
    broker = live.hub.broker
    await store(broker, *(entry(n, b"%d" % n, channel="short") for n in range(5)))
    async with welcomed(live.url, token()) as client:
        _, snapshot = await client.subscribe("short")
        assert [e["data"] for e in snapshot["data"]["entries"]] == [2, 3, 4]
        await store(broker, entry(5, b"5", channel="short"))
        assert (await client.recv())["data"] == 5
        _, snapshot = await client.subscribe("short")
        assert [e["data"] for e in snapshot["data"]["entries"]] == [3, 4, 5]


async def test_an_update_is_the_published_envelope(client: SocketClient, broker: Broker) -> None:
    """What was published travels unchanged, and each update follows the one before."""
    await client.subscribe("decisions")
    await store(broker, *(entry(n, b'{"money":"%d.10"}' % n) for n in range(20)))
    stored = (await broker.read("decisions", 0, 100)).entries
    for envelope in stored:
        assert await client.connection.recv(decode=False) == envelope.payload
    assert seqs([{"seq": e.seq} for e in stored]) == list(range(1, 21))


async def test_a_channel_serves_who_follows_it_alone(live: LiveHub, broker: Broker) -> None:
    """Clients hear the channels that they follow, each of them once."""
    async with welcomed(live.url, token()) as one, welcomed(live.url, token()) as two:
        await one.subscribe("decisions")
        await one.subscribe("portfolio")
        await two.subscribe("decisions")
        await store(broker, value(1, b"1"), entry(2, b"2"))
        assert {(await one.recv())["channel"] for _ in range(2)} == {"portfolio", "decisions"}
        assert (await two.recv())["channel"] == "decisions"
        assert await one.is_quiet()
        assert await two.is_quiet()


async def test_a_kind_comes_with_the_first_publish(client: SocketClient, broker: Broker) -> None:
    """Who followed a channel before anybody knew its kind starts anew with the right one."""
    result, _ = await client.subscribe("unconfigured", interval_ms=1000)
    assert result["kind"] == "log"
    await store(broker, value(1, b'"up"', channel="unconfigured"))
    reset, snapshot = await recv_many(client, 2)
    assert (reset["type"], reset["state"], reset["kind"]) == ("channel", "reset", "value")
    assert (snapshot["type"], snapshot["data"]) == ("snapshot", "up")
    await store(broker, value(2, b'"down"', channel="unconfigured"))
    assert (await client.recv())["data"] == "down"


async def test_a_lost_history_is_announced(make_hub: MakeHub) -> None:
    """When the channels are gone subscribers are told, and shown the new history; a value's
    `interval_ms` does not outlive a channel that comes back as a log."""
    broker = MemoryBroker()
    live = await make_hub(broker, idle_check_seconds=0.1)
    await store(broker, value(1, b"1"), value(1, b"1", channel="status"))
    async with welcomed(live.url, token()) as client:
        await client.subscribe("portfolio")
        await client.subscribe("status", interval_ms=50)
        broker._channels.clear()
        await store(broker, value(2, b"2"), entry(1, b"1", channel="status"))
        frames = list(await recv_many(client, 4))
        for channel, kind in (("portfolio", "value"), ("status", "log")):
            reset, snapshot = [frame for frame in frames if frame["channel"] == channel]
            assert (reset["type"], reset["state"], reset["kind"]) == ("channel", "reset", kind)
            assert (snapshot["type"], snapshot["seq"]) == ("snapshot", 1)
        await store(broker, entry(2, b"2", channel="status"), entry(3, b"3", channel="status"))
        assert [frame["data"] for frame in await recv_many(client, 2)] == [2, 3]


# Options, and no longer.


async def test_a_second_subscribe_does_not_double(client: SocketClient, broker: Broker) -> None:
    """It is answered like the first and takes its place."""
    for _ in range(3):
        await client.subscribe("decisions")
    await store(broker, entry(1, b"1"))
    assert (await client.recv())["seq"] == 1
    assert await client.is_quiet()


async def test_unsubscribe(client: SocketClient, broker: Broker) -> None:
    """Nothing of the channel follows the reply; to leave what was never followed is no error."""
    await client.subscribe("decisions")
    for _ in range(2):
        assert (await client.ask("unsubscribe", channel="decisions"))["result"] == {
            "channel": "decisions"
        }
    await store(broker, entry(1, b"1"))
    assert await client.is_quiet()
    result, _ = await client.subscribe("decisions")
    assert result["seq"] == 1


async def test_subscriptions_are_bounded(make_hub: MakeHub) -> None:
    """One more than may be is refused; one that is left makes room."""
    live = await make_hub(max_subscriptions=2)
    async with welcomed(live.url, token()) as client:
        await client.subscribe("a")
        await client.subscribe("b")
        await client.subscribe("a")
        reply = await client.ask("subscribe", channel="c")
        assert reply["error"]["code"] == codes.TOO_MANY.number
        await client.ask("unsubscribe", channel="a")
        await client.subscribe("c")


async def test_leaving_while_the_feed_comes_up(make_hub: MakeHub) -> None:
    """A subscribe that was taken back is answered with an error, and nothing follows."""
    broker = HeldBroker()
    live = await make_hub(broker)
    for gate in (broker.subscribing, broker.reading):
        async with welcomed(live.url, token()) as client:
            gate.clear()
            channel = f"decisions:{id(gate)}"
            first = await client.command("subscribe", channel=channel)
            second = await client.command("unsubscribe", channel=channel)
            refused, left = await recv_many(client, 2)
            assert refused["id"] == first
            assert "replaced" in refused["error"]["message"]
            assert left == {"id": second, "result": {"channel": channel}}
            gate.set()
            await eventually(lambda c=channel: live.hub.registry.get(c) is not None, "it is up")  # type: ignore[misc]
            await store(broker, entry(1, b"1", channel=channel))
            assert await client.is_quiet()


async def test_asking_again_while_the_feed_comes_up(make_hub: MakeHub) -> None:
    """The last of many subscribes is served, once; the others are answered with an error."""
    broker = HeldBroker()
    live = await make_hub(broker)
    async with welcomed(live.url, token()) as client:
        broker.reading.clear()
        ids = [await client.command("subscribe", channel="decisions") for _ in range(50)]
        refused = await recv_many(client, 49)
        assert [frame["id"] for frame in refused] == ids[:-1]
        broker.reading.set()
        reply, snapshot = await recv_many(client, 2)
        assert reply["id"] == ids[-1]
        assert snapshot["type"] == "snapshot"
        await store(broker, entry(1, b"1"))
        assert (await client.recv())["seq"] == 1
        assert await client.is_quiet()


async def test_asking_again_leaves_one_feed(make_hub: MakeHub) -> None:
    """A channel that was asked for twice before it was up ends with its last subscriber; its feed
    used to be brought up twice, and once that was let go, updates came twice to whoever returned.
    """
    broker = HeldBroker()
    live = await make_hub(broker, feed_linger_seconds=0.05)
    async with welcomed(live.url, token()) as client:
        broker.reading.clear()
        for _ in range(2):
            await client.command("subscribe", channel="decisions")
        await client.recv()
        broker.reading.set()
        await recv_many(client, 2)
        await client.ask("unsubscribe", channel="decisions")
        await eventually(lambda: live.hub.registry.get("decisions") is None, "it was let go")
        await client.subscribe("decisions")
        await store(broker, entry(1, b"1"))
        assert (await client.recv())["seq"] == 1
        assert await client.is_quiet()


async def test_closing_while_the_feed_comes_up(make_hub: MakeHub) -> None:
    """A client that left before its feed was up leaves nothing behind."""
    broker = HeldBroker()
    live = await make_hub(broker)
    broker.reading.clear()
    async with welcomed(live.url, token()) as client:
        await client.command("subscribe", channel="decisions")
        assert await client.is_quiet()
    await eventually(lambda: not live.hub.connections, "the connection was let go")
    broker.reading.set()
    await eventually(lambda: live.hub.registry.get("decisions") is not None, "it is up")
    audience = live.hub.registry.get("decisions")
    assert audience is not None
    assert len(audience) == 0


async def test_a_lesser_token_while_the_feed_comes_up(make_hub: MakeHub) -> None:
    """What a new token does not allow is not served, though it was asked for before."""
    broker = HeldBroker()
    live = await make_hub(broker)
    broker.reading.clear()
    async with welcomed(live.url, token()) as client:
        await client.command("subscribe", channel="decisions")
        await client.command("auth", token=token(read=["portfolio"]))
        assert (await client.closed())[0] == codes.FORBIDDEN.number
    broker.reading.set()


# Resume.


async def test_a_log_is_resumed_entry_by_entry(client: SocketClient, broker: Broker) -> None:
    """Exactly what was missed follows the reply, then what is new."""
    receipts = await store(broker, *(entry(n, b"%d" % n) for n in range(1, 6)))
    for missed in range(6):
        since = (
            at(receipts[4 - missed].position)
            if missed < 5
            else {"epoch": receipts[0].position.epoch, "seq": 0, "tag": ""}
        )
        reply = await client.ask("subscribe", channel="decisions", since=since)
        assert reply["result"]["recovered"] is True
        assert reply["result"]["seq"] == 5
        frames = await recv_many(client, missed)
        assert seqs(frames) == list(range(6 - missed, 6))
    await store(broker, entry(6, b"6"))
    assert (await client.recv())["seq"] == 6


async def test_a_value_is_resumed_by_its_newest(client: SocketClient, broker: Broker) -> None:
    """One update that says what it skipped."""
    receipts = await store(broker, *(value(n, b"%d" % n) for n in range(1, 6)))
    reply = await client.ask("subscribe", channel="portfolio", since=at(receipts[0].position))
    assert reply["result"]["recovered"] is True
    update = await client.recv()
    assert (update["type"], update["data"]) == ("update", 5)
    assert (update["prev"], update["seq"], update["skipped"]) == (1, 5, 3)
    assert await client.is_quiet()


async def test_a_table_is_resumed_by_its_changes(client: SocketClient, broker: Broker) -> None:
    """The rows that differ, deletes kept, in one update."""
    receipts = await store(
        broker,
        rows(1, {"a": b"1", "b": b"2", "c": b"3"}),
        patch(2, {"a": b"10"}),
        patch(3, {"d": b"4"}, ("b",)),
        patch(4, {"a": b"11"}),
    )
    reply = await client.ask("subscribe", channel="positions", since=at(receipts[0].position))
    assert reply["result"]["recovered"] is True
    update = await client.recv()
    assert update["data"] == {"upsert": {"a": 11, "d": 4}, "delete": ["b"]}
    assert (update["prev"], update["skipped"]) == (1, 2)


async def test_a_place_that_cannot_be_proved_is_not_resumed(
    client: SocketClient, broker: Broker
) -> None:
    """Another epoch, another tag, a place ahead of the channel: a snapshot, and it is said."""
    receipts = await store(broker, *(entry(n, b"%d" % n) for n in range(1, 4)))
    known = at(receipts[1].position)
    for since in (
        {**known, "epoch": "another"},
        {**known, "tag": "00000000"},
        {**known, "seq": 9},
        {**known, "seq": 0},
    ):
        reply = await client.ask("subscribe", channel="decisions", since=since)
        assert reply["result"]["recovered"] is False
        snapshot = await client.recv()
        assert snapshot["type"] == "snapshot"
        assert [e["seq"] for e in snapshot["data"]["entries"]] == [1, 2, 3]
    assert await client.is_quiet()


async def test_resume_beyond_what_the_hub_remembers(live: LiveHub, client: SocketClient) -> None:
    """The broker knows more: the client gets every entry, and none twice."""
    broker = live.hub.broker
    await client.subscribe("decisions")
    count = RING_ENTRIES + 200
    receipts = await store(broker, *(entry(n, b"%d" % n) for n in range(1, count + 1)))
    await recv_many(client, count)
    since = at(receipts[9].position)
    reply = await client.ask("subscribe", channel="decisions", since=since)
    assert reply["result"]["recovered"] is True
    assert seqs(await recv_many(client, count - 10)) == list(range(11, count + 1))
    await store(broker, entry(count + 1, b"0"))
    assert (await client.recv())["seq"] == count + 1
    assert await client.is_quiet()


async def test_resume_beyond_what_the_broker_keeps(make_hub: MakeHub) -> None:
    """What nobody has any more is not made up for by half: a snapshot, and it is said."""
    streams = {**KNOWN, "short": Stream(history=5, keep=10)}
    live = await make_hub(MemoryBroker(streams=streams), streams=streams)
    entries = (entry(n, b"%d" % n, channel="short") for n in range(1, 31))
    receipts = await store(live.hub.broker, *entries)
    async with welcomed(live.url, token()) as client:
        since = at(receipts[2].position)
        reply = await client.ask("subscribe", channel="short", since=since)
        assert reply["result"]["recovered"] is False
        assert (await client.recv())["type"] == "snapshot"
        reply = await client.ask("subscribe", channel="short", since=at(receipts[20].position))
        assert reply["result"]["recovered"] is True
        assert seqs(await recv_many(client, 9)) == list(range(22, 31))


async def test_entries_that_come_while_the_broker_is_asked(make_hub: MakeHub) -> None:
    """A resume that takes a reading misses nothing that is published meanwhile."""
    broker = HeldBroker()
    live = await make_hub(broker)
    count = RING_ENTRIES + 10
    receipts = await store(broker, *(entry(n, b"%d" % n) for n in range(1, count + 1)))
    async with welcomed(live.url, token()) as client:
        await client.subscribe("decisions")
        broker.reading.clear()
        id = await client.command("subscribe", channel="decisions", since=at(receipts[0].position))
        await store(broker, *(entry(n, b"%d" % n) for n in range(count + 1, count + 6)))
        live_seqs = [(await client.recv())["seq"] for _ in range(5)]
        broker.reading.set()
        reply = await client.recv()
        assert reply["id"] == id
        assert reply["result"]["recovered"] is True
        assert seqs(await recv_many(client, count + 4)) == list(range(2, count + 6))
        assert live_seqs == list(range(count + 1, count + 6))


async def test_resumes_by_the_broker_are_bounded(make_hub: MakeHub) -> None:
    """However often a client asks for a resume that takes a reading, few are made for it."""
    broker = HeldBroker()
    live = await make_hub(broker)
    count = RING_ENTRIES + 10
    receipts = await store(broker, *(entry(n, b"%d" % n) for n in range(1, count + 1)))
    async with welcomed(live.url, token()) as client:
        await client.subscribe("decisions")
        broker.reading.clear()
        before = broker.reads
        since = at(receipts[0].position)
        for _ in range(200):
            await client.command("subscribe", channel="decisions", since=since)
        await recv_many(client, 199)
        tasks = len(live.hub.tasks._tasks)
        broker.reading.set()
        assert (await client.recv())["result"]["recovered"] is True
        await recv_many(client, count - 1)
        assert broker.reads - before <= 2
        assert tasks < 10


# Life signs.


async def test_sessions_that_heard_the_same_share_a_heartbeat(
    live: LiveHub, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written once for all whose heads are the same, anew at each tick, and nobody is told of
    a channel that is not its own."""
    written: list[dict[str, int]] = []
    heartbeat = hub_frames.heartbeat

    def watched(ts: int, heads: dict[str, int]) -> bytes:
        written.append(heads)
        return heartbeat(ts, heads)

    monkeypatch.setattr(hub_frames, "heartbeat", watched)
    async with (
        welcomed(live.url, token(ttl_seconds=100_000)) as a,
        welcomed(live.url, token(ttl_seconds=100_000)) as b,
        welcomed(live.url, token(ttl_seconds=100_000)) as c,
    ):
        await store(broker, value(1, b"1"))
        for client, channel in ((a, "portfolio"), (b, "portfolio"), (c, "decisions")):
            await client.subscribe(channel)
        expected = ({"portfolio": 1}, {"portfolio": 1}, {"decisions": 0})
        for beats in (1, 2):
            live.hub.tick(live.hub.clock() + beats * 3601)
            for client, heads in zip((a, b, c), expected, strict=True):
                beat = await client.recv()
                assert (beat["type"], beat["heads"]) == ("heartbeat", heads)
            assert len(written) == 2 * beats


async def test_heartbeats_have_the_heads(make_hub: MakeHub) -> None:
    """Each says where every channel of this connection stands."""
    live = await make_hub(heartbeat_seconds=0.1)
    async with welcomed(live.url, token()) as client:
        await client.until(lambda frame: frame.get("heads") == {})
        await client.command("subscribe", channel="decisions")
        await client.command("subscribe", channel="portfolio", interval_ms=50)
        await client.until(lambda frame: frame.get("heads") == {"decisions": 0, "portfolio": 0})
        await store(live.hub.broker, entry(1, b"1"), entry(2, b"2"), value(3, b"3"))
        frames = await client.until(
            lambda frame: frame.get("heads") == {"decisions": 2, "portfolio": 1}
        )
        assert frames[-1]["ts"] > 1_600_000_000_000_000
        # A head that the client has not reached would make it resume.
        reached = dict.fromkeys(("decisions", "portfolio"), 0)
        for frame in frames:
            if frame["type"] == "update":
                reached[frame["channel"]] = frame["seq"]
            else:
                assert frame["heads"] == reached


async def test_a_silent_producer_is_stale(make_hub: MakeHub) -> None:
    """A channel whose producer missed its deadline is marked, and live again with a publish."""
    live = await make_hub(streams={**KNOWN, "portfolio": Stream(Kind.VALUE, deadline_seconds=0.2)})
    broker = live.hub.broker
    async with welcomed(live.url, token()) as client:
        await client.subscribe("portfolio")
        [receipt] = await store(broker, value(1, b"1"))
        update, stale = await recv_many(client, 2)
        assert (stale["type"], stale["state"]) == ("channel", "stale")
        assert stale["since"] == update["ts"]
        result, _ = await client.subscribe("portfolio")
        assert result["stale"] is True
        assert (await client.recv())["state"] == "stale"
        reply = await client.ask("subscribe", channel="portfolio", since=at(receipt.position))
        assert reply["result"]["stale"] is True
        assert (await client.recv())["state"] == "stale"
        await store(broker, value(2, b"2"))
        back, update = await recv_many(client, 2)
        assert (back["type"], back["state"]) == ("channel", "live")
        assert update["data"] == 2


async def test_a_renewed_lease_is_not_forwarded(client: SocketClient, broker: Broker) -> None:
    """A quiet producer that lives keeps its channel live, and nobody hears of it."""
    await store(broker, value(1, b"1", lease_ms=3_600_000))
    await client.subscribe("portfolio")
    for n in range(2, 12):
        await store(broker, value(n, b"1"), touch("portfolio", Kind.VALUE))
    assert await client.is_quiet()


async def test_a_lease_brings_a_channel_back(client: SocketClient, broker: Broker) -> None:
    """What is unchanged is live again as soon as its producer is."""
    await store(broker, value(1, b"1", lease_ms=100))
    await client.subscribe("portfolio")
    assert (await client.recv())["state"] == "stale"
    await store(broker, value(2, b"1", lease_ms=3_600_000))
    assert (await client.recv())["state"] == "live"
    assert await client.is_quiet()


# What others put into the broker.


async def test_a_bare_publish_is_live_only(client: SocketClient, broker: Broker) -> None:
    """JSON that somebody published by hand is fanned out without a position."""
    await client.subscribe("decisions")
    await broker.publish("decisions", b'{"event":"note","data":{"text":"hand made"}}')
    frame = await client.recv()
    assert {"seq", "epoch", "tag"}.isdisjoint(frame)
    assert (frame["type"], frame["event"], frame["data"]) == (
        "update",
        "note",
        {"text": "hand made"},
    )
    await broker.publish("decisions", b"[1,2]")
    frame = await client.recv()
    assert (frame["event"], frame["data"]) == ("message", [1, 2])
    result, snapshot = await client.subscribe("decisions")
    assert (result["seq"], snapshot["data"]) == (0, {"entries": []})


async def test_poison_is_not_passed_on(live: LiveHub, client: SocketClient) -> None:
    """What no publisher writes is dropped and counted; what follows is served as ever."""
    broker = live.hub.broker
    await client.subscribe("decisions")
    [receipt] = await store(broker, entry(1, b'"good"'))
    assert (await client.recv())["data"] == "good"
    other = encode_envelope("portfolio", "e", receipt.position, 1, b'"of another channel"')
    poison = [
        b"",
        b"\xff\xfe",
        b"not json",
        b'{"equity":NaN}',
        b'{"data":"NaN","event":"e"}',
        b"[" * 100_000,
        other.payload,
        other.payload[:-1],
        b"~",
        b"~1 x",
    ]
    for message in poison:
        await broker.publish("decisions", message)
    forged = encode_envelope(
        "decisions", "e", Position(receipt.position.epoch, 1, "00000000"), 1, b'"forged"'
    )
    ahead = encode_envelope("decisions", "e", Position("other", 41, "00000000"), 1, b'"ahead"')
    await broker.publish("decisions", forged.payload)
    await broker.publish("decisions", ahead.payload)
    await store(broker, entry(2, b'"good still"'))
    update = await client.recv()
    assert (update["seq"], update["data"]) == (2, "good still")
    assert await client.is_quiet()
    assert live.hub.metrics.rejected == len(poison)


# Many at once.


async def test_everybody_at_once(live: LiveHub) -> None:
    """500 clients subscribe at the same moment to a channel that nobody had: one feed is brought
    up, and each of them receives the next publish."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(welcomed(live.url, token())) for _ in range(500)]
        for client in clients:
            await client.command("subscribe", channel="decisions:new")
        for client in clients:
            assert "result" in await client.recv()
            assert (await client.recv())["type"] == "snapshot"
        await store(live.hub.broker, entry(1, b"1", channel="decisions:new"))
        for client in clients:
            assert (await client.recv())["seq"] == 1
        # One to bring the feed up, one for the name of the history that the publish began.
        assert live.hub.metrics.readings == 2


async def test_joining_while_it_is_published(live: LiveHub) -> None:
    """Clients that join at any moment see each entry once: in the snapshot, or as an update."""
    broker = live.hub.broker
    total = 300

    async def publish() -> None:
        for n in range(1, total + 1):
            await store(broker, entry(n, b"%d" % n))
            await asyncio.sleep(0)

    async def join(client: SocketClient) -> list[int]:
        _, snapshot = await client.subscribe("decisions")
        seq = snapshot["seq"]
        frames = await client.until(lambda frame: frame["seq"] == total) if seq < total else []
        return [seq, *(frame["seq"] for frame in frames)]

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(welcomed(live.url, token())) for _ in range(20)]
        async with asyncio.TaskGroup() as group:
            group.create_task(publish())
            joins = [group.create_task(join(client)) for client in clients]
        for joined in joins:
            seqs = joined.result()
            assert seqs == list(range(seqs[0], total + 1))


# Pace.


async def test_at_most_one_update_an_interval(make_hub: MakeHub) -> None:
    """A paced value is conflated, accountably, and its last update comes in any case."""
    live = await make_hub()
    broker = live.hub.broker
    async with welcomed(live.url, token()) as client:
        result, _ = await client.subscribe("portfolio", interval_ms=200)
        assert result["interval_ms"] == 200
        started = live.hub.clock()
        for n in range(1, 101):
            await store(broker, value(n, b"%d" % n))
            await asyncio.sleep(0.005)
        updates = await client.until(lambda frame: frame["seq"] == 100)
        took = live.hub.clock() - started
        assert updates[-1]["data"] == 100
        assert len(updates) <= took / 0.2 + 1
        seq = 0
        for update in updates:
            prev = update.get("prev", update["seq"] - 1)
            assert prev == seq
            assert update.get("skipped", 0) == update["seq"] - prev - 1
            seq = update["seq"]
        assert await client.is_quiet()


async def test_a_paced_table_adds_up(make_hub: MakeHub) -> None:
    """Applied in order, conflated updates lead to the same rows."""
    live = await make_hub()
    broker = live.hub.broker
    async with welcomed(live.url, token()) as client:
        _, snapshot = await client.subscribe("positions", interval_ms=100)
        table = snapshot["data"]["rows"]
        for n in range(60):
            deleted = (f"k{(n + 3) % 7}",) if n % 3 == 0 else ()
            await store(broker, patch(n, {f"k{n % 7}": b"%d" % n}, deleted))
            await asyncio.sleep(0.005)
        reading = await broker.read("positions", None, 1)
        assert reading.position is not None
        last = reading.position.seq
        for update in await client.until(lambda frame: frame["seq"] == last):
            for key in update["data"]["delete"]:
                table.pop(key, None)
            table.update(update["data"]["upsert"])
        assert table == {key: int(row) for key, row in reading.rows.items()}


async def test_a_log_is_never_paced(client: SocketClient, broker: Broker) -> None:
    """The reply says that the interval was not taken."""
    result, _ = await client.subscribe("decisions", interval_ms=60_000)
    assert result["interval_ms"] == 0
    await store(broker, *(entry(n, b"1") for n in range(10)))
    assert seqs(await recv_many(client, 10)) == list(range(1, 11))


async def test_a_later_subscribe_changes_the_pace(client: SocketClient, broker: Broker) -> None:
    """From slow to at once, with nothing lost in between."""
    await client.subscribe("portfolio", interval_ms=60_000)
    await store(broker, value(1, b"1"))
    assert (await client.recv())["seq"] == 1
    await store(broker, value(2, b"2"))
    assert await client.is_quiet()
    _, snapshot = await client.subscribe("portfolio", interval_ms=0)
    assert snapshot["seq"] == 2
    await store(broker, value(3, b"3"))
    assert (await client.recv())["seq"] == 3
    assert await client.is_quiet()
