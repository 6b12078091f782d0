"""Frames that break RFC 6455, frames that only look so, and the ends of connections, over either
adapter. One client's garbage is never another's concern."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hub.broker.base import Broker
from hub.protocol import codes
from tests.support.brokers import eventually, store
from tests.support.client_frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    client_frame,
    close_payload,
)
from tests.support.livehub import OWN, Adapter, LiveHub, token
from tests.support.publications import value
from tests.support.socket_client import SocketClient, welcomed

pytestmark = pytest.mark.every_loop


@pytest.fixture
async def client(live: LiveHub, broker: Broker) -> AsyncIterator[SocketClient]:
    """A client that may do everything. Beside it another listens, and is served at the end as if
    there had been nobody else."""
    async with welcomed(live.url, token()) as bystander:
        await bystander.subscribe("status")
        async with welcomed(live.url, token()) as client:
            yield client
        await store(broker, value(1, b'"RUNNING"', channel="status"))
        assert (await bystander.recv())["data"] == "RUNNING"
        assert await bystander.is_quiet()


BREACHES = [
    ("1 MB", client_frame(TEXT, b"a" * 1024 * 1024), codes.TOO_BIG),
    ("one byte over 64 KB", client_frame(TEXT, b"a" * 65_537), codes.TOO_BIG),
    ("binary", client_frame(BINARY, b"\x00"), codes.UNSUPPORTED),
    ("reserved bits", client_frame(TEXT, b"{}", reserved=4), codes.PROTOCOL_BREACH),
    ("an unknown opcode", client_frame(0x3, b""), codes.PROTOCOL_BREACH),
    ("unmasked", client_frame(TEXT, b"{}", mask=None), codes.PROTOCOL_BREACH),
    ("a continuation of nothing", client_frame(CONTINUATION, b"{}"), codes.PROTOCOL_BREACH),
    ("a long ping", client_frame(PING, b"a" * 126), codes.PROTOCOL_BREACH),
    ("a close of one byte", client_frame(CLOSE, b"\x03"), codes.PROTOCOL_BREACH),
    (
        "a message within a message",
        client_frame(TEXT, b"{", fin=False) + client_frame(TEXT, b"}"),
        codes.PROTOCOL_BREACH,
    ),
    ("no UTF-8", client_frame(TEXT, b'{"\xff"}'), codes.BAD_TEXT),
    ("a surrogate", client_frame(TEXT, b"\xed\xa0\x80"), codes.BAD_TEXT),
    ("an overlong NUL", client_frame(TEXT, b"\xc0\x80"), codes.BAD_TEXT),
]


@pytest.mark.complains("Invalid UTF-8 sequence received from client.")
async def test_a_breach_closes_at_once(live: LiveHub, broker: Broker) -> None:
    """With the code that RFC 6455 gives, while whoever listens beside it is served."""
    async with welcomed(live.url, token()) as bystander:
        await bystander.subscribe("status")
        for n, (what, data, code) in enumerate(BREACHES):
            async with welcomed(live.url, token()) as client:
                await client.subscribe("status")
                client.write(data)
                assert (await client.closed())[0] == code.number, what
            await store(broker, value(n, b"%d" % n, channel="status"))
            assert (await bystander.recv())["data"] == n
        assert await bystander.is_quiet()


async def test_a_declared_size_is_enough_to_refuse(client: SocketClient, adapter: Adapter) -> None:
    """A frame that says that it is large is refused before its payload comes."""
    declared = 2**40 if adapter is OWN else 2**30
    client.write(client_frame(TEXT, b"", declared=declared))
    assert (await client.closed())[0] == codes.TOO_BIG.number


async def test_fragments_make_one_command(client: SocketClient) -> None:
    """A command in pieces, with a ping and a pong between them, is answered as one."""
    client.write(
        client_frame(TEXT, b'{"id":1,', fin=False)
        + client_frame(PING, b"are you there")
        + client_frame(CONTINUATION, b'"method":', fin=False)
        + client_frame(PONG, b"never asked")
        + client_frame(CONTINUATION, b'"ping"}')
    )
    assert await client.recv() == {"id": 1, "result": {}}


async def test_many_commands_in_one_segment(client: SocketClient) -> None:
    """Commands that arrive together are all answered, in order."""
    client.write(
        b"".join(client_frame(TEXT, b'{"id":%d,"method":"ping"}' % id) for id in range(1000))
    )
    assert [(await client.recv())["id"] for _ in range(1000)] == list(range(1000))


async def test_a_command_in_pieces(client: SocketClient) -> None:
    """It matters not how the network cuts a frame."""
    frame = client_frame(TEXT, b'{"id":1,"method":"ping","params":{}}')
    for cut in range(1, len(frame), 5):
        client.write(frame[:cut])
        client.write(frame[cut:])
        assert await client.recv() == {"id": 1, "result": {}}


async def test_ping_is_answered_with_pong(client: SocketClient) -> None:
    """With the same payload, and while the connection is idle."""
    await (await client.connection.ping(b"payload"))
    await (await client.connection.ping(b""))
    assert await client.is_quiet()


async def test_a_clients_close_is_answered(live: LiveHub) -> None:
    """With its own code (RFC 6455 section 5.5.1), and the connection is let go."""
    for payload, echoed in (
        (close_payload(1000, b"bye"), 1000),
        (close_payload(4999), 4999),
        (b"", 1005),
    ):
        async with welcomed(live.url, token()) as client:
            client.write(client_frame(CLOSE, payload))
            assert (await client.closed())[0] == echoed
            await eventually(lambda: not live.hub.connections, "the connection was let go")
    assert live.hub.metrics.closes[codes.NORMAL] == 3


async def test_what_follows_a_close_is_not_looked_at(live: LiveHub, client: SocketClient) -> None:
    """A command after the client's own close has no effect."""
    command = b'{"id":1,"method":"publish","params":{"channel":"decisions","event":"e","data":1}}'
    client.write(client_frame(CLOSE, close_payload(1000)) + client_frame(TEXT, command))
    await client.closed()
    await eventually(lambda: len(live.hub.connections) == 1, "the connection was let go")
    assert await live.hub.broker.heads(["decisions"]) == [None]


async def test_a_client_that_vanishes_is_let_go(live: LiveHub, client: SocketClient) -> None:
    """A reset connection leaves its channels at once."""
    await client.subscribe("portfolio")
    client.vanish()
    await eventually(lambda: len(live.hub.connections) == 1, "the connection was let go")
    audience = live.hub.registry.get("portfolio")
    assert audience is not None
    assert len(audience) == 0


async def test_a_client_that_closes_half_is_let_go(live: LiveHub, client: SocketClient) -> None:
    """Whoever sends no more is gone: a WebSocket has no half."""
    client.connection.transport.write_eof()
    await eventually(lambda: len(live.hub.connections) == 1, "the connection was let go")
