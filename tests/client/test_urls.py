"""How a hub is named."""

from __future__ import annotations

import pytest

from hub.client.urls import websocket_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8000", "ws://127.0.0.1:8000/ws"),
        ("http://127.0.0.1:8000/", "ws://127.0.0.1:8000/ws"),
        ("https://desk.example", "wss://desk.example/ws"),
        ("https://desk.example/tapecast/", "wss://desk.example/tapecast/ws"),
        ("https://desk.example/tapecast/ws", "wss://desk.example/tapecast/ws"),
        ("ws://127.0.0.1:8000/ws", "ws://127.0.0.1:8000/ws"),
        ("ws://127.0.0.1:8000", "ws://127.0.0.1:8000/ws"),
        ("wss://desk.example/elsewhere", "wss://desk.example/elsewhere"),
        ("http://[::1]:8000", "ws://[::1]:8000/ws"),
        ("https://desk.example?room=1", "wss://desk.example/ws?room=1"),
    ],
)
def test_url_names_the_socket(url: str, expected: str) -> None:
    """A hub's own URL and that of its socket both lead to the socket."""
    assert websocket_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000",
        "ftp://desk.example",
        "http://",
        "ws://user@desk.example/ws",
        "ws://a/#b",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    """What cannot name a hub is refused with an example of what can."""
    with pytest.raises(ValueError, match=r"such as http://127\.0\.0\.1:8000"):
        websocket_url(url)
