"""A TCP port that leads to a Valkey, and to another one when it is turned: a failover's address."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Self

from tests.support.valkey import Valkey


class Relay:
    """Passes bytes on, between links to its port and the server that it is turned to.

    While it is cut, links to it end at once.
    """

    def __init__(self, valkey: Valkey) -> None:
        self._valkey: Valkey | None = valkey
        self._links: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """For clients."""
        return f"redis://127.0.0.1:{self.port}"

    def turn_to(self, valkey: Valkey) -> None:
        """Lead to another server from now on; links to the old one end."""
        self.cut()
        self._valkey = valkey

    def cut(self) -> None:
        """Lead nowhere."""
        self._valkey = None
        for link in self._links:
            link.cancel()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        self.cut()
        if self._links:
            await asyncio.wait(self._links)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        try:
            if self._valkey is None:
                return
            inner_reader, inner_writer = await asyncio.open_unix_connection(self._valkey.socket)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_pass_on(reader, inner_writer))
                    group.create_task(_pass_on(inner_reader, writer))
            finally:
                inner_writer.transport.abort()
        except (OSError, asyncio.CancelledError):
            # Cut, or nobody is there: asyncio would log what a handler raises.
            pass
        finally:
            writer.transport.abort()
            self._links.discard(task)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while some := await reader.read(64 * 1024):
            writer.write(some)
            await writer.drain()
    # One direction that ends ends the link.
    raise asyncio.CancelledError
