"""A heartbeat for old dashboards every 30 s, the same bytes for all that are due together.

The hub's own come more often, to look for revoked keys. Old dashboards ask for `/health` at each
that they hear, so theirs are as far apart as those of the old server, and spread as their
connections began.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from hub.core.wheel import Wheel
from hub.protocol import codes
from hub.server.connection import Connection
from hub.server.hub import Hub
from hub.server.legacy import frames
from hub.server.legacy.shapes import iso

HEARTBEAT_SECONDS = 30.0
SLOT_SECONDS = 0.25


class _Due(NamedTuple):
    connection: Connection
    channels: int
    at: float


class Heartbeats:
    """Those of one hub. `run` is their one task."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._wheel: Wheel[_Due] = Wheel(SLOT_SECONDS, hub.clock())

    def add(self, connection: Connection, channels: int) -> None:
        """Begin with a connection that is to follow so many channels."""
        self._add(_Due(connection, channels, self._hub.clock() + HEARTBEAT_SECONDS))

    def _add(self, due: _Due) -> None:
        self._wheel.add(due, due.at)

    async def run(self) -> None:
        """Send heartbeats until cancelled."""
        while True:
            await asyncio.sleep(SLOT_SECONDS)
            self.tick(self._hub.clock())

    def tick(self, now: float) -> None:
        """Send a heartbeat to each connection that is due."""
        due = self._wheel.advance(now)
        if not due:
            return
        hub = self._hub
        heartbeat = frames.own("heartbeat", {"timestamp": iso(round(hub.wall_clock() * 1_000_000))})
        for each in due:
            session = each.connection.session
            if session.closed:
                continue
            if len(session.outbox.subscriptions) < each.channels:
                # It would wait for numbers that never come; another attempt, or another hub, may
                # have them.
                hub.close(each.connection, codes.UNAVAILABLE, "not all channels could be followed")
                continue
            if session.outbox.clear:
                session.outbox.send(heartbeat, now)
            self._add(each._replace(at=max(each.at + HEARTBEAT_SECONDS, now)))
