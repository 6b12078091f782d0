"""What orchestrators and Prometheus ask a hub. No token is needed: the answers hold no channel,
no subject and no number of an account.

With several workers the kernel decides which of them is asked, so each answers for all: it reports
to the others by a board, a second late at most, and reads there what they report.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub import __version__
from hub.server.answers import JsonAnswer
from hub.server.board import Board
from hub.server.hub import Hub
from hub.server.metrics import CONTENT_TYPE, Gauges, Metrics, Worker, expose

REPORT_SECONDS = 1.0
SILENT_SECONDS = 5.0
"""A worker that has not reported for so long hangs, and new connections would hang with it."""


class Health:
    """The endpoints of one worker. What it counts goes on from the counts that the board has for
    it; `report_forever` must run where others read the board."""

    def __init__(self, hub: Hub, board: Board) -> None:
        self._hub = hub
        self._board = board
        hub.metrics.add(board.counts())
        hub.metrics.starts += 1
        self._reconnects_before = hub.metrics.reconnects

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
        now = hub.clock()
        for number, worker in self._board.others().items():
            reasons.extend(f"worker {number}: {reason}" for reason in _reasons(worker, now))
        return reasons

    async def metrics(self, request: Request) -> Response:
        """Counts and gauges for Prometheus, of all workers."""
        # In a thread, as the system counts a worker's open files one by one.
        text = await asyncio.to_thread(expose, *self.totals())
        return Response(text, headers={"Content-Type": CONTENT_TYPE})

    def totals(self) -> tuple[Metrics, dict[int, Worker]]:
        """What all workers count together, and each that lives by its number: this one as of now,
        the others as of their last report."""
        self.report()
        return self._board.totals(), self._board.workers()

    def report(self) -> None:
        """Let the others know what this worker counts, and how it is."""
        hub = self._hub
        audiences = list(hub.registry)
        for audience in audiences:
            counts = audience.take_counts()
            hub.metrics.conflated += counts.skipped
            hub.metrics.delivered_bytes += counts.written_bytes
        hub.metrics.reconnects = self._reconnects_before + hub.broker.reconnects
        gauges = Gauges(
            connections=len(hub.connections),
            feeds=len(audiences),
            stale_channels=sum(audience.feed.stale for audience in audiences),
            delivering=hub.broker.delivering,
            draining=hub.draining,
            failed_tasks=len(hub.tasks.failed),
        )
        self._board.report(hub.metrics, gauges, hub.clock())

    async def report_forever(self) -> None:
        """Report every `REPORT_SECONDS`."""
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            self.report()


def _reasons(worker: Worker, now: float) -> list[str]:
    """Why another worker is not ready, which it is no matter to ask itself: the kernel goes on
    giving it its share of new connections. One that drains or has died gets none."""
    if worker.gauges.draining:
        return []
    reasons = []
    if (silent := now - worker.reported_at) >= SILENT_SECONDS:
        reasons.append(f"has not reported for {silent:.0f} s")
    if worker.gauges.failed_tasks:
        reasons.append("a task has failed")
    if not worker.gauges.delivering:
        reasons.append("the broker does not deliver")
    return reasons
