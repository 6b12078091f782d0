"""The HTTP routes of the application."""

from __future__ import annotations

from starlette.middleware import Middleware
from starlette.routing import BaseRoute


def routes() -> list[BaseRoute]:
    """All routes but the WebSocket's."""
    return []


def middleware() -> list[Middleware]:
    """What stands before every route."""
    return []
