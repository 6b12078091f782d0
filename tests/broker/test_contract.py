"""What hub/broker/base.py promises, held against every broker."""

from __future__ import annotations

import asyncio
import json

import pytest
from broadcaster import Broadcast

from hub.broker.base import Broker
from hub.protocol import codes
from hub.protocol.envelope import decode_envelope, decode_lease
from hub.protocol.errors import ChannelNameError, KindMismatchError, PayloadError
from hub.protocol.payload import MAX_DATA_BYTES
from hub.protocol.position import Position
from hub.protocol.publication import AppendEntry, Publication, Receipt, SetValue
from hub.protocol.reading import ChannelReading, missed
from hub.protocol.scripts import ANSWERS_KEPT
from hub.protocol.streams import Kind
from tests.broker.conftest import MakeBroker
from tests.support.brokers import eventually, hear, store
from tests.support.publications import entry, patch, rows, touch, value


async def heard_seqs(broker: Broker, count: int) -> dict[str, list[int]]:
    """The seqs of the next envelopes, by channel."""
    seqs: dict[str, list[int]] = {}
    for _ in range(count):
        channel, message = await hear(broker)
        assert isinstance(message, bytes)
        seqs.setdefault(channel, []).append(decode_envelope(channel, message).seq)
    return seqs


# Subscribing and hearing.


async def test_a_subscription_hears_every_publish_after_it(broker: Broker) -> None:
    """Once subscribe has returned, nothing that begins later is missed."""
    for n in range(20):
        channel = f"decisions:{n}"
        await broker.subscribe(channel)
        [receipt] = await store(broker, entry(n, b"%d" % n, channel=channel))
        heard_on, message = await hear(broker)
        assert isinstance(message, bytes)
        assert heard_on == channel
        assert decode_envelope(channel, message).position == receipt.position


async def test_the_message_is_the_stored_envelope(broker: Broker) -> None:
    """What is heard and what is read are the same bytes."""
    await broker.subscribe("decisions")
    await store(broker, entry(1, b'{"action":"BUY"}'))
    _channel, message = await hear(broker)
    [stored] = (await broker.read("decisions", 0, 10)).entries
    assert message == stored.payload
    assert stored.data == b'{"action":"BUY"}'


async def test_each_channel_is_heard_in_order(broker: Broker) -> None:
    """Publishes that go to many channels in turn arrive in each one's own order."""
    channels = [f"decisions:{n}" for n in range(5)]
    for channel in channels:
        await broker.subscribe(channel)
    await store(broker, *(entry(n, b"1", channel=channels[n % 5]) for n in range(500)))
    seqs = await heard_seqs(broker, 500)
    assert seqs == {channel: list(range(1, 101)) for channel in channels}


async def test_concurrent_subscriptions_are_all_heard(broker: Broker) -> None:
    """Many channels that are subscribed to at one moment do not disturb each other."""
    channels = [f"decisions:{n}" for n in range(50)]
    async with asyncio.TaskGroup() as tasks:
        for channel in channels:
            tasks.create_task(broker.subscribe(channel))
    await store(broker, *(entry(1, b"1", channel=channel) for channel in channels))
    assert await heard_seqs(broker, 50) == {channel: [1] for channel in channels}


async def test_a_held_subscription_can_be_asked_for_again(broker: Broker) -> None:
    """It returns at once, and nothing is heard twice."""
    await broker.subscribe("decisions")
    await broker.subscribe("decisions")
    await store(broker, entry(1, b"1"), entry(2, b"2"))
    assert await heard_seqs(broker, 2) == {"decisions": [1, 2]}
    await broker.unsubscribe("decisions")
    await broker.subscribe("alerts")
    await store(broker, entry(3, b"3"), entry(1, b"1", channel="alerts"))
    assert await heard_seqs(broker, 1) == {"alerts": [1]}


async def test_a_channel_outside_the_grammar_is_refused(broker: Broker) -> None:
    """A bad name reaches no broker, whatever is asked of it."""
    with pytest.raises(ChannelNameError):
        await broker.subscribe("Decisions")
    with pytest.raises(ChannelNameError):
        await broker.read("a b", None, 1)
    with pytest.raises(ChannelNameError):
        await broker.heads(["a}b"])
    with pytest.raises(ChannelNameError):
        await broker.publish("", b"1")


