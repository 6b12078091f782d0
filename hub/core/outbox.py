"""What waits for one connection, and the gate before its transport.

Rules:
1. While the transport takes bytes and nothing waits, a frame goes straight to it.
2. Else frames wait here in order, bounded in bytes, frames and age. A frame that would overflow is
   not taken, and the connection is too slow: it is closed, and its client resumes.
3. Values and tables never wait as frames: the outbox holds the subscriptions that are behind, and
   each is brought to the newest state by one frame when there is room.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from hub.core.frame import Frame

if TYPE_CHECKING:
    from hub.core.limits import Limits
    from hub.core.session import Session
    from hub.core.subscription import Subscription

Spell: TypeAlias = Callable[[Frame], Any]
"""How a transport spells a frame; the same function for all connections of one kind."""
Write: TypeAlias = Callable[[Any], None]
"""Hands a spelled frame to a transport. It may call `Outbox.pause` before it returns."""


class Outbox:
    """One connection's way out. `clear`: nothing waits and the transport takes bytes.

    owner: the session that this is the outbox of, which sets it.
    """

    __slots__ = ("_bytes", "_limits", "_paused_at", "_waiting", "clear", "overflowed", "owner",
                 "spell", "subscriptions", "write")  # fmt: skip

    def __init__(self, spell: Spell, write: Write, limits: Limits) -> None:
        self.owner: Session
        self.spell = spell
        self.write = write
        self.clear = True
        self.overflowed = False
        self.subscriptions: dict[str, Subscription] = {}
        self._limits = limits
        self._bytes = 0
        self._paused_at: float | None = None
        # None until something waits: most connections never need one.
        self._waiting: deque[tuple[Frame, float]] | None = None

    @property
    def waiting_bytes(self) -> int:
        """The payload bytes that wait here; the transport's own buffer is not counted."""
        return self._bytes

    @property
    def paused(self) -> bool:
        """Whether the transport takes no more for now."""
        return self._paused_at is not None

    def send(self, frame: Frame, now: float) -> None:
        """Send a frame, or let it wait; one that would overflow sets `overflowed` instead."""
        if self.clear:
            self.write(self.spell(frame))
            return
        limits = self._limits
        waiting = self._waiting
        if waiting is None:
            waiting = self._waiting = deque()
        if self._bytes + len(frame) > limits.outbox_bytes or len(waiting) >= limits.outbox_frames:
            self.overflowed = True
            return
        waiting.append((frame, now))
        self._bytes += len(frame)

    def room_for(self, frames: int, bytes: int) -> bool:
        """Whether so much more could wait here without an overflow."""
        limits = self._limits
        waiting = len(self._waiting) if self._waiting is not None else 0
        return (
            self._bytes + bytes <= limits.outbox_bytes and waiting + frames <= limits.outbox_frames
        )

    def pause(self, now: float) -> None:
        """The transport's buffer is full: from now on everything waits."""
        if self._paused_at is None:
            self._paused_at = now
        if self.clear:
            self.clear = False
            for subscription in self.subscriptions.values():
                subscription.hold()

    def resume(self, now: float) -> None:
        """The transport has room again: send what waits, then bring what is behind to the head."""
        self._paused_at = None
        waiting = self._waiting
        if waiting is not None:
            while waiting:
                frame, _ = waiting.popleft()
                self._bytes -= len(frame)
                self.write(self.spell(frame))
                if self._paused_at is not None:
                    return
            self._waiting = None
        self.clear = True
        for subscription in list(self.subscriptions.values()):
            subscription.release(now)
            if not self.clear:
                return

    def is_too_slow(self, now: float) -> bool:
        """Whether more waited, or longer, than may: the client is closed and resumes."""
        if self.overflowed:
            return True
        waiting = self._waiting
        return bool(waiting) and now - waiting[0][1] >= self._limits.outbox_seconds  # type: ignore[index]

    def is_stalled(self, now: float) -> bool:
        """Whether the transport took nothing for so long that only an abort frees it."""
        paused_at = self._paused_at
        return paused_at is not None and now - paused_at >= self._limits.stall_seconds

    def next_deadline(self) -> float | None:
        """When a paused transport may be too slow or stalled; None while it takes bytes."""
        if self._paused_at is None:
            return None
        limits = self._limits
        return self._paused_at + min(limits.stall_seconds, limits.outbox_seconds)

    def discard(self) -> None:
        """The connection is over: nothing waits any more."""
        self.clear = False
        self._waiting = None
        self._bytes = 0
