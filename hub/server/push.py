"""Web Push over HTTP: what a page needs to subscribe its browser to alerts, and to end that."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.core.grant import Grant
from hub.protocol import codes
from hub.protocol.channels import check_channel, stream_of
from hub.protocol.errors import ProtocolError
from hub.protocol.push import (
    MAX_CHANNELS,
    PushSubscription,
    check_auth,
    check_endpoint,
    check_id,
    check_point,
)
from hub.server.access import authorize, body_of
from hub.server.answers import JsonAnswer
from hub.server.hub import NOT_RUNNING, Hub

PATH: Final = "/push"
STREAM: Final = "alerts"
BODY_BYTES: Final = 16 * 1024


class _Keys(msgspec.Struct, frozen=True):
    p256dh: str
    auth: str


class _Posted(msgspec.Struct, frozen=True):
    """A browser's `PushSubscription.toJSON()`, and beside it which alerts it is for."""

    endpoint: str
    keys: _Keys
    channels: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=MAX_CHANNELS)] = (
        STREAM,
    )
    public_key: str | None = None


_decode = msgspec.json.Decoder(_Posted).decode


class Push:
    """The endpoints of one hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def routes(self) -> list[Route]:
        return [
            Route(PATH, self.look, methods=["GET"]),
            Route(f"{PATH}/subscriptions", self.subscribe, methods=["POST"]),
            Route(f"{PATH}/subscriptions/{{id}}", self.unsubscribe, methods=["DELETE"]),
        ]

    async def look(self, request: Request) -> Response:
        """`{"on", "public_key"}`: whether browsers can subscribe, and with which key."""
        authorize(self._hub, request)
        pushing = self._hub.pushing
        return JsonAnswer(
            {"on": pushing.is_on, "public_key": pushing.public_key if pushing.is_on else None}
        )

    async def subscribe(self, request: Request) -> Response:
        """Keep a browser's subscription for as long as its token lasts: `{"id", "expires",
        "channels"}`. Posted again, it is renewed."""
        hub = self._hub
        grant = authorize(hub, request)
        store = hub.pushing.require_store()
        if not hub.running:
            raise ProtocolError(NOT_RUNNING, code=codes.FAILED)
        posted = _read(await body_of(request, BODY_BYTES))
        subscription = self._subscription(posted, grant)
        await store.add(subscription, hub.wall_clock())
        return JsonAnswer(
            {
                "id": subscription.id,
                "expires": subscription.expires,
                "channels": subscription.channels,
            },
            HTTPStatus.CREATED,
        )

    async def unsubscribe(self, request: Request) -> Response:
        """Forget a subscription of whoever asks."""
        grant = authorize(self._hub, request)
        store = self._hub.pushing.require_store()
        id = check_id(request.path_params["id"])
        if not await store.drop(id, grant.subject):
            message = f"{grant.subject} has no subscription {id}"
            raise ProtocolError(message, code=codes.NOT_FOUND)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    def _subscription(self, posted: _Posted, grant: Grant) -> PushSubscription:
        hub = self._hub
        for channel in posted.channels:
            if stream_of(check_channel(channel)) != STREAM:
                raise ProtocolError(f"expected channels of {STREAM}, got {channel!r:.80}")
            if not grant.may_read(channel):
                message = f"the token does not allow reading {channel}"
                raise ProtocolError(message, code=codes.FORBIDDEN)
        public_key = hub.pushing.public_key
        if posted.public_key not in (None, public_key):
            raise ProtocolError(
                "public_key: the hub has another one now: subscribe the browser with that"
            )
        try:
            p256dh, auth = check_point(posted.keys.p256dh), check_auth(posted.keys.auth)
        except ValueError as error:
            raise ProtocolError(f"keys: {error}") from None
        return PushSubscription(
            endpoint=check_endpoint(posted.endpoint, hub.settings.push_services),
            p256dh=p256dh,
            auth=auth,
            channels=posted.channels,
            subject=grant.subject,
            public_key=public_key,
            created=hub.wall_clock(),
            expires=grant.expires_at,
            key_id=grant.key_id,
        )


def _read(body: bytes) -> _Posted:
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        expected = '{"endpoint": ..., "keys": {"p256dh": ..., "auth": ...}}'
        raise ProtocolError(f"expected a browser's {expected}: {error}") from None
