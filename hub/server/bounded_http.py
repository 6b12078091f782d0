"""uvicorn's HTTP protocol with the two bounds that it lacks.

uvicorn has no deadline for a request's head and takes headers of any size. Both are needed before
anything is known of a client, so they stand where the bytes come in. What is relied on of uvicorn
is held by tests/server/test_uvicorn_contract.py.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from hub.server.settings import Settings

_HEAD_END = b"\r\n\r\n"

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: text/plain; charset=utf-8\r\ncontent-length: 32\r\nconnection: close\r\n\r\n"
    b"The request's head is too large.\n"
)
_TOO_SLOW = (
    b"HTTP/1.1 408 Request Timeout\r\n"
    b"content-type: text/plain; charset=utf-8\r\ncontent-length: 33\r\nconnection: close\r\n\r\n"
    b"The request's head took too long.\n"
)


class BoundedHttpProtocol(HttpToolsProtocol):
    """One HTTP connection whose request heads are bounded in bytes and time."""

    settings: Settings
    """Set on a subclass by `bounded`: uvicorn makes the instances."""

    _head_bytes = 0
    _deadline: asyncio.TimerHandle | None = None
    _refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        deadline, most = self._deadline, self.settings.header_bytes
        # Where the end is not in sight, -1, what was counted before is within the bound.
        if deadline is not None and self._head_bytes + data.find(_HEAD_END) > most:
            self._refuse(_TOO_LARGE)
            return
        super().data_received(data)
        if deadline is None:
            self._await_next_head()
        elif self._deadline is deadline:
            self._head_bytes += len(data)
            if self._head_bytes > most:
                self._refuse(_TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._deadline is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._head_bytes = 0
        seconds = self.settings.handshake_seconds
        self._deadline = self.loop.call_later(seconds, self._refuse, _TOO_SLOW)

    def _await_next_head(self) -> None:
        # Any byte ends uvicorn's wait for the next request, but an empty line begins none.
        is_between = self.cycle is not None and self.cycle.response_complete
        if is_between and self._deadline is None and self.transport.get_protocol() is self:
            self._await_head()

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, answer: bytes) -> None:
        self._stop_waiting()
        transport = self.transport
        if transport.is_closing():
            return
        self._refused = True
        transport.write(answer)
        if transport.can_write_eof():
            # To close where bytes are on their way would reset the connection, and the answer
            # could be lost: they are thrown away, for a while.
            transport.write_eof()
            self._deadline = self.loop.call_later(self.settings.handshake_seconds, transport.abort)
        else:
            transport.close()


def bounded(settings: Settings) -> type[BoundedHttpProtocol]:
    """The class to give to uvicorn as `http=`."""
    attributes: dict[str, Any] = {"settings": settings}
    return type("ConfiguredHttpProtocol", (BoundedHttpProtocol,), attributes)
