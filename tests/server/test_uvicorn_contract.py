"""What hub/server relies on of uvicorn beyond its documentation. A new minor fails here first.

gate, websocket: how the protocol classes are made, called and swapped. bounded_http: the hooks and
attributes of the HTTP protocol. run: what a server does when, and what it lets be overridden.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Generator
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from hub.server.worker import listen
from tests.support.brokers import eventually
from tests.support.livehub import LiveHub

HELD_TO = "0.54."
"""The minor that the assumptions below were last read against, which pyproject.toml pins."""

UPGRADE = (
    b"GET /ws?a=b HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"X-Twice: 1\r\nX-Twice: 2\r\n\r\n"
)


class Log(list[str]):
    """What was called, in order."""


class Http(HttpToolsProtocol):
    """uvicorn's own, which tells what is called when."""

    log: Log

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.log.append(f"http made with {sorted(kwargs)}")
        assert not args
        super().__init__(**kwargs)
        assert self.cycle is None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.log.append("http made")
        assert self.transport is transport
        assert isinstance(self.loop, asyncio.AbstractEventLoop)
        assert self in self.server_state.connections

    def connection_lost(self, exc: Exception | None) -> None:
        self.log.append("http lost")
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self.log.append("message begins")
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self.log.append("headers complete")
        super().on_headers_complete()
        if self.cycle is not None:
            self.log.append(f"response complete: {self.cycle.response_complete}")

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.log.append(f"response complete: {self.cycle.response_complete}")


class WebSocket(asyncio.Protocol):
    """A `ws=` class that answers, and tells what is called when."""

    log: Log

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        assert not args
        self.log.append(f"ws made with {sorted(kwargs)}")
        assert isinstance(kwargs["config"], uvicorn.Config)
        assert isinstance(kwargs["server_state"], ServerState)
        self.state = kwargs["server_state"]
        self.log.append(f"state {kwargs['app_state']}")

    def connection_made(self, transport: Any) -> None:
        self.log.append("ws connected")
        self.transport = transport
        assert transport.get_protocol() is not self, "swapped after the first bytes"

    def data_received(self, data: bytes) -> None:
        self.log.append(f"ws data {data!r}")
        if not data.startswith(b"GET"):
            assert self.transport.get_protocol() is self
            assert self.state.connections == set(), "a WebSocket is not uvicorn's to close"
        self.transport.write(b"answer")

    def connection_lost(self, exc: Exception | None) -> None:
        self.log.append("ws lost")


class Server(uvicorn.Server):
    """A server whose steps are told."""

    log: Log

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.log.append(f"started {self.started}, {len(self.servers)} server")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.log.append("shutdown")
        assert sockets is not None
        await super().shutdown(sockets=sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        self.log.append("signals captured")
        yield
        self.log.append("signals given back")


class Running:
    """A started server and what it told."""

    def __init__(self, log: Log, server: Server, address: tuple[str, int]) -> None:
        self.log = log
        self.server = server
        self.address = address


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    log = Log()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            assert (await receive())["type"] == "lifespan.startup"
            scope["state"]["hub"] = "the hub"
            await send({"type": "lifespan.startup.complete"})
            assert (await receive())["type"] == "lifespan.shutdown"
            log.append("lifespan ends")
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    sock = listen(LiveHub().settings)
    config = uvicorn.Config(
        app,
        http=type("RunningHttp", (Http,), {"log": log}),
        ws=type("RunningWebSocket", (WebSocket,), {"log": log}),
        lifespan="on",
        log_config=None,
    )
    server = Server(config)
    server.log = log
    task = asyncio.create_task(server.serve(sockets=[sock]))
    await eventually(lambda: server.started or task.done(), "the server has started")
    yield Running(log, server, sock.getsockname())
    server.should_exit = True
    await task


def test_the_minor_is_the_one_that_was_read() -> None:
    """A new minor is read, and the assumptions here with it, before it is pinned."""
    assert uvicorn.__version__.startswith(HELD_TO), (
        f"uvicorn {uvicorn.__version__}: read its protocols and server, then change HELD_TO"
    )


async def test_how_an_upgrade_is_handed_over(running: Running) -> None:
    """The class is made with three keywords, told of the transport, given the whole head as it
    was parsed, and only then put in the place of the HTTP protocol, which hears no more."""
    reader, writer = await asyncio.open_connection(*running.address)
    writer.write(UPGRADE)
    assert await reader.readexactly(6) == b"answer"
    writer.write(b"frame")
    assert await reader.readexactly(6) == b"answer"
    writer.close()
    await eventually(lambda: "ws lost" in running.log, "the connection is gone")
    head = UPGRADE.replace(b"Host", b"host").replace(b"Connection", b"connection")
    head = head.replace(b"Upgrade: w", b"upgrade: w").replace(b"X-Twice", b"x-twice")
    assert running.log[2:] == [
        "http made with ['_loop', 'app_state', 'config', 'server_state']",
        "http made",
        "message begins",
        "headers complete",
        "ws made with ['app_state', 'config', 'server_state']",
        "state {'hub': 'the hub'}",
        "ws connected",
        f"ws data {head!r}",
        "ws data b'frame'",
        "ws lost",
    ]


async def test_the_steps_of_requests(running: Running) -> None:
    """For each request: it begins, its head is there, its response is complete; at the end the
    connection is lost."""
    reader, writer = await asyncio.open_connection(*running.address)
    for _ in range(2):
        writer.write(b"GET / HTTP/1.1\r\n")
        writer.write(b"Host: hub\r\n\r\n")
        assert b" 204 " in await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await eventually(lambda: "http lost" in running.log, "the connection is gone")
    steps = ["message begins", "headers complete", "response complete: False",
             "response complete: True"]  # fmt: skip
    assert running.log[4:] == [*steps, *steps, "http lost"]


async def test_the_end_of_a_server(running: Running) -> None:
    """`shutdown` is called once, within the captured signals; closing the servers before it is
    harmless, and the lifespan ends last: a drain before it still has its hub."""
    for server in running.server.servers:
        server.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*running.address)
    running.server.should_exit = True
    await eventually(lambda: "signals given back" in running.log, "the server has ended")
    assert running.log == [
        "signals captured",
        "started True, 1 server",
        "shutdown",
        "lifespan ends",
        "signals given back",
    ]


async def test_a_signal_asks_for_the_end(running: Running) -> None:
    """`handle_exit` asks for an end, a second SIGINT for one without a drain."""
    server = running.server
    server.handle_exit(signal.SIGTERM, None)
    assert (server.should_exit, server.force_exit) == (True, False)
    server.handle_exit(signal.SIGINT, None)
    assert server.force_exit
