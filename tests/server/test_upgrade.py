"""Requests that are plainly right, held against what `websockets` makes of them."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from websockets.client import ClientProtocol
from websockets.uri import parse_uri

from hub.server import handshake
from hub.server.upgrade import MAX_BYTES, UpgradeRequest, read_plain
from tests.support.upgrade_requests import ACCEPT, OURS, head, heads

BROWSER = (
    ("Pragma", "no-cache"),
    ("Cache-Control", "no-cache"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"),
    ("Origin", "https://desk.example"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Cookie", "tapecast=x.y-z; other=1"),
    ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
)


@given(heads)
@example(head())
@settings(max_examples=600, deadline=None)
def test_what_is_plain_is_read_as_websockets_does(data: bytes) -> None:
    """Whatever is taken here is taken there, and says the same."""
    plain = read_plain(data)
    if plain is not None:
        assert plain == handshake._read(data)


def test_a_plain_request_is_read_whole() -> None:
    """Each field, and the answer to the RFC's own key."""
    data = head(
        {"Sec-WebSocket-Protocol": f"{OURS}, bearer.a.b-c_d"},
        extra=[("Authorization", "Bearer t"), ("Origin", "null"), *BROWSER[-2:]],
        line="GET /ws%20x?a=1?b HTTP/1.1",
    )
    assert read_plain(data) == UpgradeRequest(
        path="/ws%20x",
        query="a=1?b",
        host="hub.example:8000",
        accept=ACCEPT,
        authorization="Bearer t",
        origin="null",
        offered=(OURS, "bearer.a.b-c_d"),
        extensions=("permessage-deflate; client_max_window_bits",),
        cookie="tapecast=x.y-z; other=1",
    )


@pytest.mark.parametrize("connection", ["Upgrade", "upgrade", "keep-alive, Upgrade"])
def test_requests_of_browsers_are_plain(connection: str) -> None:
    """Chromium's and Firefox's, header by header."""
    assert read_plain(head({"Connection": connection}, extra=BROWSER)) is not None


def test_requests_of_websockets_are_plain() -> None:
    """Those of the Python client too."""
    client = ClientProtocol(parse_uri("ws://hub.example/ws"), subprotocols=[OURS])  # type: ignore[list-item]
    client.send_request(client.connect())
    assert read_plain(b"".join(client.data_to_send())) is not None


@pytest.mark.parametrize(
    "data",
    [
        head({"Host": None}),
        head({"Host": ""}),
        head({"Upgrade": "h2c"}),
        head({"Connection": "close, upgrade"}),
        head({"Sec-WebSocket-Version": "8"}),
        head({"Sec-WebSocket-Key": "AAAA"}),
        head({"Sec-WebSocket-Protocol": ""}),
        head({"Sec-WebSocket-Protocol": "a b"}),
        head({"Content-Length": "0"}),
        head({"Transfer-Encoding": "chunked"}),
        head({"X-Any": "\xe9"}),
        head({"X-Any": "a\tb"}),
        head({"X-Any": "x" * MAX_BYTES}),
        head(extra=[("host", "other.example")]),
        head(extra=[("X-Trace", "1"), ("X-Trace", "2")]),
        head(extra=[(f"X-{n}", "") for n in range(60)]),
        head(line="POST /ws HTTP/1.1"),
        head(line="GET /ws HTTP/1.0"),
        head(line="GET http://hub.example/ws HTTP/1.1"),
        head() + b"x",
        head()[:-2],
        head().replace(b"\r\n", b"\n"),
        head().replace(b"Host:", b" Host:"),
        b"",
    ],
)
def test_anything_else_is_left_to_the_handshake(data: bytes) -> None:
    """Wrong or only unusual: it is not decided here."""
    assert read_plain(data) is None
