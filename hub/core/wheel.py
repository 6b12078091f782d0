"""One timer for all connections: deadlines in slots of equal length.

A timer object for each connection would cost more memory and time than the connection's own state.
A deadline is met at the end of its slot, so up to `slot_seconds` late and never early.
"""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Wheel(Generic[T]):
    """Items by the slot of their deadline. An item that is no longer wanted is not taken out: the
    caller looks at it when it comes up and lets it go."""

    __slots__ = ("_at", "_slot_seconds", "_slots")

    def __init__(self, slot_seconds: float, now: float) -> None:
        self._slot_seconds = slot_seconds
        self._slots: dict[int, list[T]] = {}
        self._at = int(now / slot_seconds)

    def __len__(self) -> int:
        return sum(map(len, self._slots.values()))

    def add(self, item: T, deadline: float) -> None:
        """Bring `item` up once `deadline` has passed."""
        slot = max(int(deadline / self._slot_seconds), self._at)
        self._slots.setdefault(slot, []).append(item)

    def advance(self, now: float) -> list[T]:
        """Take out the items whose slots ended by `now`, in the order of their slots."""
        upto = int(now / self._slot_seconds)
        due: list[T] = []
        if upto - self._at > len(self._slots):
            for slot in sorted(slot for slot in self._slots if slot < upto):
                due.extend(self._slots.pop(slot))
        else:
            for slot in range(self._at, upto):
                due.extend(self._slots.pop(slot, ()))
        self._at = max(upto, self._at)
        return due