async def test_an_unsubscribed_channel_is_silent(broker: Broker) -> None:
    """What was published before unsubscribe and not heard yet is dropped, and all that follows."""
    await broker.subscribe("decisions")
    await broker.subscribe("alerts")
    await store(broker, entry(1, b"1"), entry(1, b"1", channel="alerts"))
    assert (await hear(broker))[0] == "decisions"
    await broker.unsubscribe("alerts")
    await store(broker, entry(2, b"2", channel="alerts"), entry(2, b"2"))
    channel, message = await hear(broker)
    assert isinstance(message, bytes)
    assert (channel, decode_envelope(channel, message).seq) == ("decisions", 2)


async def test_a_channel_can_be_subscribed_to_again(broker: Broker) -> None:
    """Unsubscribed and subscribed again, it hears what is published from then on."""
    await broker.subscribe("decisions")
    for n in range(1, 20):
        await broker.unsubscribe("decisions")
        await store(broker, entry(2 * n, b"unheard"))
        await broker.subscribe("decisions")
        [receipt] = await store(broker, entry(2 * n + 1, b"1"))
        assert await heard_seqs(broker, 1) == {"decisions": [receipt.position.seq]}


async def test_unsubscribing_from_nothing_never_fails(broker: Broker) -> None:
    """It is what a failed subscribe is cleaned up with."""
    await broker.unsubscribe("decisions")


async def test_a_bare_publish_is_heard_as_it_is(broker: Broker) -> None:
    """It has no position, and nothing of it stays."""
    await broker.subscribe("decisions")
    await broker.publish("decisions", b'{"hello":"world"}')
    assert await hear(broker) == ("decisions", b'{"hello":"world"}')
    assert await broker.read("decisions", None, 1) == ChannelReading.empty("decisions")


async def test_a_cancelled_wait_loses_nothing(broker: Broker) -> None:
    """Whoever stopped waiting for the next event gets it the next time."""
    await broker.subscribe("decisions")
    waiting = asyncio.create_task(broker.next_published())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    await store(broker, entry(1, b"1"))
    assert await heard_seqs(broker, 1) == {"decisions": [1]}


async def test_a_broadcast_stands_on_it(make_broker: MakeBroker) -> None:
    """It is a backend of broadcaster.Broadcast: subscribers get channel and bytes, in order."""
    broker = make_broker()
    async with (
        asyncio.timeout(20),
        Broadcast(backend=broker) as broadcast,
        broadcast.subscribe("decisions") as first,
        broadcast.subscribe("decisions") as second,
        broadcast.subscribe("alerts") as other,
    ):
        await store(broker, *(entry(n, b"1") for n in range(1, 11)))
        await broadcast.publish("alerts", b"by hand")
        for subscriber in (first, second):
            events = [await subscriber.get() for _ in range(10)]
            messages: list[object] = [event.message for event in events]
            seqs = [
                decode_envelope("decisions", message).seq
                for message in messages
                if isinstance(message, bytes)
            ]
            assert seqs == list(range(1, 11))
        event = await other.get()
        heard: object = event.message
        assert (event.channel, heard) == ("alerts", b"by hand")


async def test_the_probe_comes_back(broker: Broker) -> None:
    """A healthy broker delivers, and says so."""
    await eventually(lambda: broker.delivering, "delivering")


async def test_a_broker_that_is_not_connected_delivers_nothing(make_broker: MakeBroker) -> None:
    """Before it is connected and after it is disconnected, it says so."""
    broker = make_broker()
    assert not broker.delivering
    await broker.connect()
    await eventually(lambda: broker.delivering, "delivering")
    await broker.disconnect()
    assert not broker.delivering


# Publishing.


async def test_seqs_rise_by_one_and_tags_chain(broker: Broker) -> None:
    """Each accepted publish stands right after the one before, provably."""
    receipts = await store(broker, *(entry(n, b"%d" % n) for n in range(1, 11)))
    reading = await broker.read("decisions", 0, 100)
    assert reading.position == receipts[-1].position
    assert [entry.position for entry in reading.entries] == [
        receipt.position for receipt in receipts
    ]
    epoch = receipts[0].position.epoch
    assert missed(reading, Position(epoch, 0, "")) == reading.entries


