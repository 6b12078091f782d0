"""Requests to open a WebSocket that are plainly right, read at once.

`websockets` reads and checks any request, line by line, in a fifth of the time that a connection
costs. Nearly all clients send a request of one plain shape; it is recognised here, and nothing
else is: what this module does not know is no error, it is for `hub.server.handshake` to judge.
tests/server/test_upgrade.py holds it to `websockets`: never another answer, and none where that
refuses.
"""

from __future__ import annotations

import re

import msgspec
from websockets.utils import accept_key

MAX_BYTES = 8192
"""Of a plain head; within it no line is longer than `websockets` takes."""


class UpgradeRequest(msgspec.Struct, frozen=True):
    """A request to open a WebSocket, as the client made it.

    path: without the query; percent-encoding is left as it came. accept: what answers the key.
    authorization, origin: None where the client sent none; origin, as programs other than
    browsers do. offered: the sub-protocols that the client offers, in its order of preference.
    extensions: the values of Sec-WebSocket-Extensions, unread. cookie: all of them, or None. Values
    are ISO-8859-1, as HTTP has them.
    """

    path: str
    query: str
    host: str
    accept: str
    authorization: str | None
    origin: str | None
    offered: tuple[str, ...]
    extensions: tuple[str, ...]
    cookie: str | None = None


# The tokens of RFC 9110 section 5.6.2 and visible ASCII, with single spaces for white space.
_HEAD = re.compile(
    r"GET (/[!-~]*) HTTP/1\.1\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[ -~]*\r\n){5,64})\r\n"
)
# 16 bytes in base64, as encoders write them.
_KEY = re.compile(r"[A-Za-z0-9+/]{21}[AQgw]==")
_OFFERED = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:, ?[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
_CONNECTIONS = frozenset(("upgrade", "keep-alive, upgrade"))
_BODY = frozenset(("content-length", "transfer-encoding"))


def read_plain(head: bytes) -> UpgradeRequest | None:
    """The request whose whole head this is, or None where it is not plainly right."""
    if len(head) > MAX_BYTES:
        return None
    # What is not ASCII becomes what the pattern does not take.
    match = _HEAD.fullmatch(head.decode("ascii", "replace"))
    if match is None:
        return None
    target, lines = match.groups()
    headers: dict[str, str] = {}
    count = 0
    for line in lines.splitlines():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip(" ")
        count += 1
    key = headers.get("sec-websocket-key", "")
    host = headers.get("host", "")
    offer = headers.get("sec-websocket-protocol")
    extension = headers.get("sec-websocket-extensions")
    if (
        len(headers) != count
        or not host
        or not _KEY.fullmatch(key)
        or headers.get("upgrade", "").lower() != "websocket"
        or headers.get("connection", "").lower() not in _CONNECTIONS
        or headers.get("sec-websocket-version") != "13"
        or not _BODY.isdisjoint(headers)
        or not (offer is None or _OFFERED.fullmatch(offer))
    ):
        return None
    path, _, query = target.partition("?")
    return UpgradeRequest(
        path,
        query,
        host,
        accept_key(key),
        headers.get("authorization"),
        headers.get("origin"),
        tuple(offer.replace(" ", "").split(",")) if offer else (),
        () if extension is None else (extension,),
        headers.get("cookie"),
    )
