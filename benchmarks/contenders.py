"""Who is measured: Tapecast, the floor, and the peers, by name.

A peer is installed when it is asked for, into a folder of its own below build/, and left out with
a word of why where it can't be had. All follow the same publishes; a peer of one's own answers a
subscribe with constants, as Tapecast's reply and snapshot look.
"""

from __future__ import annotations

import contextlib
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import unquote

from benchmarks import install, servers
from benchmarks.install import Missing
from benchmarks.load import ROOT
from benchmarks.servers import PEERS, Server, Setting, Wire, module, running

NODE_WS = ("jsonwebtoken@9.0.3", "redis@6.3.1", "ws@8.23.0")
SOCKET_IO = ("jsonwebtoken@9.0.3", "redis@6.3.1", "socket.io@4.8.4")
NCHAN = ("nginx", "libnginx-mod-nchan")
# What Tapecast uses too comes in its version, so that nobody has the better event loop.
_OURS = ("click", "h11", "httptools", "PyJWT", "redis", "uvicorn", "uvloop", "websockets")
_SHARED = (
    "async-timeout==5.0.1",  # redis asks for it below Python 3.11.3
    *(f"{name}=={version(name)}" for name in _OURS),
)
PYTHON_SOCKETIO = (
    "bidict==0.24.1",
    "python-engineio==4.15.1",
    "python-socketio==5.18.1",
    "simple-websocket==1.1.0",
    "typing-extensions==4.16.0",
    "wsproto==1.3.2",
    *_SHARED,
)
DJANGO_CHANNELS = (
    "asgiref==3.13.0",
    "channels==4.3.2",
    "channels-redis==4.3.0",
    "Django==5.2.19",
    "msgpack==1.2.4",
    "sqlparse==0.6.1",
    *_SHARED,
)

SOCKET_IO_WIRE = Wire("/socket.io/?EIO=4&transport=websocket", "socketio")
# The module of Debian's package makes this folder's `body`, wherever it is told to write.
NGINX_FOLDER = Path("/var/lib/nginx")


def _nothing() -> None:
    """What needs no installing."""


@dataclass(frozen=True)
class Contender:
    """A server that can be measured. `install` raises Missing where it can't be had.

    versions: what of it to name beside its figures.
    one_token: all its connections bring the same token.
    """

    start: Callable[[Setting], AbstractContextManager[Server]]
    install: Callable[[], object] = _nothing
    versions: Callable[[], Sequence[str]] = tuple
    one_token: bool = False


def _peer(
    name: str, *arguments: str, python: Callable[[], Path] | None = None, wire: Wire | None = None
) -> Callable[[Setting], AbstractContextManager[Server]]:
    """A starter of a peer in Python."""

    def start(at: Setting) -> AbstractContextManager[Server]:
        return running(at, module(at, name, *arguments, python=python() if python else None), wire)

    return start


def _node_peer(
    program: Callable[[], Path], wire: Wire | None = None
) -> Callable[[Setting], AbstractContextManager[Server]]:
    """A starter of a peer in Node."""

    def start(at: Setting) -> AbstractContextManager[Server]:
        path = str(program())
        return running(
            at, lambda port: ["node", path, str(port), at.redis_socket, servers.NAME], wire
        )

    return start


def _node_ws() -> Path:
    return install.npm("node-ws", PEERS / "node_server.mjs", NODE_WS)


def _socket_io() -> Path:
    return install.npm("socket.io", PEERS / "socketio_server.mjs", SOCKET_IO)


def _python_socketio() -> Path:
    return install.python("python-socketio", PYTHON_SOCKETIO)


def _django_channels() -> Path:
    return install.python("django-channels", DJANGO_CHANNELS)


def _nchan() -> Path:
    if not NGINX_FOLDER.is_dir():
        try:
            NGINX_FOLDER.mkdir()
        except OSError as error:
            raise Missing(
                f"its module of nginx needs the folder {NGINX_FOLDER}, which is missing: make it"
            ) from error
    return install.debian("nchan", NCHAN)


def _nchan_versions() -> list[str]:
    """As in the names of Debian's packages, NAME_VERSION_ARCHITECTURE.deb."""
    return [unquote(path.stem).rpartition("_")[0] for path in sorted(_nchan().glob("*.deb"))]


@contextlib.contextmanager
def _nchan_server(at: Setting) -> Iterator[Server]:
    """nginx with nchan, and the bridge that posts to it what is published."""
    installed = _nchan()
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)[::-1]
    words = {
        "FOLDER": str(at.folder),
        "MODULES": str(installed / "usr" / "lib" / "nginx" / "modules"),
        "FILES": str(files),
    }
    config = at.folder / "nginx.conf"

    def command(port: int) -> list[str]:
        text = (PEERS / "nchan.conf").read_text()
        for word, value in {**words, "PORT": str(port)}.items():
            text = text.replace(word, value)
        config.write_text(text)
        nginx = str(installed / "usr" / "sbin" / "nginx")
        return [nginx, "-e", "stderr", "-p", str(at.folder), "-c", str(config)]

    with _bridge(at), running(at, command, Wire(dialect="listen")) as server:
        yield server


@contextlib.contextmanager
def _bridge(at: Setting) -> Iterator[None]:
    """Runs where the load generator does; waits for nginx's socket, and ends with it."""
    command = [sys.executable, "-m", "benchmarks.peers.nchan_bridge", "--redis", at.redis]
    command += ["--follow", servers.NAME, "--to", str(at.folder / "publish.sock")]
    with servers.stopping(subprocess.Popen(command, cwd=ROOT)):
        yield


CONTENDERS: dict[str, Contender] = {
    "floor": Contender(servers.floor),
    "tapecast": Contender(servers.tapecast),
    "tapecast-one-token": Contender(servers.tapecast, one_token=True),
    "tapecast-compression": Contender(servers.compressing_tapecast),
    "node-ws": Contender(_node_peer(_node_ws), _node_ws, lambda: NODE_WS[-1:]),
    "socket.io": Contender(
        _node_peer(_socket_io, SOCKET_IO_WIRE), _socket_io, lambda: SOCKET_IO[-1:]
    ),
    "nchan": Contender(_nchan_server, _nchan, _nchan_versions),
    "websockets": Contender(_peer("websockets_server")),
    "starlette": Contender(_peer("starlette_server", "--by", "loop")),
    "broadcaster": Contender(_peer("starlette_server", "--by", "broadcaster")),
    "python-socketio": Contender(
        _peer("socketio_server", python=_python_socketio, wire=SOCKET_IO_WIRE),
        _python_socketio,
        lambda: PYTHON_SOCKETIO[1:3],
    ),
    "django-channels": Contender(
        _peer("channels_server", python=_django_channels),
        _django_channels,
        lambda: DJANGO_CHANNELS[1:4],
    ),
}


LOSSLESS = ("floor", "tapecast")
"""Their names begin so, and they must serve everybody, and deliver everything: a peer that does
not is reported with what it lost."""


def available(names: Sequence[str]) -> list[str]:
    """Those of these contenders that can be had here; says which can't, and why."""
    found = []
    for name in names:
        try:
            CONTENDERS[name].install()
        except Missing as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
        else:
            found.append(name)
    return found


def versions(names: Sequence[str]) -> list[str]:
    """What to name of these contenders: `NAME VERSION` each."""
    found = [text for name in names for text in CONTENDERS[name].versions()]
    return [re.sub("==|@|_", " ", text, count=1) for text in found]
