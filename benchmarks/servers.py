"""Starts the servers that are measured: each as a process of its own on one core.

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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import redis

from benchmarks import load
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

PEERS = Path(__file__).with_name("peers")
NAME = keys.pubsub(CHANNEL)
"""The pub/sub name that all servers follow."""

_TAPECAST = str(Path(sysconfig.get_path("scripts"), "tapecast"))


Command = Callable[[int], list[str]]


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
    """What a server is started in: a folder for its log, its cores, the tokens that its clients
    bring, and the Valkey that publishes come from."""

    folder: Path
    cores: Sequence[int]
    tokens: Path
    redis: str

    @property
    def redis_socket(self) -> str:
        """The path of Valkey's socket."""
        return Endpoint.from_url(self.redis).path

    def redis_info(self) -> dict[str, Any]:
        """What Valkey says of itself, its `process_id` among it."""
        with redis.Redis.from_url(self.redis) as client:
            info: dict[str, Any] = client.info()
            return info


@dataclass(frozen=True)
class Wire:
    """How the load generator speaks to a server."""

    path: str = "/ws"
    dialect: str = "tapecast"
    deflate: bool = False

    def plan(self, port: int, connections: int, **more: Any) -> load.Plan:
        """A plan of the load generator for a server of this kind."""
        wire: dict[str, Any] = asdict(self)
        return load.Plan(port=port, connections=connections, **wire, **more)


@dataclass(frozen=True)
class Server:
    """A running server."""

    pid: int
    port: int
    wire: Wire = field(default_factory=Wire)

    def plan(self, connections: int, **more: Any) -> load.Plan:
        """A plan of the load generator for this server."""
        return self.wire.plan(self.port, connections, **more)


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
def setting(folder: Path, cores: Sequence[int], tokens: Path) -> Iterator[Setting]:
    """A Valkey of its own, on the caller's cores, with one portfolio published."""
    with embedded_server({"XDG_RUNTIME_DIR": str(folder)}) as url:
        published = subprocess.run(
            [_TAPECAST, "publish", "--redis", url, CHANNEL, "portfolio_update", PORTFOLIO],
            capture_output=True,
            text=True,
            env=_environment(),
        )
        if published.returncode:
            raise ServerError(f"tapecast publish failed:\n{published.stderr}")
        yield Setting(folder, cores, tokens, url)


def tapecast(at: Setting, *options: str) -> AbstractContextManager[Server]:
    """`tapecast serve` in its defaults."""
    return running(at, tapecast_command(at, *options))


def ingest_command(at: Setting) -> list[str]:
    """The command line of `tapecast ingest` on its default inlet."""
    return [_TAPECAST, "ingest", "--redis", at.redis]


def compressing_tapecast(at: Setting) -> AbstractContextManager[Server]:
    """`tapecast serve` that agrees to compression where it is offered, as its plans do."""
    environment = {"TAPECAST_COMPRESSION": "true"}
    return running(at, tapecast_command(at), Wire(deflate=True), environment)


def tapecast_command(at: Setting, *options: str) -> Command:
    """The command line for a port."""
    return lambda port: [_TAPECAST, "serve", "--port", str(port), "--redis", at.redis, *options]


def floor(at: Setting) -> AbstractContextManager[Server]:
    """A C program that checks nothing: the kernel's share of every figure."""
    program = str(load.build(PEERS / "floor.c"))
    return running(at, lambda port: [program, str(port), at.redis_socket, NAME])


def module(at: Setting, name: str, *arguments: str, python: Path | None = None) -> Command:
    """The command line of a peer in Python; `python` is the interpreter of its environment."""
    interpreter = str(python or sys.executable)
    command = [interpreter, "-m", f"benchmarks.peers.{name}", "--redis", at.redis]
    return lambda port: [*command, "--follow", NAME, *arguments, "--port", str(port)]


@contextlib.contextmanager
def running(
    at: Setting,
    command: Command,
    wire: Wire | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Start on the setting's core, yield when a first connection was ready, stop."""
    port, wire = free_port(), wire or Wire()
    log = at.folder / f"server-{port}.log"
    with log.open("wb") as output, load.on_core(*at.cores):
        process = _start(command(port), output, environment or {})
    with stopping(process):
        _wait_until_ready(process, wire.plan(port, 1, tokens=at.tokens), log)
        yield Server(process.pid, port, wire)


@contextlib.contextmanager
def stopping(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End the process at the end, by force where it takes too long."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _start(
    command: list[str], output: BinaryIO, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, stdout=output, stderr=output, cwd=load.ROOT, env=_environment() | dict(environment)
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
