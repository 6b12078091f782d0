"""Who asks over HTTP, and what a page may make a browser ask.

Rules:
1. `Authorization` wins over the cookie, also where it is wrong.
2. A page of an origin that may not use the hub is refused, whatever it shows.
3. A browser sends no `Origin` with a GET to a page's own host. So a cookie counts without one for
   reading, unless the browser says that the request came from elsewhere (`Sec-Fetch-Site`); it
   never does for anything that changes something.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request

from hub.core.grant import Grant
from hub.protocol import codes
from hub.protocol.errors import ProtocolError
from hub.server.auth import AuthError
from hub.server.cookie import cookie_token, either_token
from hub.server.hub import Hub
from hub.server.identity import origin_allowed, shown_token

BODY_SECONDS = 30.0
"""How long the body of a request may take to arrive."""

MAX_IDEMPOTENCY_KEY = 255

_SINGLE = ("Authorization", "Host", "Origin")
"""Headers of which two would mean two things; see hub.server.handshake."""

_READING = ("GET", "HEAD")
_OWN_SITES = (None, "same-origin", "none")


def authorize(hub: Hub, request: Request) -> Grant:
    """The rights of whoever asks; raises ProtocolError."""
    origin = check_origin(hub, request)
    shown = shown_token(request.headers.get("Authorization"))
    if shown is None:
        shown = _token_of_cookie(request, origin)
    return grant_of(hub, shown or "")


def grant_of(hub: Hub, shown: str) -> Grant:
    """The rights of a token or API key; raises ProtocolError."""
    try:
        return hub.authenticator.authenticate(shown)
    except AuthError as error:
        raise ProtocolError(error.reason, code=codes.UNAUTHORIZED) from None


def check_origin(hub: Hub, request: Request) -> str | None:
    """The origin of the page that asks, None where nothing says so. Raises ProtocolError where it
    may not use the hub, or where a header that counts came twice."""
    headers = request.headers
    for name in _SINGLE:
        # A proxy in front may have looked at the other one.
        if len(headers.getlist(name)) > 1:
            raise ProtocolError(f"{name}: expected the header once")
    origin = headers.get("Origin")
    if not origin_allowed(origin, headers.get("Host", ""), hub.settings.allowed_origins):
        raise ProtocolError(f"pages of {origin} may not ask here", code=codes.FORBIDDEN)
    return origin


def require_origin(hub: Hub, request: Request) -> str:
    """The same for a request that only a page makes; raises ProtocolError where it has none."""
    origin = check_origin(hub, request)
    if origin is None:
        raise ProtocolError(
            "expected the header Origin, which browsers send: a cookie changes nothing without it",
            code=codes.FORBIDDEN,
        )
    return origin


def _token_of_cookie(request: Request, origin: str | None) -> str | None:
    headers = request.headers
    cookies = "; ".join(headers.getlist("Cookie"))
    host = headers.get("Host", "")
    if not cookies or origin is not None:
        return cookie_token(cookies, origin, host)
    token = either_token(cookies, host)
    if token is not None and request.method not in _READING:
        raise ProtocolError(
            "expected the header Origin: without it a cookie is for reading alone",
            code=codes.FORBIDDEN,
        )
    return token if headers.get("Sec-Fetch-Site") in _OWN_SITES else None


def idempotency_key(request: Request) -> str | None:
    """The header `Idempotency-Key`, None where there is none. Raises ProtocolError."""
    match request.headers.getlist("Idempotency-Key"):
        case []:
            return None
        case [key] if 1 <= len(key) <= MAX_IDEMPOTENCY_KEY:
            return key
        case [key]:
            got = f"{len(key)}"
        case keys:
            got = f"the header {len(keys)} times"
    expected = f"expected 1 to {MAX_IDEMPOTENCY_KEY} characters, got {got}"
    raise ProtocolError(f"Idempotency-Key: {expected}")


def whole_number(name: str, text: str, least: int, most: int) -> int:
    """Read a number of a query. Raises ProtocolError."""
    # With zeros before it, it might have any length.
    plain = len(text) <= len(str(most)) and text.isascii() and text.isdecimal()
    if plain and least <= int(text) <= most:
        return int(text)
    raise ProtocolError(f"{name}: expected {least} to {most}, got {text!r:.40}")


async def body_of(request: Request, most: int) -> bytes:
    """The body of a request, if it has at most so many bytes and comes in time. Raises
    ProtocolError or HTTPException."""
    declared = request.headers.get("Content-Length", "")
    body = bytearray()
    if not (declared.isdecimal() and int(declared) > most):
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for part in request.stream():
                    body += part
                    if len(body) > most:
                        break
                else:
                    return bytes(body)
        except TimeoutError:
            message = f"expected the body within {BODY_SECONDS:g} s"
            # What may still come of it is nobody's request.
            headers = {"Connection": "close"}
            raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, message, headers) from None
    raise ProtocolError(f"expected a body of at most {most} bytes", code=codes.TOO_LARGE)
