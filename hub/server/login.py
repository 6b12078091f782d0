"""Logging in to the dashboard: a token is shown once, and then kept in a cookie.

A request that sets the cookie or takes it away must come from a page that may use the hub. So
nobody is logged in, or out, by a page of somebody else.
"""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.protocol import codes
from hub.protocol.errors import ProtocolError
from hub.server import cookie
from hub.server.access import authorize, body_of, grant_of, require_origin
from hub.server.answers import JsonAnswer
from hub.server.hub import Hub

PATH = "/session"
BODY_BYTES = 16 * 1024


class _Shown(msgspec.Struct, frozen=True):
    token: str


_decode = msgspec.json.Decoder(_Shown).decode


class Login:
    """The endpoints of one hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def routes(self) -> list[Route]:
        return [
            Route(PATH, self.look, methods=["GET"]),
            Route(PATH, self.log_in, methods=["POST"]),
            Route(PATH, self.log_out, methods=["DELETE"]),
        ]

    async def look(self, request: Request) -> Response:
        """`{"subject", "expires", "read", "publish", "command"}` of whoever asks; `expires` in
        seconds since the epoch, null for an API key, which does not end by itself."""
        grant = authorize(self._hub, request)
        return JsonAnswer(
            {
                "subject": grant.subject,
                "expires": grant.expires_at,
                "read": grant.read,
                "publish": grant.publish,
                "command": grant.command,
            }
        )

    async def log_in(self, request: Request) -> Response:
        """Keep the token or API key of `{"token"}` in the cookie, until it ends."""
        hub = self._hub
        origin = require_origin(hub, request)
        shown = _read(await body_of(request, BODY_BYTES))
        grant = grant_of(hub, shown)
        if not cookie.may_be_kept(shown):
            raise ProtocolError(
                f"a browser keeps at most {cookie.MAX_TOKEN_BYTES} characters of a token, as they "
                "are in a JWT: show this one in the header Authorization",
                code=codes.TOO_LARGE,
            )
        seconds = None
        if grant.expires_at is not None:
            seconds = max(0, int(grant.expires_at - hub.wall_clock()))
        return _answer(cookie.kept(shown, origin, request.headers.get("Host", ""), seconds))

    async def log_out(self, request: Request) -> Response:
        """Take the cookie away, whether it still was good or not."""
        origin = require_origin(self._hub, request)
        return _answer(cookie.forgotten(origin, request.headers.get("Host", "")))


def _read(body: bytes) -> str:
    try:
        return _decode(body).token
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f'expected {{"token": ...}}: {error}') from None


def _answer(set_cookie: str) -> Response:
    return Response(status_code=HTTPStatus.NO_CONTENT, headers={"Set-Cookie": set_cookie})
