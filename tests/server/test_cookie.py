from __future__ import annotations

import pytest

from hub.server.cookie import (
    MAX_TOKEN_BYTES,
    cookie_token,
    either_token,
    forgotten,
    kept,
    may_be_kept,
)

CLEAR = "http://hub.example:8000"
SECURE = "https://hub.example"


def test_a_cookie_says_what_a_browser_must_keep_to() -> None:
    """No script, no other site, the whole host, and as long as the token."""
    assert kept("a.b-c_d", CLEAR, "hub.example:8000", 60) == (
        "tapecast-8000=a.b-c_d; Path=/; HttpOnly; SameSite=Strict; Max-Age=60"
    )
    assert kept("tck_1_x", SECURE, "hub.example", None) == (
        "__Host-tapecast=tck_1_x; Path=/; HttpOnly; SameSite=Strict; Secure"
    )
    assert forgotten(SECURE, "hub.example:8443") == (
        "__Host-tapecast-8443=; Path=/; HttpOnly; SameSite=Strict; Secure; Max-Age=0"
    )


@pytest.mark.parametrize(
    ("cookies", "origin", "host", "token"),
    [
        ("tapecast-8000=t", CLEAR, "hub.example:8000", "t"),
        ("a=b; tapecast-8000=t;c=d", CLEAR, "hub.example:8000", "t"),
        ("tapecast=t", "http://[::1]", "[::1]", "t"),
        ("tapecast-81=t", "http://[::1]:81", "[::1]:81", "t"),
        ("__Host-tapecast=t; tapecast=planted", "HTTPS://hub.example", "hub.example", "t"),
        # Of another hub on this host, and planted from a page in clear.
        ("tapecast-8001=t; tapecast=t", CLEAR, "hub.example:8000", None),
        ("tapecast=planted", SECURE, "hub.example", None),
        # Which of the two counts would depend on who reads.
        ("tapecast-8000=t; tapecast-8000=u", CLEAR, "hub.example:8000", None),
        ("tapecast-8000=", CLEAR, "hub.example:8000", None),
        ("tapecast-8000", CLEAR, "hub.example:8000", None),
        ("", CLEAR, "hub.example:8000", None),
        (None, CLEAR, "hub.example:8000", None),
        ("tapecast-8000=t", None, "hub.example:8000", None),
    ],
)
def test_the_cookie_of_this_hub_alone_is_read(
    cookies: str | None, origin: str | None, host: str, token: str | None
) -> None:
    """By the hub's port and the origin's scheme; one that is there twice is none."""
    assert cookie_token(cookies, origin, host) == token


def test_without_an_origin_the_cookie_of_https_goes_first() -> None:
    """Nobody can plant that one; where there is none the request came in clear."""
    assert either_token("tapecast=planted; __Host-tapecast=t", "hub.example") == "t"
    assert either_token("tapecast=t", "hub.example") == "t"
    assert either_token("other=t", "hub.example") is None


@pytest.mark.parametrize(
    ("token", "fits"),
    [
        ("e30.e30.c2ln-_", True),
        ("tck_abc_DEF-123", True),
        ("x" * MAX_TOKEN_BYTES, True),
        ("x" * (MAX_TOKEN_BYTES + 1), False),
        ("e30.e30.c2ln; Domain=example", False),
        ("e30.e30.c2ln\r\nSet-Cookie: a=b", False),
        ("e30.e30.c2ln\n", False),
        ("", False),
    ],
)
def test_what_would_break_a_header_is_not_kept(token: str, fits: bool) -> None:
    """Only what tokens and keys are made of, and no more than browsers keep."""
    assert may_be_kept(token) is fits
