"""What was posted before, so that a post that comes twice is one.

Bounded in time and number: an entry is forgotten when its time is over, and the oldest first where
there are too many.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

MAX_ENTRIES: Final = 10_000

What = TypeVar("What")


class Ledger(Generic[What]):
    """What is known by id, each for its own time. `now` is in seconds, from any start."""

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._max_entries = max_entries
        self._known: dict[str, tuple[float, What]] = {}

    def find(self, id: str, now: float) -> What | None:
        """What is known by this id now."""
        until, what = self._known.get(id, (now, None))
        return what if until > now else None

    def note(self, id: str, what: What, now: float, seconds: float) -> None:
        """Know `what` by this id for so long."""
        self._known.pop(id, None)
        self._known[id] = (now + seconds, what)
        if len(self._known) > self._max_entries:
            self._known = {key: each for key, each in self._known.items() if each[0] > now}
        while len(self._known) > self._max_entries:
            del self._known[next(iter(self._known))]

    def forget(self, id: str) -> None:
        """As if it had never come: it failed, and may be tried again."""
        self._known.pop(id, None)
