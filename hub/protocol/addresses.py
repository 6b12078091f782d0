"""Where the parts of one user's Tapecast find each other: folders, sockets and addresses.

Pure rules, for the hub and the producers alike; whoever uses them does the looking. The private
folder may lie in a folder that all users can write to, so before trusting what is in it, look
that it belongs to the user and is closed to the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import quote

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"
DEFAULT_URL = f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"


def private_folder(environ: Mapping[str, str], uid: int) -> str:
    """The folder for what only this user's processes may touch while they run; mode 0700.

    `XDG_RUNTIME_DIR` where the system gives one, the folder for temporary files elsewhere.
    """
    parent = environ.get("XDG_RUNTIME_DIR") or environ.get("TMPDIR") or "/tmp"  # noqa: S108
    return f"{parent.rstrip('/')}/tapecast-{uid}"


def embedded_socket(environ: Mapping[str, str], uid: int) -> str:
    """The path of the Unix socket that this user's embedded server listens on."""
    return f"{private_folder(environ, uid)}/valkey.sock"


def demo_credentials(environ: Mapping[str, str], uid: int) -> str:
    """The path of the file in which a running demo leaves its URL and token; mode 0600."""
    return f"{private_folder(environ, uid)}/demo.json"


def default_keys_file(environ: Mapping[str, str]) -> str:
    """The path of the user's API keys; "" where the user has no home."""
    home = environ.get("HOME")
    folder = environ.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else "")
    return f"{folder.rstrip('/')}/tapecast/keys.json" if folder else ""


def socket_url(path: str) -> str:
    """The URL by which redis-py reaches a server on a Unix socket."""
    return f"unix://{quote(path)}"


def choose_redis_url(
    option: str | None,
    environ: Mapping[str, str],
    uid: int,
    answers: Callable[[str], bool],
) -> str:
    """The Redis to use: the option, `TAPECAST_REDIS_URL`, a running embedded server, the default.

    `answers` tells of a socket's path whether a server of this user answers there; it is asked
    only where neither the option nor the environment says.
    """
    if given := option or environ.get("TAPECAST_REDIS_URL"):
        return given
    path = embedded_socket(environ, uid)
    return socket_url(path) if answers(path) else DEFAULT_REDIS_URL
