"""Compressed connections of our own adapter, over real sockets."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from random import Random

import pytest
from websockets.extensions.permessage_deflate import PerMessageDeflate

from hub.broker.base import Broker
from hub.core.frame import Frame
from hub.protocol import codes
from hub.server import deflate as deflate_module
from hub.server import media, wsframes
from hub.server.deflate import deflate
from hub.server.media import PLAIN, compressing
from hub.server.websocket import WebSocketProtocol
from hub.server.wsframes import FrameReader, InflatingReader, encode_compressed_text
from tests.server.conftest import MakeHub
from tests.support.brokers import eventually, store
from tests.support.client_frames import CONTINUATION, TEXT, client_frame
from tests.support.livehub import OWN, Adapter, LiveHub, token
from tests.support.publications import entry, rows, value
from tests.support.socket_client import SocketClient, welcomed

ROWS = {f"p-{n}": b'{"side":"LONG","size":"%d.50"}' % n for n in range(200)}
LARGE = b'"' + b"large " * 1_000 + b'"'


@pytest.fixture(params=[OWN], ids=lambda adapter: adapter.name)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    """The one that compresses by itself."""
    found: Adapter = request.param
    return found


@pytest.fixture
async def live(make_hub: MakeHub) -> LiveHub:
    """A hub that compresses as it does where the setting alone was turned on."""
    return await make_hub(compression=True, compression_bytes=1024)


@pytest.fixture
async def client(live: LiveHub) -> AsyncIterator[SocketClient]:
    """A client that may do everything, and offers compression as browsers do."""
    async with welcomed(live.url, token()) as client:
        yield client


@pytest.fixture
def deflated(monkeypatch: pytest.MonkeyPatch) -> Counter[bytes]:
    """How often the hub compressed each payload."""
    counted: Counter[bytes] = Counter()

    def counting(payload: bytes) -> bytes:
        counted[payload] += 1
        return deflate(payload)

    monkeypatch.setattr(media, "deflate", counting)
    return counted


def extension_of(client: SocketClient) -> PerMessageDeflate | None:
    """What was agreed to for the client's connection."""
    extensions = client.connection.protocol.extensions
    assert len(extensions) <= 1
    found = extensions[0] if extensions else None
    assert found is None or isinstance(found, PerMessageDeflate)
    return found


# Spelling


def test_a_small_frame_is_the_same_bytes_for_all() -> None:
    """Below the bound there is one spelling, with compression or without."""
    frame = Frame(b"x" * 99)
    [piece] = compressing(100).by_batch.spell([frame])
    assert piece is frame.wire
    assert PLAIN.by_batch.spell([frame]) == (piece,)


def test_a_large_frame_is_compressed_once() -> None:
    """RSV1 says so, and whoever asks again gets the same bytes."""
    frame = Frame(b"x" * 100)
    [piece] = compressing(100).by_batch.spell([frame])
    assert piece == encode_compressed_text(deflate(frame.payload))
    assert len(piece) < 20
    assert compressing(100).by_batch.spell([frame])[0] is piece
    assert frame.wire is None


def test_what_compression_makes_larger_is_left_as_it_is() -> None:
    """Such a frame is tried once."""
    frame = Frame(Random(1).randbytes(1_000))
    [piece] = compressing(100).by_batch.spell([frame])
    assert piece is frame.wire
    assert frame.compressed is piece


def test_frames_that_go_out_together_are_one_piece() -> None:
    """Each spelled by itself, so that it is the same bytes alone and among others."""
    frames = [Frame(b"a" * 10), Frame(b"b" * 200), Frame(b"c" * 300)]
    [joined] = compressing(100).by_batch.spell(frames)
    assert joined == b"".join(compressing(100).by_batch.spell([frame])[0] for frame in frames)


def test_connections_of_one_hub_have_one_medium() -> None:
    """So an audience serves them by one loop; both media share what was compressed."""
    assert compressing(100) is compressing(100)
    assert compressing(100) is not compressing(101)
    frame = Frame(b"x" * 100)
    assert compressing(100).by_transport.spell([frame])[0] is frame.compressed
    assert compressing(100).by_batch.spell([frame])[0] is frame.compressed


# Connections


async def test_compression_is_off_by_default(make_hub: MakeHub) -> None:
    """A client that offers it is served without."""
    live = await make_hub(compression=False)
    async with welcomed(live.url, token()) as client:
        assert extension_of(client) is None
        await store(live.hub.broker, value(1, LARGE))
        _, snapshot = await client.subscribe("portfolio")
        assert snapshot["data"] == json.loads(LARGE)
        [connection] = live.hub.connections.values()
        assert isinstance(connection, WebSocketProtocol)
        assert type(connection._reader) is FrameReader


async def test_neither_side_keeps_a_context(client: SocketClient, live: LiveHub) -> None:
    """What was agreed to lets the hub hold no zlib object for a connection."""
    agreed = extension_of(client)
    assert agreed is not None
    assert agreed.local_no_context_takeover
    assert agreed.remote_no_context_takeover
    await client.subscribe("portfolio")
    [connection] = live.hub.connections.values()
    assert isinstance(connection, WebSocketProtocol)
    assert isinstance(connection._reader, InflatingReader)
    assert connection._reader._inflater is None


