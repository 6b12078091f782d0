"""The Starlette application."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from hub.broker.base import Broker
from hub.broker.redis import RedisBroker
from hub.broker.timing import Timing
from hub.server.asgi import serve_websocket
from hub.server.auth import Authenticator
from hub.server.board import Board
from hub.server.health import Health
from hub.server.hub import Hub
from hub.server.routes import middleware, routes
from hub.server.settings import Settings


def create_app(
    settings: Settings, broker: Broker | None = None, board: Board | None = None
) -> Starlette:
    """The hub as an ASGI application; `broker` is by default the Redis of the settings, `board`
    one that no other process sees.

    Runs on any ASGI server, with `/ws` as an ordinary route. Under `hub.server.run` the same hub
    is served by a protocol class of its own, which never reaches the route. Its lifespan must run:
    the hub's tasks begin and end with it. Raises ValueError where the settings have no secret.
    """
    if broker is None:
        timing = Timing(probe_seconds=settings.probe_seconds)
        broker = RedisBroker(settings.redis_url, streams=settings.streams, timing=timing)
    hub = Hub(settings, broker, Authenticator(settings, time.time))
    health = Health(hub, board or Board.alone())

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        async with hub:
            health.report()
            hub.tasks.start(health.report_forever(), "report")
            if hub.legacy is not None:
                hub.tasks.start(hub.legacy.heartbeats.run(), "legacy heartbeats")
            # What uvicorn hands to the `ws=` class as its `app_state`.
            yield {"hub": hub}
        # The last counts, which a worker that takes this one's place goes on from.
        health.report()

    all_routes = [*routes(hub, health), WebSocketRoute("/ws", serve_websocket)]
    stack = middleware(settings)
    if settings.legacy_paths:
        # Imported where it is wanted: most hubs know nothing of old dashboards.
        from hub.server.legacy.routes import serve_legacy

        old_routes, before = serve_legacy(hub, health)
        # The first that takes a path serves it, and ours take all below /api/v1.
        all_routes = [*old_routes, *all_routes]
        stack = [before, *stack]
    app = Starlette(routes=all_routes, middleware=stack, lifespan=lifespan)
    app.state.hub = hub
    app.state.settings = settings
    app.state.authenticator = hub.authenticator
    return app
