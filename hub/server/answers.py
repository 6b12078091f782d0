"""How HTTP requests are answered: JSON, and errors that carry a row of `codes`."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from hub.broker.base import BrokerUnavailableError, ChannelUnavailableError
from hub.protocol import codes
from hub.protocol.codes import Code
from hub.protocol.errors import ProtocolError

RETRY_AFTER_SECONDS = 1

STATUS: Mapping[Code, HTTPStatus] = {
    codes.BAD_REQUEST: HTTPStatus.BAD_REQUEST,
    codes.UNAUTHORIZED: HTTPStatus.UNAUTHORIZED,
    codes.FORBIDDEN: HTTPStatus.FORBIDDEN,
    codes.NOT_FOUND: HTTPStatus.NOT_FOUND,
    codes.KIND_MISMATCH: HTTPStatus.CONFLICT,
    codes.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    codes.INVALID_DATA: HTTPStatus.UNPROCESSABLE_ENTITY,
    codes.TOO_MANY: HTTPStatus.TOO_MANY_REQUESTS,
    codes.FAILED: HTTPStatus.INTERNAL_SERVER_ERROR,
    codes.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""The codes that an HTTP request can be answered with, and the status each goes with."""

_UNAVAILABLE = "the broker is out of reach; what was published may have been stored: send it again"


class JsonAnswer(Response):
    """Any value as JSON; money and raw JSON pass as they are."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return msgspec.json.encode(content)


def listed_tags(if_none_match: str) -> set[str]:
    """The entity tags of an If-None-Match, which compares weakly (RFC 9110 section 13.1.2)."""
    return {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}


def describe(error: ProtocolError | BrokerUnavailableError) -> dict[str, object]:
    """An error as an answer carries it: `{"code", "name", "message", "retry"}`."""
    if isinstance(error, ProtocolError):
        code, message = error.code, error.message
    elif isinstance(error, ChannelUnavailableError):
        code, message = codes.UNAVAILABLE, str(error)
    else:
        code, message = codes.UNAVAILABLE, _UNAVAILABLE
    return {
        "code": code.number,
        "name": code.name,
        "message": message,
        "retry": code.reconnect,
    }


def refuse(error: ProtocolError | BrokerUnavailableError, **beside: object) -> JsonAnswer:
    """The whole answer to a request that failed; `beside` are fields besides the error."""
    code = error.code if isinstance(error, ProtocolError) else codes.UNAVAILABLE
    answer = JsonAnswer({"error": describe(error), **beside}, STATUS[code])
    if code is codes.UNAUTHORIZED:
        # RFC 9110 section 15.5.2: a 401 says how to authenticate.
        answer.headers["WWW-Authenticate"] = 'Bearer realm="tapecast"'
    elif code is codes.UNAVAILABLE:
        answer.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    elif code is codes.TOO_LARGE:
        # The rest of the body is not read.
        answer.headers["Connection"] = "close"
    return answer


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProtocolError | BrokerUnavailableError), "registered for these"
    return refuse(error)


async def _refuse_by_status(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "registered for these"
    code = codes.NOT_FOUND if error.status_code == HTTPStatus.NOT_FOUND else codes.BAD_REQUEST
    answer = refuse(
        ProtocolError(f"{request.method} {request.url.path}: {error.detail}", code=code)
    )
    answer.status_code = error.status_code
    answer.headers.update(error.headers or {})
    return answer


async def _forget(request: Request, error: Exception) -> Response:
    # Nobody is there to read it.
    return Response(status_code=HTTPStatus.BAD_REQUEST)


HANDLERS: Mapping[Any, Any] = {
    ProtocolError: _refuse,
    BrokerUnavailableError: _refuse,
    HTTPException: _refuse_by_status,
    ClientDisconnect: _forget,
}
"""What an endpoint may raise, and who answers it: for Starlette's ExceptionMiddleware."""
