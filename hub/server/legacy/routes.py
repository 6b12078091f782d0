"""The routes of the old server's paths, and what stands before them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from hub.server.access import check_origin
from hub.server.asgi import AsgiConnection, is_ambiguous
from hub.server.health import Health
from hub.server.hub import Hub
from hub.server.legacy.answers import OLD_HANDLERS
from hub.server.legacy.places import PREFIX, STREAM, Legacy, Place
from hub.server.legacy.query import TokenFromQuery
from hub.server.legacy.rest import OldRest
from hub.server.legacy.stream import HEADERS, StreamAnswer
from hub.server.legacy.tokens import SUBPROTOCOLS

_Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


def serve_legacy(hub: Hub, health: Health) -> tuple[list[BaseRoute], Middleware]:
    """Let the hub serve the old server's paths: their routes, and what stands before all others."""
    legacy = hub.legacy = Legacy(hub)
    routes = _routes(legacy, health)
    paths = {route.path for route in routes}
    return [*routes], Middleware(TokenFromQuery, paths=paths)


def _routes(legacy: Legacy, health: Health) -> list[Route | WebSocketRoute]:
    rest = OldRest(legacy, health)
    stream = legacy.places[STREAM]

    async def listen(request: Request) -> Response:
        check_origin(legacy.hub, request)
        # Asked for its headers alone, it has no events.
        is_asked = request.method == "GET"
        return StreamAnswer(stream, request) if is_asked else Response(headers=HEADERS)

    return [
        _route(f"{PREFIX}/status", rest.bot_status),
        _route(f"{PREFIX}/positions", rest.positions),
        _route("/api/v1/decisions", rest.decisions),
        _route("/api/v1/status", rest.portfolio),
        _route("/health", rest.health),
        _route(STREAM, listen),
        *(
            WebSocketRoute(path, _serve(place))
            for path, place in legacy.places.items()
            if path != STREAM
        ),
    ]


def _route(path: str, endpoint: _Endpoint) -> Route:
    catching = Middleware(ExceptionMiddleware, handlers=OLD_HANDLERS)
    return Route(path, endpoint, middleware=[catching])


def _serve(place: Place) -> Callable[[WebSocket], Awaitable[None]]:
    async def serve(websocket: WebSocket) -> None:
        offered = websocket.scope["subprotocols"]
        answer = next((name for name in SUBPROTOCOLS if name in offered), None)
        # What has a space in it is no sub-protocol, and can't be answered.
        is_strange = answer is None and any(" " not in name for name in offered)
        if is_ambiguous(websocket) or is_strange:
            await websocket.close()
            return
        await websocket.accept(answer)
        connection = AsgiConnection(websocket, place.hub, place)
        connection.admit(offered)
        await connection.run()

    return serve
