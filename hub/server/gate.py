"""The first protocol on every connection: it looks at the first bytes and hands over.

An upgrade request for our path that came whole goes straight to the WebSocket protocol: parsing it
as HTTP first, only to write it out again for the upgrade, would be a good part of what a connection
costs. Everything else, an upgrade in pieces too, takes uvicorn's way. What follows a head goes with
it: frames before the answer are refused there, and would be dropped in silence here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from hub.server.bounded_http import bounded
from hub.server.websocket import PATH, WebSocketProtocol

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn.server import ServerState

    from hub.server.settings import Settings

_UPGRADES = tuple(f"GET {PATH}{end}".encode() for end in (" ", "?"))
_HEAD_END = b"\r\n\r\n"


class _Silent:
    """Connections that have sent nothing yet; each is aborted after so many seconds of it.

    One timer for all of them: they wait equally long, so the first to come is the first to go.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: dict[asyncio.Transport, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        until = self._until[transport] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_at(until, self._expire, loop)

    def remove(self, transport: asyncio.Transport) -> None:
        self._until.pop(transport, None)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        while self._until:
            transport, until = next(iter(self._until.items()))
            if until > now:
                self._timer = loop.call_at(until, self._expire, loop)
                return
            del self._until[transport]
            transport.abort()


def gate(settings: Settings) -> type[asyncio.Protocol]:
    """The class to give to uvicorn as `http=`; it takes the arguments that uvicorn gives."""
    http_protocol = bounded(settings)
    silent = _Silent(settings.handshake_seconds)

    class Gate(asyncio.Protocol):
        __slots__ = ("_app_state", "_config", "_loop", "_server_state", "_transport")

        def __init__(
            self,
            config: Config,
            server_state: ServerState,
            app_state: dict[str, Any],
            _loop: asyncio.AbstractEventLoop | None = None,
        ) -> None:
            self._config = config
            self._server_state = server_state
            self._app_state = app_state
            self._loop = _loop or asyncio.get_running_loop()

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self._transport = cast("asyncio.Transport", transport)
            silent.add(self._transport, self._loop)

        def connection_lost(self, exc: Exception | None) -> None:
            silent.remove(self._transport)

        def data_received(self, data: bytes) -> None:
            silent.remove(self._transport)
            protocol: asyncio.Protocol
            if data.startswith(_UPGRADES) and _HEAD_END in data:
                protocol = WebSocketProtocol(self._config, self._server_state, self._app_state)
            else:
                protocol = http_protocol(
                    config=self._config,
                    server_state=self._server_state,
                    app_state=self._app_state,
                    _loop=self._loop,
                )
            self._transport.set_protocol(protocol)
            protocol.connection_made(self._transport)
            protocol.data_received(data)

    return Gate
