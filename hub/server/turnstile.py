"""Lets new connections in by turns of the event loop, so that a storm of them delays no frame long.

Rules:
1. Within one turn of the loop the opening of connections takes `TURN_SECONDS`, and what the last of
   them overruns it by. Everything else has its turn in between.
2. Who comes when the turn's time is used up waits, in order. Nobody is refused for it: the
   connections that wait are open descriptors, which `max_connections` and the system bound.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

TURN_SECONDS = 0.003

Open: TypeAlias = Callable[[], None]


class Turnstile:
    """One for all connections of an event loop. clock: monotonic seconds."""

    def __init__(self, clock: Callable[[], float], turn_seconds: float = TURN_SECONDS) -> None:
        self._clock = clock
        self._turn_seconds = turn_seconds
        self._left = turn_seconds
        self._waiting: deque[Open] = deque()
        self._turn_is_due = False

    def enter(self, open: Open) -> None:
        """Call `open` now, or in one of the next turns. What it raises in a later turn is the
        event loop's to report, and keeps nobody else waiting."""
        if not self._turn_is_due:
            self._next_turn()
        if self._left > 0 and not self._waiting:
            self._let_in(open)
        else:
            self._waiting.append(open)

    def _let_in(self, open: Open) -> None:
        began = self._clock()
        try:
            open()
        finally:
            self._left -= self._clock() - began

    def _next_turn(self) -> None:
        self._turn_is_due = True
        asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_is_due = False
        self._left = self._turn_seconds
        try:
            while self._waiting and self._left > 0:
                self._let_in(self._waiting.popleft())
        finally:
            if self._left < self._turn_seconds:
                # Whoever comes within this turn finds it used up, in part or whole.
                self._next_turn()
