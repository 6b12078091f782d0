"""Takes tokens out of URLs before anybody can log them."""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from hub.server.legacy.tokens import take_token

TOKEN: Final = "tapecast.token"
"""Where in the scope the token is from then on."""


class TokenFromQuery:
    """ASGI middleware, before all others. Servers log a request's path and query from its scope
    when it is answered, and tracebacks show it: so it is taken from the scope itself."""

    def __init__(self, app: ASGIApp, paths: Container[str]) -> None:
        self._app = app
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and _path(scope) in self._paths:
            query, token = take_token(scope["query_string"].decode("latin-1"))
            scope["query_string"] = query.encode("latin-1")
            scope[TOKEN] = token
        await self._app(scope, receive, send)


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
