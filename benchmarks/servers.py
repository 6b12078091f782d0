"""The servers that are measured: each started as a process of its own on one core.

A server is ready when the load generator's first connection is: nothing is read from its output,
so a peer in any language fits. All follow the same pub/sub name of a Valkey on the load
generator's core, and send what is published there to every subscriber.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from benchmarks import load, node
from hub.broker.pubsub import Endpoint
from hub.cli.embedded import embedded_server
from hub.protocol import keys
from hub.server.auth import mint_token

CHANNEL = "portfolio"
PORTFOLIO = (
    '{"balance":"100000.00","equity":"100250.50","available":"90000.00",'
    '"exposure":"10000.00","currency":"USD"}'
)
SECRET = "benchmarks-sign-their-tokens-with-this"
START_SECONDS = 30.0
STOP_SECONDS = 10.0

_TAPECAST = str(Path(sysconfig.get_path("scripts"), "tapecast"))
_NAME = keys.pubsub(CHANNEL)


class ServerError(Exception):
    """A server did not start; the text has its last words."""


@dataclass(frozen=True)
class Cores:
    """Where the measured server runs, and where everything else does."""

    server: int
    load: int

    @staticmethod
    def available() -> Cores:
        """The first and the last core this process may use: the same where it has but one."""
        cores = sorted(os.sched_getaffinity(0))
        return Cores(server=cores[0], load=cores[-1])


@dataclass(frozen=True)
class Setting:
    """What a server is started in: a folder for its log, its core, the tokens that its clients
    bring, and the Valkey that publishes come from."""

    folder: Path
    core: int
    tokens: Path
    redis: str

    @property
    def redis_socket(self) -> str:
        """The path of Valkey's socket."""
        return Endpoint.from_url(self.redis).path


@dataclass(frozen=True)
class Server:
    """A running server."""

    pid: int
    port: int


def write_tokens(path: Path, count: int) -> Path:
    """Write so many different HS256 tokens that may read every channel, one a line."""
    day, now = 24 * 3600, time.time()
    path.write_text(
        "".join(
            mint_token(SECRET, f"viewer-{number}", read=["*"], ttl_seconds=day, now=now) + "\n"
            for number in range(count)
        )
    )
    return path


@contextlib.contextmanager
def setting(folder: Path, core: int, tokens: Path) -> Iterator[Setting]:
    """A Valkey of its own, with one portfolio published."""
    with embedded_server({"XDG_RUNTIME_DIR": str(folder)}) as redis:
        published = subprocess.run(
            [_TAPECAST, "publish", "--redis", redis, CHANNEL, "portfolio_update", PORTFOLIO],
            capture_output=True,
            text=True,
            env=_environment(),
        )
        if published.returncode:
            raise ServerError(f"tapecast publish failed:\n{published.stderr}")
        yield Setting(folder, core, tokens, redis)


def tapecast(at: Setting) -> AbstractContextManager[Server]:
    """`tapecast serve` in its defaults."""
    return _running(at, lambda port: [_TAPECAST, "serve", "--port", str(port), "--redis", at.redis])


def compressing_tapecast(at: Setting) -> AbstractContextManager[Server]:
    """`tapecast serve` that agrees to compression where it is offered."""
    return _running(
        at,
        lambda port: [_TAPECAST, "serve", "--port", str(port), "--redis", at.redis],
        {"TAPECAST_COMPRESSION": "true"},
    )


def websockets_peer(at: Setting) -> AbstractContextManager[Server]:
    """The asyncio server of `websockets`."""
    return _running(at, _module(at, "benchmarks.peers.websockets_server"))


def starlette(at: Setting) -> AbstractContextManager[Server]:
    """A Starlette endpoint, and `send_text` in a loop."""
    return _running(at, _module(at, "benchmarks.peers.starlette_server", "--by", "loop"))


def broadcaster(at: Setting) -> AbstractContextManager[Server]:
    """A Starlette endpoint that reads from `broadcaster`."""
    return _running(at, _module(at, "benchmarks.peers.starlette_server", "--by", "broadcaster"))


def node_ws(at: Setting) -> AbstractContextManager[Server]:
    """Node and `ws`. Raises ServerError where they can't be installed."""
    program = str(node.install() / node.PROGRAM)
    return _running(at, lambda port: ["node", program, str(port), at.redis_socket, _NAME])


def floor(at: Setting) -> AbstractContextManager[Server]:
    """A C program that checks nothing: the kernel's share of every figure."""
    program = str(load.build(Path(__file__).with_name("peers") / "floor.c"))
    return _running(at, lambda port: [program, str(port), at.redis_socket, _NAME])


Starter = Callable[[Setting], AbstractContextManager[Server]]


def _module(at: Setting, name: str, *arguments: str) -> Callable[[int], list[str]]:
    command = [sys.executable, "-m", name, "--redis", at.redis, "--follow", _NAME, *arguments]
    return lambda port: [*command, "--port", str(port)]


@contextlib.contextmanager
def _running(
    at: Setting, command: Callable[[int], list[str]], settings: Mapping[str, str] | None = None
) -> Iterator[Server]:
    port = free_port()
    log = at.folder / "server.log"
    with log.open("wb") as output, load.on_core(at.core):
        process = _start(command(port), output, settings or {})
    try:
        _wait_until_ready(process, load.Plan(port=port, connections=1, tokens=at.tokens), log)
        yield Server(pid=process.pid, port=port)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _start(
    command: list[str], output: BinaryIO, settings: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, stdout=output, stderr=output, cwd=load.ROOT, env={**_environment(), **settings}
    )


def _environment() -> dict[str, str]:
    """The caller's environment without its own Tapecast settings: defaults are measured."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("TAPECAST_")}
    return own | {"TAPECAST_JWT_SECRET": SECRET}


def free_port() -> int:
    """A port of the loopback interface that nobody listens on at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _wait_until_ready(process: subprocess.Popen[bytes], plan: load.Plan, log: Path) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while not (first := load.storm(plan)).ready:
        if process.poll() is not None or time.monotonic() >= give_up_at:
            raise ServerError(
                f"no connection became ready: {first.first_failure}. The server's last words:\n"
                + "\n".join(log.read_text(errors="replace").splitlines()[-8:])
            )
        time.sleep(0.05)
