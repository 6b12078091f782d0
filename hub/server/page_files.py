"""The pages that a hub shows, held in memory: the dashboard at `/`, where it was built, and at
`/page/` the plain page, which is written by hand and needs no build.

Each file has a route of its own: nothing beside them can be asked for, however it is spelled.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Awaitable, Callable
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.server.answers import listed_tags

INDEX = "index.html"
PLAIN_PAGE = "page/"

DASHBOARD = Path(__file__).with_name("dashboard")
"""Where the build puts the dashboard: see dashboard/shipping.py. Not there where it could not."""
_PLAIN = Path(__file__).with_name("page")

_ASSETS = "assets"
"""What lies there has the hash of its content in its name."""
_KEPT_FOR_GOOD = "public, max-age=31536000, immutable"
# Kept, and asked for each time: a page of another version must not meet this hub.
_ASKED_FOR = "no-cache"

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/vnd.microsoft.icon",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
}
_UNKNOWN_TYPE = "application/octet-stream"

_CODING = re.compile(r"\s*([a-z*-]+)\s*(?:;\s*q=([01](?:\.\d{0,3})?)\s*)?")


class PageFile(NamedTuple):
    """One file. compressed: by gzip, where that makes it smaller."""

    content: bytes
    compressed: bytes | None
    content_type: str
    cache_control: str


def page_routes() -> list[Route]:
    """`/`, and one route for each file of the two pages."""
    dashboard, plain = _read(DASHBOARD), _read(_PLAIN)
    routes = [_route(path, file) for path, file in dashboard.items()]
    if INDEX not in dashboard:
        routes.append(Route("/", _go_to_plain))
    return [*routes, *(_route(PLAIN_PAGE + path, file) for path, file in plain.items())]


def _route(path: str, file: PageFile) -> Route:
    return Route(f"/{path.removesuffix(INDEX)}", _serve(file), name=path)


async def _go_to_plain(request: Request) -> Response:
    # A browser keeps what stands after `#`, which may be a token.
    return Response(status_code=HTTPStatus.TEMPORARY_REDIRECT, headers={"Location": PLAIN_PAGE})


@cache
def _read(folder: Path) -> dict[str, PageFile]:
    """The files below a folder, by their paths in it; none where it is not there."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): _describe(path.relative_to(folder), path.read_bytes())
        for path in found
        if not path.name.startswith(".")
    }


def _describe(path: Path, content: bytes) -> PageFile:
    # Without a time, so that every replica answers with the same bytes.
    compressed = gzip.compress(content, 9, mtime=0)
    return PageFile(
        content,
        compressed if len(compressed) < len(content) else None,
        _TYPES.get(path.suffix, _UNKNOWN_TYPE),
        _KEPT_FOR_GOOD if path.parts[0] == _ASSETS else _ASKED_FOR,
    )


def _serve(file: PageFile) -> Callable[[Request], Awaitable[Response]]:
    tag = hashlib.sha256(file.content).hexdigest()[:16]
    headers = {
        "Content-Type": file.content_type,
        "Cache-Control": file.cache_control,
        "ETag": f'"{tag}"',
    }
    if file.compressed is not None:
        headers["Vary"] = "Accept-Encoding"
    # Other bytes, another tag (RFC 9110 section 8.8.3.3).
    zipped = {**headers, "Content-Encoding": "gzip", "ETag": f'"{tag}-gzip"'}

    async def serve(request: Request) -> Response:
        content, fitting = file.content, headers
        if file.compressed is not None and takes_gzip(request.headers.get("Accept-Encoding", "")):
            content, fitting = file.compressed, zipped
        if fitting["ETag"] in listed_tags(request.headers.get("If-None-Match", "")):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=fitting)
        return Response(content, headers=fitting)

    return serve


def takes_gzip(accept_encoding: str) -> bool:
    """Whether a client that says so takes gzip (RFC 9110 section 12.5.3)."""
    weights = {
        match[1]: float(match[2] or 1)
        for coding in accept_encoding.lower().split(",")
        if (match := _CODING.fullmatch(coding))
    }
    return weights.get("gzip", weights.get("*", 0.0)) > 0
