"""What old dashboards ask over HTTP, answered from the feeds.

The rules of every other request hold: a token and its patterns, and no page of a strange origin.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from hub.broker.base import BrokerUnavailableError
from hub.core.admission import admit
from hub.core.feed import Feed
from hub.core.grant import Grant
from hub.protocol import codes
from hub.protocol.agent_commands import Name
from hub.protocol.errors import PayloadError, ProtocolError
from hub.protocol.payload import parse
from hub.protocol.streams import Kind
from hub.server.access import body_of, check_origin, grant_of, idempotency_key, whole_number
from hub.server.commanding import origin_of
from hub.server.current import current_feed
from hub.server.health import Health
from hub.server.legacy import shapes, states, tokens
from hub.server.legacy.answers import OldAnswer
from hub.server.legacy.places import Legacy
from hub.server.legacy.query import TOKEN
from hub.server.legacy.states import Entry

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]

DEFAULT_DECISIONS: Final = 10
MAX_DECISIONS: Final = 500
_ENTRIES_EACH: Final = 2
"""Entries of the log that a decision has at most, as agents write them: it was made, and done."""


class OldRest:
    """The endpoints of one hub."""

    def __init__(self, legacy: Legacy, health: Health) -> None:
        self._hub = legacy.hub
        self._channel = legacy.channel
        self._agents = legacy.agents
        self._health = health
        self._began = legacy.hub.clock()

    async def bot_status(self, request: Request) -> Response:
        """Agent and account in one object."""
        grant = self._authorize(request)
        if not self._may_read(grant, "status"):
            account = await self._readable(grant, "portfolio")
            agent = shapes.agent_status(None, error=self._forbidden("status"))
        else:
            status = await self._readable(grant, "status")
            account = await self._if_readable(grant, "portfolio")
            agent = states.agent_status(
                status, account, await self._if_readable(grant, "decisions")
            )
        return OldAnswer({**states.portfolio(account), **agent})

    async def portfolio(self, request: Request) -> Response:
        """The account."""
        grant = self._authorize(request)
        return OldAnswer(states.portfolio(await self._readable(grant, "portfolio")))

    async def positions(self, request: Request) -> Response:
        """A list of the open positions."""
        grant = self._authorize(request)
        return OldAnswer(states.positions(await self._readable(grant, "positions")))

    async def decisions(self, request: Request) -> Response:
        """A list of the newest `?limit=` decisions, newest first."""
        grant = self._authorize(request)
        self._require(grant, "decisions")
        text = request.query_params.get("limit", str(DEFAULT_DECISIONS))
        limit = whole_number("limit", text, 1, MAX_DECISIONS)
        channel = self._channel("decisions")
        reading = await self._hub.broker.read(channel, None, limit * _ENTRIES_EACH, state=False)
        entries = reading.entries if reading.kind is Kind.LOG else ()
        sound = (admit(entry, Kind.LOG) for entry in entries)
        told = (Entry(each.event, each.ts, msgspec.Raw(each.data)) for each in sound)
        return OldAnswer(states.decisions(told, limit))

    async def health(self, request: Request) -> Response:
        """How the hub is, and for who may read them the producer's parts and the balance. Always
        200: old dashboards read the status in it."""
        grant = None
        if "Authorization" in request.headers or request.scope.get(TOKEN) is not None:
            grant = self._authorize(request)
        errors = self._health.reasons()
        parts = account = None
        try:
            parts = await self._if_readable(grant, "health")
            account = await self._if_readable(grant, "portfolio")
        except BrokerUnavailableError as error:
            errors.append(str(error))
        errors += filter(None, (states.silence(parts), states.silence(account)))
        balance = None
        if states.silence(account) is None:
            balance = shapes.fields_of(states.value_of(account)).get("balance")
        hub = self._hub
        return OldAnswer(
            shapes.health(
                states.value_of(parts),
                timestamp=shapes.iso(round(hub.wall_clock() * 1_000_000)),
                uptime_seconds=round(hub.clock() - self._began, 1),
                portfolio_balance=balance,
                error="; ".join(errors) or None,
            )
        )

    def telling(self, name: Name) -> Endpoint:
        """The endpoint that tells the agent one thing, and waits for what comes of it."""

        async def tell(request: Request) -> Response:
            grant = self._authorize(request)
            data = _payload(await body_of(request, self._hub.settings.body_bytes))
            if name is Name.CLOSE_POSITION:
                data["id"] = request.path_params["position_id"]
            peer = request.client.host if request.client else ""
            key = idempotency_key(request)
            told = await self._agents.tell(
                grant, name, data, origin=origin_of("http", peer, grant), key=key
            )
            answer = OldAnswer(told.fields)
            answer.status_code = told.status
            return answer

        return tell

    # What the endpoints share

    def _authorize(self, request: Request) -> Grant:
        hub = self._hub
        check_origin(hub, request)
        shown = tokens.shown(
            request.headers.get("Authorization"),
            request.scope.get(TOKEN),
            url_counts=hub.settings.legacy_query_token,
        )
        if shown.token is None:
            raise ProtocolError(shown.reason, code=codes.UNAUTHORIZED)
        return grant_of(hub, shown.token)

    def _may_read(self, grant: Grant | None, stream: str) -> bool:
        return grant is not None and grant.may_read(self._channel(stream))

    def _forbidden(self, stream: str) -> str:
        return f"the token does not allow reading {self._channel(stream)}"

    def _require(self, grant: Grant, stream: str) -> None:
        if not self._may_read(grant, stream):
            raise ProtocolError(self._forbidden(stream), code=codes.FORBIDDEN)

    async def _readable(self, grant: Grant, stream: str) -> Feed | None:
        """The feed of a stream's channel; raises ProtocolError where it may not be read."""
        self._require(grant, stream)
        return await current_feed(self._hub, self._channel(stream))

    async def _if_readable(self, grant: Grant | None, stream: str) -> Feed | None:
        if not self._may_read(grant, stream):
            return None
        return await current_feed(self._hub, self._channel(stream))


def _payload(body: bytes) -> dict[str, Any]:
    """What a request says besides its path: an object, or nothing."""
    if not body.strip():
        return {}
    found = parse(body, max_bytes=len(body))
    if found is None or isinstance(found, dict):
        return found or {}
    raise PayloadError(f"expected an object or no body, got {found!r:.80}")
