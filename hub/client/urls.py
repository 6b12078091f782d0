"""How a hub is named."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def websocket_url(url: str) -> str:
    """The URL of a hub's socket, from that or from the hub's own.

    `http://host:8000`, `https://desk.example/tapecast` (a hub behind a path) and
    `ws://host:8000/ws` are understood. Raises ValueError that says what was expected.
    """
    parts = urlsplit(url)
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not parts.hostname or parts.username is not None or parts.fragment:
        raise ValueError(f"expected a hub's URL such as http://127.0.0.1:8000, got {url!r}")
    path = parts.path.rstrip("/")
    if path == "" or (parts.scheme in ("http", "https") and not path.endswith("/ws")):
        path += "/ws"
    return urlunsplit((scheme, parts.netloc, path, parts.query, ""))
