from __future__ import annotations

import asyncio

import pytest

from tests.server.conftest import MakeHub
from tests.support.livehub import OWN, Adapter, LiveHub, token
from tests.support.socket_client import exchange, welcomed

pytestmark = pytest.mark.every_loop

GET = b"GET /healthz HTTP/1.1\r\nHost: hub\r\n"
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.fixture(params=[OWN], ids=lambda adapter: adapter.name)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    """Another ASGI server has bounds of its own."""
    found: Adapter = request.param
    return found


@pytest.fixture
async def hasty(make_hub: MakeHub) -> LiveHub:
    """A hub that waits 0.3 s for a request's head."""
    return await make_hub(handshake_seconds=0.3)


async def test_a_head_of_megabytes(live: LiveHub) -> None:
    """It is refused with 431 when the bound is passed, whether it ends or not."""
    for head in (GET, UPGRADE):
        for megabytes in (1, 3):
            large = b"X-Large: " + b"x" * (megabytes * 1024 * 1024) + b"\r\n"
            for end in (b"\r\n", b""):
                answer = await exchange(live.url, head + large + end, end=True)
                assert answer.startswith(b"HTTP/1.1 431 "), answer[:100]
                assert answer.endswith(b"too large.\n")


async def test_a_head_in_one_piece_that_is_too_large(live: LiveHub) -> None:
    """A head of more than 64 KB that fits into one read is refused as well."""
    lines = b"".join(b"X-%d: %b\r\n" % (n, b"x" * 4000) for n in range(20))
    for head in (GET, UPGRADE):
        answer = await exchange(live.url, head + lines + b"\r\n", end=True)
        assert answer.startswith(b"HTTP/1.1 431 "), answer[:100]


async def test_a_body_is_no_head(live: LiveHub) -> None:
    """A body that is larger than a head may be is not counted as one, however it is cut."""
    body = b"x" * 200_000
    request = (
        b"POST /api/v1/channels/decisions HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n"
        b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n" % (token().encode(), len(body))
    )
    for cut in (0, 1, len(request) - 1, len(request), len(request) + 70_000):
        answer = await exchange_in_two(live.url, request + body, cut)
        assert b" 431 " not in answer.splitlines()[0], cut


async def exchange_in_two(url: str, request: bytes, cut: int) -> bytes:
    """As `exchange`, with what the hub reads first ending at `cut`."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(20):
            writer.write(request[:cut])
            await writer.drain()
            await asyncio.sleep(0.02)  # The kernel may still join the two; nothing depends on it.
            writer.write(request[cut:])
            return await reader.read()
    finally:
        writer.close()


async def test_a_head_that_never_ends(hasty: LiveHub) -> None:
    """It is cut off at the deadline, with 408 where anything was said."""
    begun = (b"G", GET, UPGRADE, b"\r\n\r\n")
    silent, *answers = await asyncio.gather(*(exchange(hasty.url, said) for said in (b"", *begun)))
    assert silent == b""
    for answer in answers:
        assert answer.startswith(b"HTTP/1.1 408 "), answer


async def test_a_trickle_does_not_prolong_the_deadline(hasty: LiveHub) -> None:
    """The deadline runs from the connection, not from the last byte."""
    host, port = hasty.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    started = hasty.hub.clock()
    answer = asyncio.create_task(reader.read())
    try:
        async with asyncio.timeout(20):
            for byte in GET * 100:
                if answer.done():
                    break
                writer.write(bytes([byte]))
                await asyncio.sleep(0.02)
            assert (await answer).startswith(b"HTTP/1.1 408 ")
        assert hasty.hub.clock() - started < 10
    finally:
        writer.close()


async def test_an_empty_line_keeps_no_connection(hasty: LiveHub) -> None:
    """After a request an empty line begins no other; it used to end every deadline there was."""
    host, port = hasty.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(20):
            writer.write(GET + b"\r\n")
            await reader.readuntil(b"}")
            writer.write(b"\r\n")
            assert b" 408 " in (await reader.read()).splitlines()[0]
    finally:
        writer.close()


async def test_requests_on_one_connection(hasty: LiveHub) -> None:
    """A connection that is kept alive has a deadline for each head, and none between them."""
    host, port = hasty.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(20):
            for _ in range(3):
                writer.write(GET + b"\r\n")
                assert b" 200 " in (await reader.readuntil(b"}")).splitlines()[0]
                await asyncio.sleep(0.2)  # Together longer than a head may take.
            # An upgrade after requests takes uvicorn's way, and the same deadlines end.
            head = UPGRADE + b"Authorization: Bearer " + token().encode() + b"\r\n\r\n"
            writer.write(head[:50])
            writer.write(head[50:])
            assert b" 101 " in (await reader.readuntil(b"\r\n\r\n")).splitlines()[0]
            assert b'"welcome"' in await reader.readuntil(b"}")
            await asyncio.sleep(0.5)  # Longer than a head may take.
            assert len(hasty.hub.connections) == 1
    finally:
        writer.close()


async def test_an_upgrade_in_pieces(live: LiveHub) -> None:
    """A head that comes in several reads opens the same socket as one that comes whole."""
    head = UPGRADE + b"Authorization: Bearer " + token().encode() + b"\r\n\r\n"
    for cut in (1, 20, len(head) - 3, len(head) - 1):
        host, port = live.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            async with asyncio.timeout(20):
                writer.write(head[:cut])
                await writer.drain()
                await asyncio.sleep(0.02)  # The kernel may still join the two.
                writer.write(head[cut:])
                assert b" 101 " in (await reader.readuntil(b"\r\n\r\n")).splitlines()[0]
                assert b'"welcome"' in await reader.readuntil(b"}")
        finally:
            writer.close()


async def test_sockets_are_not_disturbed(make_hub: MakeHub) -> None:
    """An open socket outlives every deadline of the handshake."""
    live = await make_hub(handshake_seconds=0.1, heartbeat_seconds=0.1)
    async with welcomed(live.url, token()) as client:
        for _ in range(5):
            assert (await client.recv())["type"] == "heartbeat"


async def test_what_is_no_http_is_answered_as_such(live: LiveHub) -> None:
    """TLS spoken to a plain port, and other protocols."""
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)
    for said in (hello, b"PING\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"):
        assert (await exchange(live.url, said)).startswith(b"HTTP/1.1 400 ")
