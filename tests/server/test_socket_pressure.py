"""Clients that read slowly or not at all, over either adapter: each has what it is owed or is told
so, and the others notice nothing."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from random import Random

import pytest

from hub.core.outbox import Outbox
from hub.protocol import codes
from tests.server.conftest import MakeHub
from tests.support.brokers import eventually, store
from tests.support.client_frames import PING, TEXT, client_frame
from tests.support.livehub import ASGI, OWN, OWN_COMPRESSED, Adapter, LiveHub, token
from tests.support.publications import entry, patch, value
from tests.support.socket_client import SocketClient, opened, welcomed

pytestmark = pytest.mark.every_loop

SMALL = 4096
"""A receive buffer that the kernel soon finds full."""
LARGE = b'"' + b64encode(Random(1).randbytes(75_000)) + b'"'
"""Large compressed too."""


@pytest.fixture(params=[OWN, ASGI, OWN_COMPRESSED], ids=lambda adapter: adapter.name)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    """Compressed or not, a slow client is owed the same."""
    found: Adapter = request.param
    return found


def outbox_of(live: LiveHub, index: int = 0) -> Outbox:
    """The outbox of the connection that came as the `index`-th of those that are open."""
    return list(live.hub.connections)[index].outbox


async def stop_and_fill(live: LiveHub, client: SocketClient, channel: str, index: int = 0) -> int:
    """Let the client stop reading, and publish values to the channel until its connection takes
    no more; returns how many were published."""
    client.stop_reading()
    published = 0
    while not outbox_of(live, index).paused:
        published += 1
        assert published < 1000, "the connection never took too much"
        data = b'{"n":%d,"fill":%b}' % (published, LARGE)
        await store(live.hub.broker, value(published, data, channel=channel))
        await asyncio.sleep(0)
        await eventually_applied(live, channel, published)
    return published


async def eventually_applied(live: LiveHub, channel: str, seq: int) -> None:
    """Return once the hub's feed has reached `seq`, and its audience was served."""
    audience = live.hub.registry.get(channel)
    assert audience is not None
    await eventually(lambda: audience.seq >= seq, f"{channel} reached {seq}")


async def test_a_slow_client_skips_values(make_hub: MakeHub) -> None:
    """A value under back-pressure goes to its newest, says what it skipped, and waits in no
    queue."""
    live = await make_hub(stall_seconds=3600.0)
    async with welcomed(live.url, token(), receive_buffer=SMALL) as client:
        await client.subscribe("portfolio")
        filled = await stop_and_fill(live, client, "portfolio")
        last = filled + 200
        for n in range(filled + 1, last + 1):
            await store(live.hub.broker, value(n, b'{"n":%d}' % n))
        await eventually_applied(live, "portfolio", last)
        assert outbox_of(live).waiting_bytes == 0
        client.read_on()
        updates = await client.until(lambda frame: frame["seq"] == last)
        assert updates[-1]["data"] == {"n": last}
        assert updates[-1]["skipped"] >= 199
        seq = 0
        for update in updates:
            assert update.get("prev", update["seq"] - 1) == seq
            assert update.get("skipped", 0) == update["seq"] - seq - 1
            seq = update["seq"]
        await store(live.hub.broker, value(last + 1, b'{"n":0}'))
        update = await client.recv()
        assert (update["seq"], "prev" in update) == (last + 1, False)


