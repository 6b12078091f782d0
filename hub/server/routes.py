"""Everything that a hub answers over HTTP, and the headers that every answer carries."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.server.answers import HANDLERS
from hub.server.health import Health
from hub.server.hub import Hub
from hub.server.listing import Listing
from hub.server.login import Login
from hub.server.overview import Overview
from hub.server.page_files import page_routes
from hub.server.push import Push
from hub.server.rest import Rest
from hub.server.settings import Settings

API = "/api/v1"

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # The page writes text alone: a browser that knows this refuses to make anything else of it.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""What the page may load and do: its own files, and talk to its own hub."""

POLICY_WITH_PUSH = CONTENT_SECURITY_POLICY.replace("-types 'none'", "-types tapecast-push")
"""The same with Web Push: browsers take a service worker's URL from a trusted type alone, and the
page makes this one, once, for that one URL."""

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # What an answer says of itself stands: the page's files may be kept.
    "Cache-Control": "no-store",
}
"""On every answer, unless it says otherwise itself."""


class SecureHeaders:
    """ASGI middleware that adds headers to every HTTP answer."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self._app = app
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def routes(hub: Hub, health: Health) -> list[BaseRoute]:
    """REST, health and the page."""
    listing = Listing(hub.broker, hub.registry, hub.streams, hub.clock, hub.wall_clock)
    api = [
        *Rest(hub, listing).routes(),
        *Login(hub).routes(),
        *Overview(hub, health, listing).routes(),
        *Push(hub).routes(),
    ]
    answers = Middleware(ExceptionMiddleware, handlers=HANDLERS)
    return [Mount(API, routes=api, middleware=[answers]), *health.routes(), *page_routes()]


def middleware(settings: Settings) -> list[Middleware]:
    """What stands before every route. Pages of the allowed origins may read the answers (CORS)."""
    headers = dict(HEADERS)
    if settings.push_public_key:
        headers["Content-Security-Policy"] = POLICY_WITH_PUSH
    stack = [Middleware(SecureHeaders, headers)]
    if settings.allowed_origins:
        stack.append(
            Middleware(
                CORSMiddleware,
                allow_origins=settings.allowed_origins,
                allow_credentials=True,
                allow_methods=["GET", "POST", "DELETE"],
                allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "If-None-Match"],
                expose_headers=["ETag", "Retry-After"],
                max_age=600,
            )
        )
    return stack
