"""One worker: the hub under uvicorn, on one listening socket, until it is asked to end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import signal
import socket
from collections.abc import Generator

import click
import msgspec
import uvicorn

from hub.server.app import create_app
from hub.server.board import Board
from hub.server.gate import gate
from hub.server.hub import Hub
from hub.server.settings import Settings
from hub.server.websocket import WebSocketProtocol

SEND_BUFFER_BYTES = 256 * 1024
BACKLOG = 4096
LOOK_SECONDS = 0.1
ACCEPT_TURNS = 5
"""Turns of the event loop in which it accepts whoever waited, and reads what they sent."""
GC_THRESHOLDS = (10_000, 20, 50)
"""Allocations before a collection of the youngest, and collections before one of the next older."""


class HubServer(uvicorn.Server):
    """uvicorn's server, but that it drains the hub before it closes connections, and ends with
    status 0 when it was asked to end. Prints `announcement` once it accepts connections and
    signals, where there is one."""

    def __init__(self, config: uvicorn.Config, hub: Hub, announcement: str) -> None:
        super().__init__(config)
        self._hub = hub
        self._announcement = announcement

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._announcement:
            click.echo(self._announcement)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Whom the kernel let in already would be cut off with the listening socket: let them come
        # and hear that the hub restarts.
        for _ in range(ACCEPT_TURNS):
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()
        drain = asyncio.create_task(self._hub.drain(), name="drain")
        # A second Ctrl-C ends the drain too; uvicorn notes it in a flag.
        while not drain.done() and not self.force_exit:
            await asyncio.wait([drain], timeout=LOOK_SECONDS)
        drain.cancel()
        await asyncio.wait([drain])
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        # uvicorn raises the captured signal again once it has shut down, so that the process
        # would end by SIGTERM; whoever asked for a drain expects status 0.
        before = {
            sig: signal.signal(sig, self.handle_exit) for sig in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)


def listen(settings: Settings) -> socket.socket:
    """The listening socket; several workers may each have one on the same port.

    Raises OSError.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if settings.workers > 1:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Accepted sockets inherit these: they bound what the kernel keeps for a client that
        # stopped reading, and how long it waits for one that is gone.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            timeout_ms = round(settings.stall_seconds * 1000)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout_ms)
        sock.bind((settings.host, settings.port))
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def url_of(sock: socket.socket) -> str:
    """The URL that a listening socket is reached at."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def with_connection_cap(settings: Settings) -> Settings:
    """Raise the limit on open files as far as it goes, and keep connections below it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(1, soft * 9 // 10)
    if settings.max_connections is not None:
        most = min(settings.max_connections, most)
    return msgspec.structs.replace(settings, max_connections=most)


def serve_worker(
    settings: Settings, sock: socket.socket, board: Board | None = None, *, announce: bool = True
) -> None:
    """Serve on `sock` until SIGTERM or SIGINT, then drain.

    board: where there are other workers, as this one sees it. announce: print where it listens.
    """
    app = create_app(with_connection_cap(settings), board=board)
    config = uvicorn.Config(
        app,
        http=gate(settings),
        ws=WebSocketProtocol,
        loop="auto",
        lifespan="on",
        # A line for each request would cost more than most requests.
        access_log=False,
        log_config=None,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
        h11_max_incomplete_event_size=settings.header_bytes,
    )
    announcement = f"Tapecast listens on {url_of(sock)}" if announce else ""
    # What lives as long as the process is looked at by no collection from here on, and a storm of
    # connections, of which none is garbage, by few.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    HubServer(config, app.state.hub, announcement).run(sockets=[sock])


def configure_logging() -> None:
    """Log to standard error; uvicorn's own lines only where something is wrong."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