async def test_answers_come_in_the_order_of_the_publishes(broker: Broker) -> None:
    """A refusal stands where its publish stood, and its neighbours are carried out."""
    answers = await broker.store(
        [
            entry(1, b"1"),
            entry(2, b"2", channel="No"),
            value(3, b"3", channel="decisions"),
            entry(4, b"4"),
        ]
    )
    assert isinstance(answers[0], Receipt)
    assert isinstance(answers[1], ChannelNameError)
    assert isinstance(answers[2], KindMismatchError)
    assert isinstance(answers[3], Receipt)
    assert (answers[0].position.seq, answers[3].position.seq) == (1, 2)


async def test_nothing_to_publish_is_answered_with_nothing(broker: Broker) -> None:
    """No publications, no answers."""
    assert await broker.store([]) == []


async def test_two_publishers_share_one_sequence(broker: Broker) -> None:
    """Publishes of several producers at one moment get contiguous seqs, each producer's rising."""

    async def publish(producer: str) -> list[int]:
        seqs = []
        for first in range(0, 100, 10):
            batch = (entry(n, b"1", producer=producer) for n in range(first, first + 10))
            seqs += [receipt.position.seq for receipt in await store(broker, *batch)]
        return seqs

    await broker.subscribe("decisions")
    left, right = await asyncio.gather(publish("left"), publish("right"))
    assert (left, right) == (sorted(left), sorted(right))
    assert sorted(left + right) == list(range(1, 201))
    assert await heard_seqs(broker, 200) == {"decisions": list(range(1, 201))}


async def test_a_repeated_publish_is_answered_the_same_and_heard_once(broker: Broker) -> None:
    """The same producer and number do nothing again, whatever came in between."""
    await broker.subscribe("decisions")
    [first] = await store(broker, entry(7, b"1"))
    await store(broker, entry(8, b"2"))
    [again] = await store(broker, entry(7, b"1"))
    [other] = await store(broker, entry(7, b"3", producer="other"))
    assert again == Receipt(first.position, duplicate=True)
    assert other.position.seq == 3
    assert await heard_seqs(broker, 3) == {"decisions": [1, 2, 3]}


async def test_ids_are_counted_for_each_channel(broker: Broker) -> None:
    """One number on two channels names two publishes."""
    receipts = await store(broker, entry(1, b"1"), entry(1, b"1", channel="alerts"))
    assert not any(receipt.duplicate for receipt in receipts)


async def test_an_id_is_forgotten_after_many_others(broker: Broker) -> None:
    """So many publishes of one producer are remembered; an older id counts as new."""
    await store(broker, entry(1, b"1"), entry(2, b"2"), entry(1 + ANSWERS_KEPT, b"3"))
    known, forgotten = await store(broker, entry(2, b"2"), entry(1, b"1"))
    assert (known.duplicate, forgotten.duplicate) == (True, False)


async def test_a_producer_claims_one_thing_a_channel(broker: Broker) -> None:
    """Asked for again it may be published, anything else may not."""
    assert await broker.claim("decisions", "p", b"1")
    assert await broker.claim("decisions", "p", b"1")
    assert not await broker.claim("decisions", "p", b"2")
    assert await broker.claim("decisions", "q", b"2")
    assert await broker.claim("news", "p", b"2")
    [receipt] = await store(broker, entry(1, b"1", producer="p"))
    assert not receipt.duplicate
    assert not await broker.claim("decisions", "p", b"2")
    with pytest.raises(ChannelNameError):
        await broker.claim("No", "p", b"1")


async def test_an_equal_value_is_not_published(broker: Broker) -> None:
    """It is answered with the position of the value it equals; another value is published."""
    await broker.subscribe("portfolio")
    first, same, other, back = await store(
        broker, value(1, b"1"), value(2, b"1"), value(3, b"2"), value(4, b"1")
    )
    assert same == Receipt(first.position, unchanged=True)
    assert [other.position.seq, back.position.seq] == [2, 3]
    reading = await broker.read("portfolio", None, 10)
    assert (reading.value, reading.kind) == (b"1", Kind.VALUE)
    assert [entry.data for entry in reading.entries] == [b"1", b"2", b"1"]
    heard = [message for _channel, message in [await hear(broker) for _ in range(4)]]
    assert isinstance(heard[1], bytes)
    renewed = decode_lease(heard[1])
    assert renewed is not None
    assert (renewed.lease_ms, renewed.position) == (0, first.position)


