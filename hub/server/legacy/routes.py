"""The routes of the old server's paths, and what stands before them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from hub.protocol.agent_commands import Name
from hub.server.access import check_origin
from hub.server.asgi import AsgiConnection, is_ambiguous
from hub.server.health import Health
from hub.server.hub import Hub
from hub.server.legacy.answers import OLD_HANDLERS
from hub.server.legacy.places import PREFIX, STREAM, Legacy, Place
from hub.server.legacy.query import TokenFromQuery
from hub.server.legacy.rest import Endpoint, OldRest
from hub.server.legacy.stream import HEADERS, StreamAnswer
from hub.server.legacy.tokens import SUBPROTOCOLS

COMMANDS: Final[Mapping[str, Name]] = {
    "start": Name.START,
    "stop": Name.STOP,
    "pause": Name.PAUSE,
    "resume": Name.RESUME,
    "emergency-stop": Name.EMERGENCY_STOP,
    "positions/{position_id}/close": Name.CLOSE_POSITION,
}
"""What a POST tells the agent, by the path below the prefix."""


def serve_legacy(hub: Hub, health: Health) -> tuple[list[BaseRoute], Middleware]:
    """Let the hub serve the old server's paths: their routes, and what stands before all others."""
    legacy = hub.legacy = Legacy(hub)
    routes = _routes(legacy, health)
    return [*routes], Middleware(TokenFromQuery, paths=_Paths(routes))


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
            # An exchange's symbol has a slash in it, and may be a part of a position's id.
            _route(f"{PREFIX}/{path.replace('}', ':path}')}", rest.telling(name), method="POST")
            for path, name in COMMANDS.items()
        ),
        *(
            WebSocketRoute(path, _serve(place))
            for path, place in legacy.places.items()
            if path != STREAM
        ),
    ]


class _Paths:
    """The paths that the routes take, with whatever stands in them."""

    def __init__(self, routes: Sequence[Route | WebSocketRoute]) -> None:
        self._patterns = [route.path_regex for route in routes]

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and any(each.match(path) for each in self._patterns)


def _route(path: str, endpoint: Endpoint, *, method: str = "GET") -> Route:
    catching = Middleware(ExceptionMiddleware, handlers=OLD_HANDLERS)
    return Route(path, endpoint, methods=[method], middleware=[catching])


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
