"""Logging in, and what the cookie is good for over HTTP."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest

from hub.broker.memory import MemoryBroker
from hub.protocol import codes
from hub.server import keys
from hub.server.auth import ALGORITHM
from hub.server.login import BODY_BYTES
from tests.server.test_rest import CHANNELS, error_of
from tests.support.livehub import SECRET, LiveHub, token

SESSION = "/api/v1/session"
DESK = "https://desk.example"


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[LiveHub]:
    """A hub that one other origin may use."""
    keys_file = str(tmp_path / "keys.json")
    async with LiveHub(MemoryBroker(), allowed_origins=(DESK,), keys_file=keys_file) as live:
        yield live


@pytest.fixture
async def http(live: LiveHub) -> AsyncIterator[httpx.AsyncClient]:
    """A browser's page of the hub itself, as far as cookies go."""
    async with httpx.AsyncClient(base_url=live.url) as http:
        yield http


def cookie_of(response: httpx.Response) -> Any:
    """The one cookie that an answer sets: name, value and attributes."""
    [(_, morsel)] = SimpleCookie(response.headers["Set-Cookie"]).items()
    return morsel


async def log_in(http: httpx.AsyncClient, shown: str, origin: str | None = None) -> httpx.Response:
    """Show a token, from a page of the hub where no other is named."""
    headers = {"Origin": origin or str(http.base_url).rstrip("/")}
    return await http.post(SESSION, json={"token": shown}, headers=headers)


async def test_a_token_is_kept_until_it_ends(http: httpx.AsyncClient, live: LiveHub) -> None:
    """The answer is empty; the cookie is the token, where no script finds it, for its time."""
    shown = token(ttl_seconds=600)
    response = await log_in(http, shown)
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["Cache-Control"] == "no-store"
    cookie = cookie_of(response)
    assert (cookie.key, cookie.value) == (f"tapecast-{urlsplit(live.url).port}", shown)
    assert (cookie["path"], cookie["samesite"]) == ("/", "Strict")
    assert cookie["httponly"]
    assert not cookie["domain"]
    assert not cookie["secure"]
    assert 590 <= int(cookie["max-age"]) <= 600


async def test_the_cookie_of_https_is_the_hosts_alone(
    http: httpx.AsyncClient, live: LiveHub
) -> None:
    """A page that came over TLS, whoever ended that, gets a cookie that goes nowhere in clear."""
    response = await log_in(http, token(), live.url.replace("http:", "https:"))
    cookie = cookie_of(response)
    assert cookie.key == f"__Host-tapecast-{urlsplit(live.url).port}"
    assert cookie["secure"]


async def test_who_is_logged_in(http: httpx.AsyncClient) -> None:
    """Subject, end and rights, by the cookie or by a header."""
    read, publish, command = ["portfolio", "positions:*"], ["decisions"], ["commands:desk-1"]
    shown = token(subject="desk-1", read=read, publish=publish, command=command, ttl_seconds=600)
    error_of(await http.get(SESSION), 401, codes.UNAUTHORIZED)
    by_header = await http.get(SESSION, headers={"Authorization": f"Bearer {shown}"})
    await log_in(http, shown)
    by_cookie = await http.get(SESSION)
    assert by_cookie.status_code == by_header.status_code == 200
    session = by_cookie.json()
    assert session == by_header.json()
    assert 0 < session.pop("expires") - time.time() <= 600
    assert session == {
        "subject": "desk-1",
        "read": read,
        "publish": publish,
        "command": command,
    }


async def test_an_api_key_is_kept_until_it_is_revoked(
    http: httpx.AsyncClient, live: LiveHub
) -> None:
    """It has no end of its own, so the cookie goes with the browser; a revoked one is useless."""
    path = Path(live.settings.keys_file)
    key, kept = keys.mint_key("bot", ("*",), (), now=time.time())
    keys.add_key(path, kept)
    response = await log_in(http, key)
    assert cookie_of(response)["max-age"] == ""
    assert (await http.get(SESSION)).json()["expires"] is None
    keys.revoke_key(path, kept.id)
    error_of(await http.get(SESSION), 401, codes.UNAUTHORIZED)


@pytest.mark.parametrize("shown", ["", "nonsense", "tck_x_y", token(ttl_seconds=-1)])
async def test_a_wrong_token_is_refused(http: httpx.AsyncClient, shown: str) -> None:
    """Nothing is kept of it."""
    response = await log_in(http, shown)
    error_of(response, 401, codes.UNAUTHORIZED)
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize("body", [b"", b"[]", b'{"token":1}', b"{}", b"\xff", b'{"token":"x"'])
async def test_a_body_that_shows_no_token(
    http: httpx.AsyncClient, live: LiveHub, body: bytes
) -> None:
    """What was expected is said."""
    response = await http.post(SESSION, content=body, headers={"Origin": live.url})
    assert '{"token": ...}' in error_of(response, 400, codes.BAD_REQUEST)


async def test_a_body_is_bounded(http: httpx.AsyncClient, live: LiveHub) -> None:
    """Before it is read, and before a token is known."""
    content = b" " * (BODY_BYTES + 1)
    response = await http.post(SESSION, content=content, headers={"Origin": live.url})
    error_of(response, 413, codes.TOO_LARGE)


