"""The opening handshake of a WebSocket on the hub's side (RFC 6455 section 4.2), without I/O.

A request's head goes in, the bytes of an answer come out. `websockets` parses the request and
checks it by RFC 6455, unless `hub.server.upgrade` sees at once that it is right; the rules on top
of it are these:

1. Exactly one Host, and at most one Authorization: with two of them, which one counts would
   depend on who reads (RFC 9112 section 3.2, RFC 9110 section 5.3).
2. A version other than 13 is answered with 426 and the version that is spoken (4.2.2, 4.4).
3. The Origin is the caller's to judge; refused with 403.
4. A client that offers sub-protocols gets the first of ours among them, or 400: with none in common
   it would not understand a frame. A client that offers none is accepted without one.
5. No extension but permessage-deflate, where the caller wants it: see hub.server.deflate.

A refusal's reason names headers, not their values: they carry tokens, and reasons are logged.

Only `websockets`' sans-I/O classes are used, and nothing of them is kept: a `ServerProtocol` for
each connection would cost twice the time, and its memory for life.
tests/server/test_handshake.py holds the answers against `ServerProtocol.accept`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import cast

import msgspec
from websockets.datastructures import Headers
from websockets.exceptions import (
    HeaderLineTooLong,
    InvalidHandshake,
    InvalidHeader,
    InvalidHeaderValue,
    InvalidMethod,
    InvalidProtocol,
    InvalidUpgrade,
    RequestLineTooLong,
    TooManyHeaders,
)
from websockets.headers import parse_subprotocol
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.streams import StreamReader

from hub.server.deflate import negotiate
from hub.server.upgrade import UpgradeRequest, read_plain

MAX_BYTES = 65_536
"""The bound of a request's head, where the caller gives none."""

_SINGLE = ("Host", "Authorization")
_VERSION = "Sec-WebSocket-Version"


class Accepted(msgspec.Struct, frozen=True):
    """Write `response`; the connection is open, and what comes next are frames."""

    request: UpgradeRequest
    subprotocol: str | None
    compresses: bool
    """Whether both sides may compress their messages."""
    response: bytes


class Rejected(msgspec.Struct, frozen=True):
    """Write `response`, a whole HTTP response, and close the connection."""

    status: HTTPStatus
    reason: str
    response: bytes


def open_handshake(
    head: bytes,
    *,
    subprotocols: Sequence[str],
    origin_allowed: Callable[[UpgradeRequest], bool],
    max_bytes: int = MAX_BYTES,
    compression: bool = False,
) -> Accepted | Rejected:
    """Answer the request whose request line and headers are `head`, up to their blank line.

    `subprotocols` are ours, the preferred one first; `compression` is agreed to where the client
    offers it. Never raises for what a client sent. Paths, tokens and limits are for the caller,
    which may answer an Accepted with `reject` instead.
    """
    if len(head) > max_bytes:
        reason = f"request head of {len(head)} bytes; at most {max_bytes} are taken"
        return reject(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, reason)
    try:
        request = read_plain(head) or _read(head)
        extension = negotiate(request.extensions) if compression else None
    except InvalidHandshake as breach:
        return _explain(breach)
    except (EOFError, NotImplementedError, ValueError):
        return reject(HTTPStatus.BAD_REQUEST, "not a well-formed HTTP request without a body")
    if not origin_allowed(request):
        return reject(HTTPStatus.FORBIDDEN, f"origin {request.origin!r} is not allowed")
    subprotocol = next((known for known in subprotocols if known in request.offered), None)
    if subprotocol is None and request.offered:
        expected = ", ".join(subprotocols)
        return reject(HTTPStatus.BAD_REQUEST, f"no known sub-protocol offered; expected {expected}")
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {request.accept}",
    ]
    if subprotocol is not None:
        lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    if extension is not None:
        lines.append(f"Sec-WebSocket-Extensions: {extension}")
    return Accepted(request, subprotocol, extension is not None, _serialise(lines))