async def test_a_slow_clients_table_adds_up(make_hub: MakeHub) -> None:
    """Rows that differ and deletes are kept over what was skipped."""
    live = await make_hub(stall_seconds=3600.0)
    async with welcomed(live.url, token(), receive_buffer=SMALL) as client:
        _, snapshot = await client.subscribe("positions")
        table = snapshot["data"]["rows"]
        await client.subscribe("status")
        await stop_and_fill(live, client, "status")
        for n in range(100):
            deleted = (f"k{(n + 3) % 7}",) if n % 3 == 0 else ()
            await store(live.hub.broker, patch(n, {f"k{n % 7}": b"%d" % n}, deleted))
        reading = await live.hub.broker.read("positions", None, 1)
        assert reading.position is not None
        last = reading.position.seq
        await eventually_applied(live, "positions", last)
        client.read_on()
        frames = await client.until(
            lambda frame: frame["channel"] == "positions" and frame["seq"] == last
        )
        updates = [frame for frame in frames if frame["channel"] == "positions"]
        assert len(updates) < 10
        for update in updates:
            for key in update["data"]["delete"]:
                table.pop(key, None)
            table.update(update["data"]["upsert"])
        assert table == {key: int(row) for key, row in reading.rows.items()}


async def test_a_log_waits_for_a_slow_client(make_hub: MakeHub) -> None:
    """Within its bounds the outbox holds each entry, in order."""
    live = await make_hub(stall_seconds=3600.0)
    async with welcomed(live.url, token(), receive_buffer=SMALL) as client:
        await client.subscribe("decisions")
        await client.subscribe("status")
        await stop_and_fill(live, client, "status")
        for n in range(1, 301):
            await store(live.hub.broker, entry(n, b"%d" % n))
        await eventually_applied(live, "decisions", 300)
        assert outbox_of(live).waiting_bytes > 0
        client.read_on()
        frames = await client.until(lambda frame: frame.get("data") == 300)
        decisions = [frame for frame in frames if frame["channel"] == "decisions"]
        assert [frame["seq"] for frame in decisions] == list(range(1, 301))
        await eventually(lambda: outbox_of(live).clear, "nothing waits any more")


async def test_a_log_that_overflows_closes_and_resumes(make_hub: MakeHub) -> None:
    """4508 after frames without a hole; with the last position the client resumes exactly."""
    live = await make_hub(stall_seconds=3600.0, outbox_bytes=64 * 1024)
    text = b'"' + b"x" * 2000 + b'"'
    async with welcomed(live.url, token(), receive_buffer=SMALL) as client:
        await client.subscribe("decisions")
        await client.subscribe("status")
        await stop_and_fill(live, client, "status")
        await store(live.hub.broker, *(entry(n, text) for n in range(1, 101)))
        await eventually_applied(live, "decisions", 100)
        assert live.hub.metrics.closes[codes.TOO_SLOW] == 1
        client.read_on()
        frames, code, _ = await client.rest()
        assert code == codes.TOO_SLOW.number
        decisions = [frame for frame in frames if frame["channel"] == "decisions"]
        assert [frame["seq"] for frame in decisions] == list(range(1, len(decisions) + 1))
    since = {"epoch": "", "seq": 0, "tag": ""}
    if decisions:
        since = {key: decisions[-1][key] for key in since}
    async with welcomed(live.url, token()) as client:
        reply = await client.ask("subscribe", channel="decisions", since=since)
        assert reply["result"]["recovered"] is True
        missed = [(await client.recv())["seq"] for _ in range(100 - len(decisions))]
        assert missed == list(range(len(decisions) + 1, 101))
        assert await client.is_quiet()


async def test_a_log_that_waits_too_long_closes(make_hub: MakeHub) -> None:
    """An entry that waited for `outbox_seconds` ends the connection, however small it is."""
    live = await make_hub(stall_seconds=3600.0, outbox_seconds=0.2)
    async with welcomed(live.url, token(), receive_buffer=SMALL) as client:
        await client.subscribe("decisions")
        await client.subscribe("status")
        await stop_and_fill(live, client, "status")
        await store(live.hub.broker, entry(1, b"1"))
        await eventually(lambda: live.hub.metrics.closes[codes.TOO_SLOW] == 1, "it was closed")
        client.read_on()
        assert (await client.closed())[0] == codes.TOO_SLOW.number


