"""Who is let in, by either adapter: tokens, deadlines, origins, and how many."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import InvalidStatus

from hub.protocol import codes
from hub.server.auth import mint_token
from tests.server.conftest import MakeHub
from tests.support.brokers import eventually
from tests.support.livehub import OWN, SECRET, Adapter, LiveHub, token
from tests.support.socket_client import exchange, opened, welcomed


def token_of(subject: str) -> str:
    """A token of somebody else."""
    return mint_token(SECRET, subject, read=["*"], ttl_seconds=600, now=time.time())


async def test_the_first_frame_is_the_welcome(make_hub: MakeHub) -> None:
    """A connection that may go on is told its session and how often it hears a heartbeat."""
    live = await make_hub(heartbeat_seconds=2.5)
    async with opened(live.url, token()) as client:
        welcome = await client.recv()
        assert welcome["type"] == "welcome"
        assert welcome["heartbeat_ms"] == 2500
        [session] = live.hub.connections
        assert welcome["session"] == session.id


async def test_a_token_in_the_header(live: LiveHub) -> None:
    """`Authorization: Bearer` opens a session that may send commands at once."""
    async with welcomed(live.url, token()) as client:
        assert client.connection.subprotocol == "tapecast.v1"
        assert await client.is_quiet()


async def test_a_token_as_sub_protocol(live: LiveHub) -> None:
    """A browser's way: the token is offered beside `tapecast.v1`, which alone is answered."""
    async with welcomed(live.url, offer=("tapecast.v1", f"bearer.{token()}")) as client:
        assert client.connection.subprotocol == "tapecast.v1"
        assert await client.is_quiet()


async def test_a_token_in_the_first_frame(live: LiveHub) -> None:
    """The auth command is answered with the subject and when the grant ends."""
    async with welcomed(live.url) as client:
        result = (await client.ask("auth", token=token()))["result"]
        assert result["subject"] == "test"
        assert result["expires_at"] > time.time()
        assert await client.is_quiet()


async def test_no_sub_protocol_is_none(live: LiveHub) -> None:
    """A client that offers no sub-protocol is served without one."""
    async with welcomed(live.url, token(), offer=()) as client:
        assert client.connection.subprotocol is None
        assert await client.is_quiet()


async def test_a_bad_token_is_closed_after_accept(live: LiveHub) -> None:
    """A browser sees the reason of a refusal only after the handshake, so that is when it comes."""
    foreign = mint_token("another secret of 32 bytes or more", "x", ttl_seconds=60, now=time.time())
    bad = [token(ttl_seconds=-60), foreign, "nonsense", "", "x" * 7_000]
    for shown in bad:
        async with opened(live.url, shown) as client:
            assert (await client.closed())[0] == codes.UNAUTHORIZED.number
            assert client.connection.subprotocol == "tapecast.v1"
    assert live.hub.metrics.closes[codes.UNAUTHORIZED] == len(bad)


async def test_a_bad_token_in_the_first_frame_closes(live: LiveHub) -> None:
    """The auth command refuses as the handshake does."""
    async with welcomed(live.url) as client:
        await client.command("auth", token="nonsense")
        code, reason = await client.closed()
        assert code == codes.UNAUTHORIZED.number
        assert "malformed" in reason


async def test_commands_before_auth_are_refused(live: LiveHub) -> None:
    """Every command but auth is answered with an error, and the connection waits on."""
    async with welcomed(live.url) as client:
        for method, params in (
            ("subscribe", {"channel": "portfolio"}),
            ("unsubscribe", {"channel": "portfolio"}),
            ("publish", {"channel": "portfolio", "event": "e", "data": 1}),
            ("ping", {}),
        ):
            error = (await client.ask(method, **params))["error"]
            assert error["code"] == codes.UNAUTHORIZED.number
        assert "result" in await client.ask("auth", token=token())
        assert await client.is_quiet()


async def test_no_token_in_time_closes(make_hub: MakeHub) -> None:
    """A socket without a token is closed at the deadline, however busy it is."""
    live = await make_hub(auth_seconds=0.2)
    async with welcomed(live.url) as client:
        await client.command("ping")
        assert (await client.closed())[0] == codes.AUTH_TIMEOUT.number


async def test_a_token_in_time_stops_the_deadline(make_hub: MakeHub) -> None:
    """A session with a grant is not looked at for its lack of one."""
    live = await make_hub(auth_seconds=0.2, heartbeat_seconds=0.1)
    async with welcomed(live.url) as client:
        await client.command("auth", token=token())
        for _ in range(4):
            await client.until(lambda frame: frame.get("type") == "heartbeat")


async def test_a_socket_ends_with_its_token(make_hub: MakeHub) -> None:
    """An open, authenticated socket is closed when its token expires."""
    live = await make_hub()
    async with welcomed(live.url, token(ttl_seconds=3)) as client:
        await client.subscribe("portfolio")
        code, reason = await client.closed()
        assert code == codes.UNAUTHORIZED.number
        assert reason == "the token is at its end"


async def test_a_new_token_prolongs(live: LiveHub) -> None:
    """A second auth takes the place of the first: the socket outlives the first token."""
    first = token(ttl_seconds=3)
    async with welcomed(live.url, first) as client:
        await client.subscribe("portfolio")
        result = (await client.ask("auth", token=token()))["result"]
        [session] = live.hub.connections
        assert session._ends_at is not None
        assert session._ends_at > live.hub.clock() + 60
        assert result["expires_at"] > time.time() + 60