def reject(status: HTTPStatus, reason: str, headers: Iterable[tuple[str, str]] = ()) -> Rejected:
    """Refuse a handshake with one line of plain text, and `headers` besides the usual ones."""
    body = f"{reason}\n".encode()
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return Rejected(status, reason, _serialise(lines) + body)


# Checks requests for all connections: nothing that it notes of one request is read for another.
_RULES = ServerProtocol()


def _read(head: bytes) -> UpgradeRequest:
    """Read and check any request. Raises InvalidHandshake, or what `_parse` does."""
    parsed = _parse(head)
    accept, _, _ = _RULES.process_request(parsed)
    _check_single(parsed.headers)
    return _describe(parsed, accept)


def _parse(head: bytes) -> Request:
    """Raises EOFError, NotImplementedError or ValueError for what is no request without a body."""
    reader = StreamReader()
    reader.feed_data(head)
    reader.feed_eof()
    try:
        next(Request.parse(reader.read_line))
    except StopIteration as parsed:
        if reader.buffer:
            # "The client MUST wait for a response before sending any further data" (4.1).
            raise ValueError("bytes follow the head") from None
        return cast("Request", parsed.value)
    raise AssertionError("a reader whose stream has ended waits for nothing")


def _check_single(headers: Headers) -> None:
    """Raise where a header occurs twice that would then mean two things, or Host is missing."""
    for name in _SINGLE:
        if len(headers.get_all(name)) > 1:
            raise InvalidHeader(name, "multiple values")
    if "Host" not in headers:
        raise InvalidHeader("Host")


def _describe(parsed: Request, accept: str) -> UpgradeRequest:
    path, _, query = parsed.path.partition("?")
    headers = parsed.headers
    offered = tuple(
        name
        for value in headers.get_all("Sec-WebSocket-Protocol")
        for name in parse_subprotocol(value)
    )
    return UpgradeRequest(
        path,
        query,
        headers["Host"],
        accept,
        headers.get("Authorization"),
        headers.get("Origin"),
        offered,
        tuple(headers.get_all("Sec-WebSocket-Extensions")),
        # Several are one that a proxy took apart (RFC 9113 section 8.2.3).
        "; ".join(cookies) if (cookies := headers.get_all("Cookie")) else None,
    )


def _explain(breach: InvalidHandshake) -> Rejected:
    """Choose the answer to what `websockets` refuses."""
    match breach:
        case InvalidMethod():
            status, reason = HTTPStatus.METHOD_NOT_ALLOWED, "a WebSocket is opened with GET"
            return reject(status, reason, [("Allow", "GET")])
        case InvalidProtocol():
            reason = "a WebSocket is opened with HTTP/1.1"
            return reject(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, reason)
        case InvalidUpgrade():
            reason = "a WebSocket is expected here: Connection: Upgrade and Upgrade: websocket"
            return reject(HTTPStatus.UPGRADE_REQUIRED, reason, [("Upgrade", "websocket")])
        case InvalidHeaderValue(name=name) if name == _VERSION:
            reason = f"unknown {_VERSION}; expected 13"
            return reject(HTTPStatus.UPGRADE_REQUIRED, reason, [(_VERSION, "13")])
        case InvalidHeader(name=name, value=None):
            return reject(HTTPStatus.BAD_REQUEST, f"{name} header missing")
        case InvalidHeader(name=name):
            return reject(HTTPStatus.BAD_REQUEST, f"{name} header malformed, or more than one")
        case RequestLineTooLong():
            return reject(HTTPStatus.REQUEST_URI_TOO_LONG, "request line too long")
        case HeaderLineTooLong() | TooManyHeaders():
            reason = "a header too long, or too many of them"
            return reject(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, reason)
    raise AssertionError(f"unexpected refusal by websockets: {breach!r}")


def _serialise(lines: Sequence[str]) -> bytes:
    return "\r\n".join((*lines, "", "")).encode("ascii")