async def test_a_token_that_no_browser_keeps_is_told(http: httpx.AsyncClient) -> None:
    """A browser would drop the cookie without a word, and nobody would know why."""
    response = await log_in(http, token(read=[f"positions:{'x' * 100}-{n}" for n in range(40)]))
    assert "Authorization" in error_of(response, 413, codes.TOO_LARGE)


async def test_a_signature_with_a_tail_breaks_no_header(http: httpx.AsyncClient) -> None:
    """A decoder of base64 that skips what it does not know lets such a token pass."""
    claims = {"sub": "x", "exp": time.time() + 60, "read": ["*"]}
    # Not the plain header, so that PyJWT judges it.
    shown = jwt.encode(claims, SECRET, algorithm=ALGORITHM, headers={"kid": "1"})
    response = await log_in(http, f"{shown}\r\nX-Planted: 1")
    assert response.status_code in (401, 413)
    assert "X-Planted" not in response.headers


# Where it counts


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize(
    "origin", [None, "null", "https://elsewhere.example", "http://127.0.0.1:1"]
)
async def test_only_pages_that_may_use_the_hub_log_in_or_out(
    http: httpx.AsyncClient, method: str, origin: str | None
) -> None:
    """Nobody is logged in as somebody else, or out, by a page of another origin or port."""
    headers = {} if origin is None else {"Origin": origin}
    response = await http.request(method, SESSION, json={"token": token()}, headers=headers)
    error_of(response, 403, codes.FORBIDDEN)
    assert "Set-Cookie" not in response.headers


async def test_logging_out_takes_the_cookie_away(http: httpx.AsyncClient, live: LiveHub) -> None:
    """Also where it was no good any more; a second time does no harm."""
    await log_in(http, token())
    for _ in range(2):
        response = await http.delete(SESSION, headers={"Origin": live.url})
        assert response.status_code == 204
        assert cookie_of(response)["max-age"] == "0"
        error_of(await http.get(SESSION), 401, codes.UNAUTHORIZED)


async def test_the_cookie_reads_as_the_token_does(http: httpx.AsyncClient, live: LiveHub) -> None:
    """By the patterns, on every endpoint that a GET asks; a browser sends no Origin with these."""
    authorization = {"Authorization": f"Bearer {token()}"}
    for channel in ("orders:a", "orders:b"):
        body = {"event": "e", "data": 1}
        await http.post(f"{CHANNELS}/{channel}", json=body, headers=authorization)
    await log_in(http, token(read=["orders:a"]))
    listed = (await http.get(CHANNELS)).json()["channels"]
    assert [row["name"] for row in listed] == ["orders:a"]
    assert (await http.get(f"{CHANNELS}/orders:a")).status_code == 200
    assert (await http.get(f"{CHANNELS}/orders:a/history")).status_code == 200
    error_of(await http.get(f"{CHANNELS}/orders:b"), 403, codes.FORBIDDEN)
    for headers in ({"Origin": live.url}, {"Sec-Fetch-Site": "same-origin"}):
        assert (await http.get(CHANNELS, headers=headers)).status_code == 200


@pytest.mark.parametrize("site", ["same-site", "cross-site"])
async def test_a_browser_that_says_from_elsewhere_is_believed(
    http: httpx.AsyncClient, site: str
) -> None:
    """A page of another port or sub-domain is of the same site, so its requests have the cookie."""
    await log_in(http, token())
    response = await http.get(CHANNELS, headers={"Sec-Fetch-Site": site})
    error_of(response, 401, codes.UNAUTHORIZED)


async def test_publishing_by_the_cookie_needs_the_right_origin(
    http: httpx.AsyncClient, live: LiveHub
) -> None:
    """A form of another page can't publish; the dashboard and a program with a token can."""
    body = {"event": "e", "data": 1}
    await log_in(http, token())
    for headers in ({}, {"Origin": "https://elsewhere.example"}, {"Origin": "null"}):
        response = await http.post(f"{CHANNELS}/orders", json=body, headers=headers)
        error_of(response, 403, codes.FORBIDDEN)
    response = await http.post(f"{CHANNELS}/orders", json=body, headers={"Origin": live.url})
    assert response.status_code == 200
    authorization = {"Authorization": f"Bearer {token()}"}
    response = await http.post(f"{CHANNELS}/orders", json=body, headers=authorization)
    assert response.json()["seq"] == 2


async def test_the_header_wins_over_the_cookie(http: httpx.AsyncClient) -> None:
    """Whoever shows a token means it, and a wrong one is not mended by what lies in the browser."""
    await log_in(http, token(subject="cookie"))
    shown = {"Authorization": f"Bearer {token(subject='header')}"}
    assert (await http.get(SESSION, headers=shown)).json()["subject"] == "header"
    for wrong in ("Bearer nonsense", "Basic dXNlcjpwYXNz"):
        response = await http.get(SESSION, headers={"Authorization": wrong})
        error_of(response, 401, codes.UNAUTHORIZED)


async def test_a_listed_origin_may_log_in(http: httpx.AsyncClient) -> None:
    """A dashboard that is served beside the hub has what its browser asks for to use the cookie."""
    asking = {"Origin": DESK, "Access-Control-Request-Method": "DELETE"}
    preflight = await http.options(SESSION, headers=asking)
    response = await log_in(http, token(), DESK)
    assert preflight.status_code == 200
    assert response.status_code == 204
    for answer in (preflight, response):
        assert answer.headers["Access-Control-Allow-Origin"] == DESK
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert cookie_of(response)["secure"]
