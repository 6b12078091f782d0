"""How old dashboards are answered over HTTP: with numbers, and errors that say their `detail`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from hub.broker.base import BrokerUnavailableError
from hub.protocol.errors import ProtocolError
from hub.server.answers import HANDLERS, JsonAnswer, describe, refuse
from hub.server.legacy.shapes import encode


class OldAnswer(Response):
    """A shape as JSON."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return encode(content)


def refuse_old(error: ProtocolError | BrokerUnavailableError) -> JsonAnswer:
    """What any other request is answered, with the text where old dashboards look for it."""
    return refuse(error, detail=describe(error)["message"])


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProtocolError | BrokerUnavailableError), "registered for these"
    return refuse_old(error)


OLD_HANDLERS: Mapping[Any, Any] = {
    **HANDLERS,
    ProtocolError: _refuse,
    BrokerUnavailableError: _refuse,
}