async def test_a_replaced_table_publishes_what_differs(broker: Broker) -> None:
    """The receipt names the rows that came, changed and went, and the envelope carries them."""
    table = {"a": b"1", "b": b"2", "c": b"3"}
    first, second, same, empty = await store(
        broker,
        rows(1, table),
        rows(2, {"b": b"2", "c": b"30", "d": b"4"}),
        rows(3, {"d": b"4", "c": b"30", "b": b"2"}),
        rows(4, {}),
    )
    assert first.inserted == ("a", "b", "c")
    assert (second.inserted, second.updated, second.deleted) == (("d",), ("c",), ("a",))
    assert same == Receipt(second.position, unchanged=True)
    assert empty.deleted == ("b", "c", "d")
    entries = (await broker.read("positions", 0, 10)).entries
    assert [json.loads(entry.data) for entry in entries] == [
        {"upsert": {"a": 1, "b": 2, "c": 3}, "delete": []},
        {"upsert": {"c": 30, "d": 4}, "delete": ["a"]},
        {"upsert": {}, "delete": ["b", "c", "d"]},
    ]


async def test_a_patched_table_keeps_the_other_rows(broker: Broker) -> None:
    """A patch names what changes; equal rows and absent keys are no change."""
    await store(broker, rows(1, {"a": b"1", "b": b"2"}))
    [receipt] = await store(broker, patch(2, {"a": b"1", "c": b"3"}, ("b", "x", "b")))
    [same] = await store(broker, patch(3, {"c": b"3"}, ("b",)))
    assert (receipt.inserted, receipt.updated, receipt.deleted) == (("c",), (), ("b",))
    assert same == Receipt(receipt.position, unchanged=True)
    reading = await broker.read("positions", None, 1)
    assert (reading.rows, reading.kind) == ({"a": b"1", "c": b"3"}, Kind.TABLE)
    assert json.loads(reading.entries[0].data) == {"upsert": {"c": 3}, "delete": ["b"]}


async def test_row_keys_of_any_text_travel_whole(broker: Broker) -> None:
    """Quotes, slashes, braces and letters of any script come back as they were given."""
    table = dict.fromkeys(('"', "\\", "a/b", "Zürich 東京", "\n", "{}", "\x7f"), b'{"x":"y"}')
    [receipt] = await store(broker, rows(1, table))
    assert sorted(receipt.inserted) == sorted(table)
    reading = await broker.read("positions", None, 1)
    assert reading.rows == table
    upsert = {key: {"x": "y"} for key in table}
    assert json.loads(reading.entries[0].data) == {"upsert": upsert, "delete": []}


async def test_a_keyed_entry_is_published_once(broker: Broker) -> None:
    """Equal data under one key is answered with the entry it equals; other data is published as
    a change."""
    first, _other, same, changed, unnamed = await store(
        broker,
        entry(1, b"1", key="d-1", changed_event="decision_updated"),
        entry(2, b"1"),
        entry(3, b"1", key="d-1", changed_event="decision_updated"),
        entry(4, b"2", key="d-1", changed_event="decision_updated"),
        entry(5, b"3", key="d-1"),
    )
    assert same == Receipt(first.position, unchanged=True)
    assert [changed.position.seq, unnamed.position.seq] == [3, 4]
    entries = (await broker.read("decisions", 0, 10)).entries
    assert [entry.event for entry in entries] == [
        "decision_made",
        "decision_made",
        "decision_updated",
        "decision_made",
    ]


async def test_the_oldest_entry_keys_are_forgotten_first(broker: Broker) -> None:
    """Beyond the stream's `keys_keep`, the key longest unchanged counts as new again."""
    for n, key in enumerate(["a", "b", "a", "c"]):
        await store(broker, entry(n, b"%d" % n, key=key, channel="short"))
    known, forgotten = await store(
        broker,
        entry(10, b"2", key="a", channel="short"),
        entry(11, b"1", key="b", channel="short"),
    )
    assert (known.unchanged, forgotten.unchanged) == (True, False)