async def test_a_client_that_stopped_reading_is_freed(make_hub: MakeHub) -> None:
    """Within its deadline, while the others are served, and with nothing piled up for it."""
    live = await make_hub(stall_seconds=0.5)
    async with (
        welcomed(live.url, token(), receive_buffer=SMALL) as stalled,
        welcomed(live.url, token()) as other,
    ):
        await stalled.subscribe("status")
        await other.subscribe("status")
        filled = await stop_and_fill(live, stalled, "status")
        await eventually(lambda: len(live.hub.connections) == 1, "the stalled one was let go")
        assert live.hub.metrics.closes[codes.ABNORMAL] == 1
        updates = await other.until(lambda frame: frame["seq"] == filled)
        assert [update["seq"] for update in updates] == list(range(1, filled + 1))
        stalled.read_on()


async def test_a_client_that_asks_and_never_reads(make_hub: MakeHub) -> None:
    """Its commands are no longer read while it takes no answers, so that few of them wait; and it
    is freed as one that stopped reading."""
    live = await make_hub(stall_seconds=0.5)
    await store(live.hub.broker, value(1, LARGE))
    async with opened(live.url, token(), receive_buffer=SMALL) as client:
        client.stop_reading()
        # Large commands with larger answers: all of them would be more than may wait.
        command = '{"id":1,"method":"subscribe","params":{"channel":"portfolio"},"fill":"%s"}'
        client.write(client_frame(TEXT, (command % ("x" * 30_000)).encode()) * 150)
        outbox, peaks = outbox_of(live), [0]

        def is_let_go() -> bool:
            peaks.append(outbox.waiting_bytes)
            return not live.hub.connections

        await eventually(is_let_go, "it was let go")
        assert live.hub.metrics.closes == {codes.ABNORMAL: 1}
        # The answers to what one read brings, at most.
        assert max(peaks) < 2_000_000
        client.read_on()


async def test_pings_that_nobody_hears_the_answers_of(make_hub: MakeHub) -> None:
    """A flood of pings from a client that reads nothing costs no more than its buffer."""
    live = await make_hub(stall_seconds=0.5)
    async with (
        welcomed(live.url, token()) as other,
        opened(live.url, token(), receive_buffer=SMALL) as client,
    ):
        client.stop_reading()
        await other.subscribe("decisions")
        client.write(client_frame(PING, b"p" * 125) * 40_000)
        await store(live.hub.broker, entry(1, b"1"))
        assert (await other.recv())["seq"] == 1
        client.vanish()


async def test_a_paced_client_under_pressure(make_hub: MakeHub) -> None:
    """Pace and back-pressure together still end at the newest value."""
    live = await make_hub(stall_seconds=3600.0)
    async with welcomed(live.url, token(), receive_buffer=SMALL) as client:
        await client.subscribe("portfolio", interval_ms=50)
        await client.subscribe("status")
        await stop_and_fill(live, client, "status")
        for n in range(1, 51):
            await store(live.hub.broker, value(n, b"%d" % n))
        await eventually_applied(live, "portfolio", 50)
        client.read_on()
        frames = await client.until(lambda frame: frame.get("data") == 50)
        seq = 0
        for update in (frame for frame in frames if frame["channel"] == "portfolio"):
            assert update.get("prev", update["seq"] - 1) == seq
            seq = update["seq"]


async def test_what_waits_keeps_its_order(make_hub: MakeHub) -> None:
    """A foreign publish waits between the entries that came before and after it."""
    live = await make_hub(stall_seconds=3600.0)
    await store(live.hub.broker, entry(0, b"0"))
    async with welcomed(live.url, token(), receive_buffer=SMALL) as client:
        await client.subscribe("decisions")
        await client.subscribe("status")
        await stop_and_fill(live, client, "status")
        await store(live.hub.broker, entry(1, b"1"))
        await live.hub.broker.publish("decisions", b'"by hand"')
        await store(live.hub.broker, entry(2, b"2"))
        await eventually_applied(live, "decisions", 3)
        client.read_on()
        frames = await client.until(lambda frame: frame.get("data") == 2)
        told = [frame["data"] for frame in frames if frame["channel"] == "decisions"]
        assert told == [1, "by hand", 2]
