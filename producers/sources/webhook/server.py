"""The small HTTP server that posts come to: `POST /hooks/NAME`, or `/hooks/NAME/SECRET`.

It checks who posts, reads the body within its bounds, and hands it to `take`, whose answer it
sends. TLS, and whatever else faces the world, is a proxy's: see docs/sources.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

logger = logging.getLogger(__name__)

HEAD_SECONDS: Final = 10.0
BODY_SECONDS: Final = 10.0
HEAD_BYTES: Final = 16 * 1024
MAX_CONNECTIONS: Final = 256
IDLE_SECONDS: Final = 5


class Post(NamedTuple):
    """What was posted to a hook; `secret` is the one in the path."""

    hook: str
    secret: str
    headers: Mapping[str, str]
    body: bytes


class Answer(NamedTuple):
    """What is answered."""

    status: int
    content: dict[str, Any]


Take: TypeAlias = Callable[[Post], Awaitable[Answer]]


def create_app(take: Take, max_bytes: int) -> Starlette:
    """The application."""

    async def receive(request: Request) -> Response:
        path: Mapping[str, str] = request.path_params
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _read(request, max_bytes)
        except TimeoutError:
            return _respond(Answer(408, {"error": "the body took too long"}))
        except ClientDisconnect:
            return Response(status_code=400)
        if body is None:
            return _respond(Answer(413, {"error": f"expected at most {max_bytes} bytes"}))
        post = Post(path["hook"], path.get("secret", ""), request.headers, body)
        return _respond(await take(post))

    return Starlette(
        routes=[
            Route("/hooks/{hook}", receive, methods=["POST"]),
            # A secret may have slashes in it, as base64 has.
            Route("/hooks/{hook}/{secret:path}", receive, methods=["POST"]),
        ]
    )


@contextlib.asynccontextmanager
async def serving(app: Starlette, host: str, port: int) -> AsyncGenerator[tuple[str, int]]:
    """Serve until the block is left; where it listens. Raises OSError where it can't."""
    with _listen(host, port) as sock:
        config = uvicorn.Config(
            app,
            http=_Protocol,
            h11_max_incomplete_event_size=HEAD_BYTES,
            ws="none",
            lifespan="off",
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=2,
            # Paths may hold secrets.
            access_log=False,
            log_config=None,
            server_header=False,
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[sock]), name="webhook server")
        try:
            yield sock.getsockname()[:2]
        finally:
            server.should_exit = True
            await asyncio.wait([task])


class _Protocol(H11Protocol):
    """uvicorn's, whose bound on a request's head can be set; and a deadline, which it has none of.

    Without it a few hundred connections that say nothing would keep everybody out.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._late = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self._late.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._late.cancel()
        self._late = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _give_up(self) -> None:
        # A new one for each request, once its head is whole.
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()


class _Server(uvicorn.Server):
    """Leaves signals to the worker."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"can't listen on {host}:{port}: {error.strerror}") from None
    return sock


async def _read(request: Request, max_bytes: int) -> bytes | None:
    """The body, None where it is larger than it may be."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_bytes:
        return None
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > max_bytes:
            return None
    return bytes(body)


def _respond(answer: Answer) -> Response:
    retry = {"retry-after": "5"} if answer.status == 503 else None
    return JSONResponse(answer.content, answer.status, headers=retry)