async def test_a_channel_keeps_the_kind_of_its_first_publish(broker: Broker) -> None:
    """Whatever is configured, a publish or a touch of another kind is refused and does nothing."""
    [first] = await store(broker, value(1, b"1", channel="decisions"))
    refused = await broker.store([entry(2, b"2"), touch("decisions", Kind.TABLE, lease_ms=1000)])
    for answer in refused:
        assert isinstance(answer, KindMismatchError)
        assert answer.code is codes.KIND_MISMATCH
    reading = await broker.read("decisions", None, 10)
    assert (reading.position, reading.lease_ms) == (first.position, 0)


@pytest.mark.parametrize(
    "publication",
    [
        entry(1, b"1" * (MAX_DATA_BYTES + 1)),
        entry(1, b"1" * MAX_DATA_BYTES, key="k"),
        value(1, b"1" * (MAX_DATA_BYTES + 1)),
        rows(1, {"a": b"1" * (MAX_DATA_BYTES // 2), "b": b"1" * (MAX_DATA_BYTES // 2)}),
        patch(1, {"a": b"1"}, ("x" * MAX_DATA_BYTES,)),
    ],
    ids=["entry", "key", "value", "rows", "deletes"],
)
async def test_what_is_too_large_is_refused(broker: Broker, publication: Publication) -> None:
    """Data and keys together have a bound; beyond it, nothing is written."""
    [answer] = await broker.store([publication])
    assert isinstance(answer, PayloadError)
    assert answer.code is codes.TOO_LARGE
    assert await broker.channels() == []


@pytest.mark.parametrize(
    "publication",
    [
        Publication("decisions", Kind.LOG, "e", SetValue(b"1"), "paper", 1),
        Publication("decisions", Kind.VALUE, "e", AppendEntry(b"1"), "paper", 1),
        Publication("decisions", Kind.LOG, "e", AppendEntry(b"1"), "paper", -1),
        Publication("decisions", Kind.LOG, "e", AppendEntry(b"1"), "paper", 1, -1),
    ],
    ids=["value to a log", "entry to a value", "negative n", "negative lease"],
)
async def test_what_cannot_be_is_refused(broker: Broker, publication: Publication) -> None:
    """A publish that contradicts itself writes nothing."""
    [answer] = await broker.store([publication])
    assert isinstance(answer, PayloadError)
    assert answer.code is codes.INVALID_DATA
    assert await broker.channels() == []


async def test_an_event_outside_the_grammar_is_refused(broker: Broker) -> None:
    """An event's name stands in the envelope as it is, so a quote must not get there."""
    change = AppendEntry(b"1")
    [answer] = await broker.store([Publication("alerts", Kind.LOG, '"', change, "paper", 1)])
    assert isinstance(answer, ChannelNameError)
    assert await broker.channels() == []


# Leases.


async def test_a_publish_that_changes_nothing_renews_the_lease(broker: Broker) -> None:
    """Hubs hear it in a few bytes without a seq of its own; the lease keeps its length."""
    await broker.subscribe("portfolio")
    [receipt] = await store(broker, value(1, b"1", lease_ms=60_000))
    await store(broker, value(2, b"1"), touch("portfolio", Kind.VALUE))
    _channel, envelope = await hear(broker)
    assert isinstance(envelope, bytes)
    assert decode_lease(envelope) is None
    for _ in range(3):  # The length, which is new; the equal value; the touch.
        _channel, message = await hear(broker)
        assert isinstance(message, bytes)
        lease = decode_lease(message)
        assert lease is not None
        assert (lease.lease_ms, lease.position) == (60_000, receipt.position)
    reading = await broker.read("portfolio", None, 1)
    assert reading.lease_ms == 60_000
    assert reading.lease_left_ms is not None
    assert 0 < reading.lease_left_ms <= 60_000


async def test_a_lease_runs_out(broker: Broker) -> None:
    """What is left of it falls below nothing when nobody renews it."""
    await store(broker, value(1, b"1", lease_ms=1))
    left: list[int | None] = [None]

    async with asyncio.timeout(20):
        while left[-1] is None or left[-1] >= 0:
            left.append((await broker.read("portfolio", None, 0)).lease_left_ms)


async def test_a_touch_opens_a_channel_at_seq_0(broker: Broker) -> None:
    """A channel that was only touched has a kind and an epoch, which its first publish keeps."""
    [touched] = await store(broker, touch("status", Kind.VALUE, lease_ms=1000))
    assert (touched.position.seq, touched.position.tag, touched.unchanged) == (0, "", True)
    reading = await broker.read("status", None, 10)
    assert (reading.position, reading.kind) == (touched.position, Kind.VALUE)
    assert (reading.value, reading.entries, reading.lease_ms) == (None, (), 1000)
    [first] = await store(broker, value(1, b"1", channel="status"))
    assert (first.position.epoch, first.position.seq) == (touched.position.epoch, 1)


async def test_a_touch_has_no_id(broker: Broker) -> None:
    """It renews each time, and takes no number from the publishes."""
    await store(broker, touch("status", Kind.VALUE), touch("status", Kind.VALUE))
    [receipt] = await store(broker, value(0, b"1", channel="status"))
    assert not receipt.duplicate
    [touched] = await store(broker, touch("status", Kind.VALUE))
    assert touched == Receipt(receipt.position, unchanged=True)


# Reading.


async def test_reading_a_channel_that_nobody_wrote(broker: Broker) -> None:
    """It is empty, without a position."""
    assert await broker.read("decisions", None, 10) == ChannelReading.empty("decisions")
    assert await broker.read("decisions", 5, 10) == ChannelReading.empty("decisions")


async def test_reading_the_newest_and_reading_on(broker: Broker) -> None:
    """Entries come oldest first; the limit cuts the far end."""
    await store(broker, *(entry(n, b"%d" % n) for n in range(1, 8)))

    async def seqs(since: int | None, limit: int) -> list[int]:
        return [entry.seq for entry in (await broker.read("decisions", since, limit)).entries]

    assert await seqs(None, 3) == [5, 6, 7]
    assert await seqs(None, 99) == [1, 2, 3, 4, 5, 6, 7]
    assert await seqs(2, 3) == [3, 4, 5]
    assert await seqs(0, 99) == [1, 2, 3, 4, 5, 6, 7]
    assert await seqs(7, 99) == []
    assert await seqs(99, 99) == []
    assert await seqs(None, 0) == []
    assert await seqs(2, 0) == []


async def test_reading_without_the_state(broker: Broker) -> None:
    """A repair that needs entries alone leaves the state where it is."""
    await store(broker, value(1, b"1"), rows(1, {"a": b"1"}))
    portfolio = await broker.read("portfolio", 0, 10, state=False)
    positions = await broker.read("positions", 0, 10, state=False)
    assert (portfolio.value, len(portfolio.entries)) == (None, 1)
    assert (positions.rows, len(positions.entries)) == ({}, 1)


async def test_a_reading_is_not_changed_by_later_publishes(broker: Broker) -> None:
    """It is a channel at one moment."""
    await store(broker, rows(1, {"a": b"1"}))
    reading = await broker.read("positions", None, 10)
    await store(broker, rows(2, {"b": b"2"}))
    assert reading.rows == {"a": b"1"}


async def test_old_entries_go_and_prove_nothing(broker: Broker) -> None:
    """Beyond about the stream's `keep`, a position is no longer one to resume from."""
    receipts = await store(broker, *(entry(n, b"%d" % n, channel="short") for n in range(1, 401)))
    reading = await broker.read("short", 1, 1000)
    assert 10 <= len(reading.entries) <= 300
    assert missed(reading, receipts[0].position) is None
    assert missed(reading, receipts[-6].position) == reading.entries[-5:]


async def test_heads_are_where_channels_stand(broker: Broker) -> None:
    """One position for each channel asked for, None where nothing was published."""
    [decision] = await store(broker, entry(1, b"1"))
    [_, portfolio] = await store(broker, value(1, b"1"), value(2, b"2"))
    heads = await broker.heads(["portfolio", "alerts", "decisions", "portfolio"])
    assert heads == [portfolio.position, None, decision.position, portfolio.position]
    assert await broker.heads([]) == []


async def test_channels_are_those_that_were_published_to(broker: Broker) -> None:
    """Their names come sorted; one that is only subscribed to is none of them."""
    await broker.subscribe("alerts")
    await broker.publish("alerts", b"1")
    names = sorted({"portfolio", "a-b.c_d:e:f", *(f"decisions:{n}" for n in range(30))})
    await store(broker, *(entry(1, b"1", channel=name) for name in reversed(names)))
    assert await broker.channels() == names
