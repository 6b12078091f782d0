"""The hub itself, for a page to draw: what its workers count together, and how its channels are.

The totals are those of `/metrics`, which name no channel and no subject: whoever shows a good token
may read them. Channels are listed by its patterns.
"""

from __future__ import annotations

from collections import Counter

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.broker.base import BrokerUnavailableError
from hub.protocol.codes import Code
from hub.server.access import authorize
from hub.server.answers import JsonAnswer
from hub.server.health import Health
from hub.server.hub import Hub
from hub.server.lag import BOUNDS_US
from hub.server.listing import Listing

COUNTS = ("accepted", "delivered", "delivered_bytes", "conflated", "received")


class Overview:
    """The endpoint of one worker, which answers for all."""

    def __init__(self, hub: Hub, health: Health, listing: Listing) -> None:
        self._hub = hub
        self._health = health
        self._listing = listing

    def routes(self) -> list[Route]:
        return [Route("/hub", self.look)]

    async def look(self, request: Request) -> Response:
        """Totals since the hub started, and the channels that the token may read: all of them, or
        while the broker is out of reach those that this worker knows."""
        grant = authorize(self._hub, request)
        try:
            rows = await self._listing.rows()
        except BrokerUnavailableError:
            rows = self._listing.known()
        totals, workers = self._health.totals()
        return JsonAnswer(
            {
                "ts": round(self._hub.wall_clock() * 1_000_000),
                "workers": len(workers),
                "connections": sum(int(each.gauges.connections) for each in workers.values()),
                **{name: getattr(totals, name) for name in COUNTS},
                "lag": {"bounds_us": BOUNDS_US, "counts": totals.lag.cumulative()},
                "closes": _by_number(totals.closes),
                "refusals": _by_number(totals.refusals),
                "channels": [row for row in rows if grant.may_read(row.name)],
            }
        )


def _by_number(counts: Counter[Code]) -> dict[str, int]:
    return {str(code.number): count for code, count in sorted(counts.items())}