async def test_a_storm_of_joiners_costs_one_compression(
    live: LiveHub, deflated: Counter[bytes]
) -> None:
    """The snapshot is compressed once for all of them, and each update once again; whoever did not
    agree to compression is served beside them."""
    broker = live.hub.broker
    await store(broker, rows(1, ROWS))
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(welcomed(live.url, token())) for _ in range(50)]
        plain = await stack.enter_async_context(welcomed(live.url, token(), compression=None))
        clients.append(plain)
        for client in clients:
            _, snapshot = await client.subscribe("positions")
            assert len(snapshot["data"]["rows"]) == 200
        assert list(deflated.values()) == [1]
        assert extension_of(plain) is None
        await store(
            broker, rows(2, {key: row.replace(b"LONG", b"SHORT") for key, row in ROWS.items()})
        )
        for client in clients:
            update = await client.recv()
            assert {row["side"] for row in update["data"]["upsert"].values()} == {"SHORT"}
        assert list(deflated.values()) == [1, 1]
        await store(broker, rows(3, {"p-1": b"1"}))
        for client in clients:
            assert (await client.recv())["data"]["upsert"] == {"p-1": 1}


async def test_what_is_below_the_bound_is_not_compressed(
    client: SocketClient, broker: Broker, deflated: Counter[bytes]
) -> None:
    """Small updates, replies and heartbeats go out as they are."""
    await store(broker, value(1, b'"small"'))
    await client.subscribe("portfolio")
    assert await client.is_quiet()
    assert not deflated


async def test_a_compressed_publish_is_published(
    client: SocketClient, live: LiveHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that compresses what it says is understood, and others see it."""
    inflated: list[int] = []

    class Counting(deflate_module.Inflater):
        def inflate(self, payload: bytes, room: int, *, last: bool) -> bytes:
            found = super().inflate(payload, room, last=last)
            inflated.append(len(found))
            return found

    monkeypatch.setattr(wsframes, "Inflater", Counting)
    data = {"note": "x" * 30_000}
    async with welcomed(live.url, token()) as viewer:
        await viewer.subscribe("notes")
        reply = await client.ask("publish", channel="notes", event="noted", data=data)
        assert reply["result"]["seq"] == 1
        assert (await viewer.recv())["data"] == data
    assert max(inflated) > 30_000


async def test_a_returning_client_gets_what_it_missed(live: LiveHub) -> None:
    """Entries that are compressed, and some that are not, in their order."""
    texts = [LARGE if n % 2 else b'"small"' for n in range(40)]
    receipts = await store(live.hub.broker, *(entry(n, text) for n, text in enumerate(texts)))
    first = receipts[0].position
    since = {"epoch": first.epoch, "seq": first.seq, "tag": first.tag}
    async with welcomed(live.url, token()) as client:
        reply = await client.ask("subscribe", channel="decisions", since=since)
        assert reply["result"]["recovered"] is True
        missed = [(await client.recv())["data"] for _ in texts[1:]]
        assert missed == [json.loads(text) for text in texts[1:]]
        assert await client.is_quiet()


BREACHES = [
    ("a bomb", deflate(b"x" * 10_000_000), codes.TOO_BIG),
    ("one byte over 64 KB", deflate(b" " * 65_537), codes.TOO_BIG),
    ("no DEFLATE data", b"{}", codes.PROTOCOL_BREACH),
    ("a message that is cut off", deflate(b"{}")[:-1], codes.PROTOCOL_BREACH),
    ("no UTF-8", deflate(b'{"\xff"}'), codes.BAD_TEXT),
]


async def test_a_breach_closes_at_once(live: LiveHub) -> None:
    """With the code that fits, while whoever listens beside it is served."""
    async with welcomed(live.url, token()) as bystander:
        await bystander.subscribe("status")
        for n, (what, data, code) in enumerate(BREACHES):
            async with welcomed(live.url, token()) as client:
                client.write(client_frame(TEXT, data, reserved=0b100))
                assert (await client.closed())[0] == code.number, what
            await store(live.hub.broker, value(n, b"%d" % n, channel="status"))
            assert (await bystander.recv())["data"] == n


async def test_a_bomb_in_fragments_closes(client: SocketClient) -> None:
    """The bound is that of the message, not of a frame."""
    part = deflate(b"x" * 30_000) + b"\0\0\xff\xff"
    client.write(client_frame(TEXT, part, fin=False, reserved=0b100))
    client.write(client_frame(CONTINUATION, part, fin=False) * 2)
    assert (await client.closed())[0] == codes.TOO_BIG.number


async def test_rsv1_is_a_breach_where_nothing_was_agreed(live: LiveHub) -> None:
    """Who did not offer compression can't use it."""
    async with welcomed(live.url, token(), compression=None) as client:
        client.write(client_frame(TEXT, deflate(b'{"id":1,"method":"ping"}'), reserved=0b100))
        assert (await client.closed())[0] == codes.PROTOCOL_BREACH.number
    await eventually(lambda: not live.hub.connections, "it was let go")
