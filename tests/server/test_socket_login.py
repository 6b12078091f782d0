"""The log-in cookie at the socket, by either adapter."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from hub.protocol import codes
from tests.server.conftest import MakeHub
from tests.support.livehub import LiveHub, token
from tests.support.socket_client import exchange, opened, welcomed


def cookie(live: LiveHub, shown: str, prefix: str = "") -> str:
    """What a browser sends that keeps this token for the hub."""
    return f"theme=dark; {prefix}tapecast-{urlsplit(live.url).port}={shown}"


async def test_a_page_of_the_hub_is_let_in_by_its_cookie(live: LiveHub) -> None:
    """No token is shown by the page, which knows none."""
    async with welcomed(live.url, cookie=cookie(live, token()), origin=live.url) as client:
        assert await client.is_quiet()


async def test_a_page_over_tls_is_let_in_by_its_own_cookie_alone(live: LiveHub) -> None:
    """What a page in clear could have planted does not count."""
    origin = live.url.replace("http:", "https:")
    planted, own = cookie(live, token()), cookie(live, token(), "__Host-")
    async with welcomed(live.url, cookie=own, origin=origin) as client:
        assert await client.is_quiet()
    async with welcomed(live.url, cookie=planted, origin=origin) as client:
        assert (await client.ask("ping"))["error"]["code"] == codes.UNAUTHORIZED.number


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
async def test_a_page_of_another_origin_rides_on_no_cookie(live: LiveHub, origin: str) -> None:
    """A browser sends the cookie with a socket that any page opens on the same site."""
    async with opened(live.url, cookie=cookie(live, token()), origin=origin) as client:
        assert (await client.closed())[0] == codes.FORBIDDEN.number


async def test_without_an_origin_the_cookie_is_not_looked_at(live: LiveHub) -> None:
    """No browser opens a socket so; the connection waits for a token as any other."""
    async with welcomed(live.url, cookie=cookie(live, token())) as client:
        assert (await client.ask("ping"))["error"]["code"] == codes.UNAUTHORIZED.number
        assert "result" in await client.ask("auth", token=token())


async def test_a_listed_origin_is_let_in_by_the_cookie(make_hub: MakeHub) -> None:
    """A dashboard that is served beside the hub."""
    live = await make_hub(allowed_origins=("https://desk.example",))
    shown = cookie(live, token(), "__Host-")
    async with welcomed(live.url, cookie=shown, origin="https://desk.example") as client:
        assert await client.is_quiet()


async def test_a_token_that_is_shown_wins_over_the_cookie(live: LiveHub) -> None:
    """In the header and as a sub-protocol, whether it is good or not."""
    kept = cookie(live, token(subject="cookie"))
    offer = ("tapecast.v1", f"bearer.{token(subject='shown')}")
    async with (
        welcomed(live.url, token(subject="shown"), cookie=kept, origin=live.url) as by_header,
        welcomed(live.url, cookie=kept, origin=live.url, offer=offer) as by_offer,
    ):
        for client in (by_header, by_offer):
            assert await client.is_quiet()
        grants = [session.grant for session in live.hub.connections]
        assert [grant.subject for grant in grants if grant] == ["shown", "shown"]
    async with opened(live.url, "nonsense", cookie=kept, origin=live.url) as client:
        assert (await client.closed())[0] == codes.UNAUTHORIZED.number


async def test_a_cookie_at_its_end_is_told(live: LiveHub) -> None:
    """The page hears at once that somebody has to log in again."""
    kept = cookie(live, token(ttl_seconds=-1))
    async with opened(live.url, cookie=kept, origin=live.url) as client:
        code, reason = await client.closed()
        assert (code, reason) == (codes.UNAUTHORIZED.number, "the token has expired")


async def test_a_socket_ends_with_its_cookies_token(live: LiveHub) -> None:
    """An open connection outlives no log-in."""
    kept = cookie(live, token(ttl_seconds=3))
    async with welcomed(live.url, cookie=kept, origin=live.url) as client:
        assert (await client.closed())[0] == codes.UNAUTHORIZED.number


async def test_cookies_in_several_headers_are_one(live: LiveHub) -> None:
    """A proxy takes them apart for HTTP/2, and may leave them so."""
    head = (
        f"GET /ws HTTP/1.1\r\nHost: {urlsplit(live.url).netloc}\r\nOrigin: {live.url}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Cookie: theme=dark\r\nCookie: {cookie(live, 'nonsense')}\r\n\r\n"
    )
    answer = await exchange(live.url, head.encode())
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"malformed" in answer
