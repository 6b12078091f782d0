"""A platform's server for tests: an ASGI application on a real port, in the test's own loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Generator
from typing import Any

import uvicorn


class _Server(uvicorn.Server):
    """Leaves signals to the test run, says when it listens, and ends when it is told to."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self.ending = asyncio.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        # uvicorn's own looks ten times a second, which every test would pay.
        await self.on_tick(0)
        await self.ending.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@contextlib.asynccontextmanager
async def serving(app: Any, *, port: int = 0) -> AsyncIterator[str]:
    """The application's URL, while it is served."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        config = uvicorn.Config(
            app,
            http="h11",
            ws="websockets-sansio",
            lifespan="off",
            access_log=False,
            log_config=None,
            timeout_graceful_shutdown=1,
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[sock]), name="a platform's server")
        await server.listening.wait()
        try:
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            server.ending.set()
            await task


class Faults:
    """What can be wrong with a server's next answers; `none` is well again.

    silence: no answer until it is well. status: this status, with `headers`. half: the answer
    breaks off in the middle. garbage: this in its place. only: what a path has to hold for it.
    """

    def __init__(self) -> None:
        self._well = asyncio.Event()
        self.none()

    def none(self) -> None:
        """Answer as one should."""
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.half = False
        self.garbage: bytes | None = None
        self.only = ""
        self._well.set()

    def silence(self) -> None:
        """Answer nothing."""
        self._well.clear()

    async def __call__(self, app: Any, scope: Any, receive: Any, send: Any) -> None:
        """Answer with `app`, or with what is wrong."""
        if self.only not in scope["path"]:
            await app(scope, receive, send)
            return
        await self._well.wait()
        if self.status is not None or self.garbage is not None:
            headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
            status = self.status or 200
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": self.garbage or b""})
        elif self.half:
            await app(scope, receive, _Half(send))
        else:
            await app(scope, receive, send)


class _Half:
    """Sends the half of a body, and breaks the connection off."""

    def __init__(self, send: Any) -> None:
        self._send = send

    async def __call__(self, message: Any) -> None:
        body = message.get("body", b"")
        if message["type"] == "http.response.body":
            await self._send({**message, "body": body[: len(body) // 2], "more_body": True})
            raise ConnectionAbortedError
        await self._send(message)
