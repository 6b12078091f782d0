"""The page that a hub shows at `/`: a few files beside this one, held in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from importlib.resources import files
from pathlib import PurePath

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

INDEX = "index.html"

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def page_routes() -> list[Route]:
    """`/`, and one route for each file that it loads."""
    return [
        Route(
            "/" if file.name == INDEX else f"/page/{file.name}",
            _serve(file.read_bytes(), _TYPES[PurePath(file.name).suffix]),
            name=file.name,
        )
        for file in (files("hub.server") / "page").iterdir()
    ]


def _serve(content: bytes, content_type: str) -> Callable[[Request], Awaitable[Response]]:
    etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    headers = {
        "Content-Type": content_type,
        "ETag": etag,
        # Kept, and asked for each time: a page of another version must not meet this hub.
        "Cache-Control": "no-cache",
    }

    async def serve(request: Request) -> Response:
        if request.headers.get("If-None-Match") == etag:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(content, headers=headers)

    return serve
