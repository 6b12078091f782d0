"""Commands and replies on a link to Redis, for tests that look at the bytes or fake a server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import hiredis


def words(command: bytes) -> list[bytes]:
    """The words of one whole command."""
    reader = hiredis.Reader()
    reader.feed(command)
    found = reader.gets()
    assert isinstance(found, list)
    return found


class FakeServer:
    """A server on a Unix socket that does what a real one can't be made to do.

    `behave(command)` returns the bytes to answer a command with, b"" to stay silent. `commands`
    lists what arrived on each link, `links` how many there were.
    """

    def __init__(self, folder: Path, behave: Callable[[list[bytes]], bytes]) -> None:
        self.path = folder / "fake.sock"
        self.url = f"unix://{self.path}"
        self.commands: list[list[bytes]] = []
        self.links = 0
        self._behave = behave
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._serve, self.path)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        await ended(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.links += 1
        self._tasks.add(this_task())
        parser = hiredis.Reader()
        try:
            while data := await reader.read(65536):
                parser.feed(data)
                while (command := parser.gets()) is not False:
                    assert isinstance(command, list)
                    self.commands.append(command)
                    writer.write(self._behave(command))
        except ConnectionError:
            pass
        finally:
            await closed(writer)


def this_task() -> asyncio.Task[None]:
    """The task that calls."""
    task = asyncio.current_task()
    assert task is not None
    return task


async def ended(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel the tasks of a server's links, and return when they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close a link at once, and return when its socket is closed."""
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def confirmations(command: list[bytes]) -> bytes:
    """What a real server answers SUBSCRIBE and UNSUBSCRIBE with."""
    word = command[0].lower()
    return b"".join(
        b"*3\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n:1\r\n" % (len(word), word, len(name), name)
        for name in command[1:]
    )
