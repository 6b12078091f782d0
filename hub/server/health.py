"""What orchestrators and Prometheus ask a hub. No token is needed: the answers hold no channel,
no subject and no number of an account."""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub import __version__
from hub.server.answers import JsonAnswer
from hub.server.hub import Hub
from hub.server.metrics import CONTENT_TYPE, Gauges, expose


class Health:
    """The endpoints of one hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def routes(self) -> list[Route]:
        return [
            Route("/healthz", self.alive),
            Route("/readyz", self.ready),
            Route("/metrics", self.metrics),
        ]

    async def alive(self, request: Request) -> Response:
        """The process runs and its loop turns. Whoever asks restarts it where it does not answer,
        so what a restart would not mend is no reason here."""
        return JsonAnswer({"status": "ok", "version": __version__})

    async def ready(self, request: Request) -> Response:
        """Whether new connections should be sent here; 503 with the reasons where not."""
        reasons = self.reasons()
        if not reasons:
            return JsonAnswer({"status": "ready"})
        return JsonAnswer(
            {"status": "not_ready", "reasons": reasons}, HTTPStatus.SERVICE_UNAVAILABLE
        )

    def reasons(self) -> list[str]:
        """Why this hub is not ready; none where it is."""
        hub = self._hub
        reasons = [f"the task {name!r} has failed" for name in hub.tasks.failed]
        if hub.draining:
            reasons.append("the hub is draining")
        if not hub.broker.delivering:
            reasons.append("the broker does not deliver")
        return reasons

    async def metrics(self, request: Request) -> Response:
        """Counts and gauges for Prometheus."""
        hub = self._hub
        feeds = [audience.feed for audience in hub.registry]
        gauges = Gauges(
            connections=len(hub.connections),
            feeds=len(feeds),
            stale_channels=sum(feed.stale for feed in feeds),
            delivering=hub.broker.delivering,
            draining=hub.draining,
        )
        return Response(expose(hub.metrics, gauges), headers={"Content-Type": CONTENT_TYPE})
