"""The cookie in which a browser keeps the token or API key that somebody logged in with.

It holds what was shown, as it was: hubs and workers keep no list of who is logged in, and what a
hub could seal into it would be worth as much to whoever has it. So it ends with its token, or when
its API key is revoked.

Rules:
1. No script reads it (HttpOnly), and no page of another site sends it (SameSite=Strict).
2. A site is less than an origin: pages of another port or sub-domain send it too. So it counts
   only beside an `Origin` that may use the hub, or where a browser sends none and nothing can come
   of it: see `hub.server.access`.
3. Over HTTPS, which the origin tells, it has the prefix `__Host-` (RFC 6265bis section 4.1.3): no
   other host can plant one, and no page in clear.
4. Its name has the hub's port, as cookies do not know ports: two hubs on one machine would take
   each other's away.
5. Two of one name are none: which of them counts would depend on who reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from hub.server.identity import shown_token

NAME = "tapecast"
SECURE_PREFIX = "__Host-"
MAX_TOKEN_BYTES = 3_800
"""What browsers keep of one cookie, 4096 bytes, without the rest of it."""

_PORT = re.compile(r":(\d{1,5})$")
# What tokens and keys are made of. Anything else could end the cookie, or the header.
_VALUE = re.compile(r"[A-Za-z0-9._~+/=-]+")


def may_be_kept(token: str) -> bool:
    """Whether a token fits into a cookie as it is."""
    return len(token) <= MAX_TOKEN_BYTES and _VALUE.fullmatch(token) is not None


def cookie_token(cookies: str | None, origin: str | None, host: str) -> str | None:
    """The token in the `Cookie` of a request that came from a page of `origin` to the hub that is
    addressed as `host`; None where there is none, or no origin."""
    if cookies is None or origin is None:
        return None
    return _value(cookies, _name(host, secure=_is_secure(origin)))


def socket_token(
    authorization: str | None,
    offered: Iterable[str],
    cookies: str | None,
    origin: str | None,
    host: str,
) -> str | None:
    """The token that an upgrade request brings: one that is shown wins over the cookie's, also
    where it is wrong."""
    token = shown_token(authorization, offered)
    return cookie_token(cookies, origin, host) if token is None else token


def either_token(cookies: str, host: str) -> str | None:
    """The token of a request whose origin is not known, so neither is whether it came by HTTPS."""
    token = _value(cookies, _name(host, secure=True))
    return _value(cookies, _name(host, secure=False)) if token is None else token


def kept(token: str, origin: str, host: str, seconds: int | None) -> str:
    """The `Set-Cookie` that keeps a token for so long; None: until the browser ends."""
    assert may_be_kept(token), "the caller has asked"
    return _set(token, origin, host, "" if seconds is None else f"; Max-Age={seconds}")


def forgotten(origin: str, host: str) -> str:
    """The `Set-Cookie` that takes the cookie away."""
    return _set("", origin, host, "; Max-Age=0")


def _set(value: str, origin: str, host: str, lasts: str) -> str:
    secure = _is_secure(origin)
    attributes = f"Path=/; HttpOnly; SameSite=Strict{'; Secure' if secure else ''}{lasts}"
    return f"{_name(host, secure=secure)}={value}; {attributes}"


def _is_secure(origin: str) -> bool:
    return origin.lower().startswith("https:")


def _name(host: str, *, secure: bool) -> str:
    port = _PORT.search(host)
    return f"{SECURE_PREFIX if secure else ''}{NAME}{f'-{port[1]}' if port else ''}"


def _value(cookies: str, name: str) -> str | None:
    pairs = (pair.partition("=") for pair in cookies.split(";"))
    found = [value.strip() for key, _, value in pairs if key.strip() == name]
    return found[0] if len(found) == 1 and found[0] else None