async def test_a_connection_keeps_its_subject(live: LiveHub) -> None:
    """Another subject's token does not take over an open socket."""
    async with welcomed(live.url, token()) as client:
        await client.command("auth", token=token_of("somebody else"))
        assert (await client.closed())[0] == codes.FORBIDDEN.number


async def test_a_lesser_token_ends_what_it_does_not_allow(live: LiveHub) -> None:
    """A new token without the right to a channel that is followed closes the socket."""
    async with welcomed(live.url, token()) as client:
        await client.subscribe("portfolio")
        await client.command("auth", token=token(read=["decisions"]))
        assert (await client.closed())[0] == codes.FORBIDDEN.number


async def test_a_page_of_another_origin_is_refused(live: LiveHub) -> None:
    """Another origin's page is told so, however long its name is."""
    for origin in ("https://evil.example", "null", "https://" + "e" * 3000 + ".example"):
        async with opened(live.url, token(), origin=origin) as client:
            code, reason = await client.closed()
            assert code == codes.FORBIDDEN.number
            assert reason.startswith(f"pages of {origin}"[:60])
    assert live.hub.metrics.refusals[codes.FORBIDDEN] == 3


async def test_the_hubs_own_pages_may_connect(live: LiveHub) -> None:
    """The origin that the hub is addressed by is always allowed, over TLS in front of it too."""
    for origin in (live.url, live.url.replace("http", "https")):
        async with welcomed(live.url, token(), origin=origin) as client:
            assert await client.is_quiet()


async def test_a_listed_origin_may_connect(make_hub: MakeHub) -> None:
    """The list of the settings adds to the hub's own."""
    live = await make_hub(allowed_origins=("https://desk.example",))
    async with welcomed(live.url, token(), origin="https://desk.example") as client:
        assert await client.is_quiet()
    async with opened(live.url, token(), origin="https://desk.example.evil") as client:
        assert (await client.closed())[0] == codes.FORBIDDEN.number


async def test_a_full_hub_says_so(make_hub: MakeHub) -> None:
    """Beyond the cap a connection is told to try later; when one leaves there is room."""
    live = await make_hub(max_connections=2)
    async with welcomed(live.url, token()):
        async with welcomed(live.url, token()), opened(live.url, token()) as third:
            assert (await third.closed())[0] == codes.TRY_LATER.number
        await eventually(lambda: len(live.hub.connections) == 1, "one has left")
        async with welcomed(live.url, token()) as client:
            assert await client.is_quiet()


async def test_only_unknown_sub_protocols_are_refused(live: LiveHub, adapter: Adapter) -> None:
    """A client that would not understand a frame is refused in the handshake."""
    with pytest.raises(InvalidStatus) as refused:
        async with opened(live.url, token(), offer=("graphql-ws", "tapecast.v9")):
            pass
    # An ASGI application has no other answer before accept.
    assert refused.value.response.status_code == (400 if adapter is OWN else 403)


async def test_no_socket_at_another_path(live: LiveHub, adapter: Adapter) -> None:
    """An upgrade elsewhere is refused in the handshake."""
    for path in ("/", "/ws/", "/wss", "/api/v1/channels"):
        with pytest.raises(InvalidStatus) as refused:
            async with opened(live.url, token(), path=path):
                pass
        assert refused.value.response.status_code == (404 if adapter is OWN else 403)
    assert live.hub.metrics.accepted == 0


async def test_two_of_a_header_that_counts_once(live: LiveHub, adapter: Adapter) -> None:
    """Whose token or host it was would depend on who reads: the handshake is refused."""
    head = (
        b"GET /ws HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    authorization = b"Authorization: Bearer %b\r\n" % token().encode()
    for twice in (authorization * 2, b"Host: other\r\n" + authorization):
        answer = await exchange(live.url, head + twice + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 400 " if adapter is OWN else b"HTTP/1.1 403 ")


async def test_a_query_is_no_part_of_the_path(live: LiveHub) -> None:
    """What a proxy or a page appends does no harm, and a token in it is none."""
    async with welcomed(live.url, path=f"/ws?token={token()}&x=1") as client:
        assert (await client.ask("ping"))["error"]["code"] == codes.UNAUTHORIZED.number


async def test_no_token_is_logged(live: LiveHub, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever way a token is shown, no line of the log has it."""
    caplog.set_level("DEBUG", "hub")
    shown, refused = token(), token() + "x"
    async with welcomed(live.url, shown) as client:
        await client.subscribe("portfolio")
    async with opened(live.url, refused) as client:
        await client.closed()
    async with welcomed(live.url, offer=("tapecast.v1", f"bearer.{shown}")):
        pass
    cookie = f"tapecast-{urlsplit(live.url).port}="
    async with welcomed(live.url, cookie=cookie + shown, origin=live.url):
        pass
    async with opened(live.url, cookie=cookie + refused, origin=live.url) as client:
        await client.closed()
    assert shown[-20:] not in caplog.text


async def test_connections_at_once(live: LiveHub) -> None:
    """A hundred connections at the same moment are all let in, and all let go."""

    async def stay() -> None:
        async with welcomed(live.url, token()) as client:
            assert await client.is_quiet()

    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(stay())
    assert live.hub.metrics.accepted == 100
