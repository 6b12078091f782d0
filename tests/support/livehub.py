"""A real hub in the test's own event loop: the application and uvicorn, with either adapter."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Generator, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

import uvicorn

from hub.broker.base import Broker
from hub.server.app import create_app
from hub.server.auth import mint_token
from hub.server.gate import gate
from hub.server.hub import Hub
from hub.server.settings import Settings
from hub.server.websocket import WebSocketProtocol
from hub.server.worker import HubServer, listen, url_of

SECRET = "0123456789abcdef0123456789abcdef"


def token(
    *,
    subject: str = "test",
    read: Sequence[str] = ("*",),
    publish: Sequence[str] = ("*",),
    command: Sequence[str] = (),
    ttl_seconds: float = 24 * 3600,
) -> str:
    """A token that a LiveHub takes; one that a module holds lasts for a slow run of all tests."""
    return mint_token(
        SECRET,
        subject,
        read=list(read),
        publish=list(publish),
        command=list(command),
        ttl_seconds=ttl_seconds,
        now=time.time(),
    )


class Adapter(NamedTuple):
    """How a hub's connections are held.

    http: makes uvicorn's `http=` of the settings; ws: its `ws=`. compression: whether it is on.
    """

    name: str
    http: Callable[[Settings], Any]
    ws: Any
    compression: bool = False


OWN = Adapter("own", gate, WebSocketProtocol)
"""As `tapecast serve` does: the protocol class in uvicorn's `ws=` slot."""
ASGI = Adapter("asgi", lambda settings: "httptools", "websockets-sansio")
"""As any ASGI server does: the Starlette route, under uvicorn as it comes."""
OWN_COMPRESSED = OWN._replace(name="own-compressed", compression=True)
"""With every frame compressed that becomes smaller by it: the tests' clients offer that."""
ASGI_COMPRESSED = ASGI._replace(name="asgi-compressed", compression=True)
"""With the compression of the server beneath."""


class _Server(HubServer):
    """Leaves signals to the test run, and says when it listens."""

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config, hub, "")
        self.listening = asyncio.Event()
        self.ending = asyncio.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        # uvicorn's own looks ten times a second whether it should end, which every test would pay.
        await self.on_tick(0)
        await self.ending.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class LiveHub:
    """A hub on a free port that is its own again after each `stop`. Drains at once."""

    def __init__(
        self, broker: Broker | None = None, adapter: Adapter = OWN, /, **settings: Any
    ) -> None:
        self.settings = Settings(
            **{
                "host": "127.0.0.1",
                "port": 0,
                "jwt_secret": SECRET,
                "drain_spread_seconds": 0.0,
                "drain_seconds": 1.0,
                "compression": adapter.compression,
                "compression_bytes": 1,
                **settings,
            }
        )
        self._broker = broker
        self._adapter = adapter
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None
        self.url = ""
        self.hub: Hub

    async def start(self) -> None:
        """Listen, and return once connections are taken."""
        app = create_app(self.settings, self._broker)
        self.hub = app.state.hub
        sock = listen(self.settings)
        self.url = url_of(sock)
        config = uvicorn.Config(
            app,
            http=self._adapter.http(self.settings),
            ws=self._adapter.ws,
            ws_per_message_deflate=self._adapter.compression,
            lifespan="on",
            access_log=False,
            log_config=None,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config, self.hub)
        self._task = asyncio.create_task(self._server.serve(sockets=[sock]), name="live hub")
        listening = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait([listening, self._task], return_when=asyncio.FIRST_COMPLETED)
        assert listening.done(), "the hub ended before it listened"

    def begin_stop(self) -> None:
        """Begin what `stop` waits for."""
        assert self._server is not None, "it runs"
        self._server.ending.set()

    async def stop(self) -> None:
        """Drain and end, as SIGTERM does."""
        if self._server is not None and self._task is not None:
            self.begin_stop()
            await self._task
            self._server = self._task = None

    def break_links(self) -> None:
        """Abort every connection, without a word to its client."""
        for connection in list(self.hub.connections.values()):
            connection.abort()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()
