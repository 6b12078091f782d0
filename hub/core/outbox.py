"""What waits for one connection, and the gate before its transport.

Rules:
1. While the transport takes bytes and nothing waits, a frame goes straight to it.
2. Else frames wait here in order, bounded in bytes, frames and age. A frame that would overflow is
   not taken, and nothing is written any more: the connection is too slow, it is closed, and its
   client resumes.
3. Values and tables never wait as frames: the outbox holds the subscriptions that are behind, and
   each is brought to the newest state by one frame when there is room.
4. The answers to subscribes have a bound of their own. Within the other one, a client that was
   closed because too much waited could never resume, as it missed more than may wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, TypeAlias

from hub.core.frame import JOINED_BYTES, Frame

if TYPE_CHECKING:
    from hub.core.limits import Limits
    from hub.core.medium import Medium
    from hub.core.session import Session
    from hub.core.subscription import Subscription

Write: TypeAlias = Callable[[Any], None]
"""Hands a piece to a transport. It may call `Outbox.pause` before it returns, and takes the other
pieces of the same frames even so."""


class Outbox:
    """One connection's way out. `clear`: nothing waits and the transport takes bytes.

    owner: the session that this is the outbox of, which sets it.
    sink: what the medium writes to this connection by, together with others.
    """

    __slots__ = ("_answer_bytes", "_answer_frames", "_bytes", "_limits", "_paused_at", "_waiting",
                 "clear", "medium", "overflowed", "owner", "sink", "subscriptions",
                 "write")  # fmt: skip

    def __init__(self, medium: Medium, write: Write, limits: Limits) -> None:
        self.owner: Session
        self.medium = medium
        self.write = write
        self.sink: Any = write
        self.clear = True
        self.overflowed = False
        self.subscriptions: dict[str, Subscription] = {}
        self._limits = limits
        self._bytes = 0
        # Of the answers that wait, or waited with what still waits.
        self._answer_bytes = 0
        self._answer_frames = 0
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
            self._write((frame,))
            return
        limits = self._limits
        waiting = self._waiting
        if waiting is None:
            waiting = self._waiting = deque()
        if (
            self._bytes + len(frame) > limits.outbox_bytes + self._answer_bytes
            or len(waiting) >= limits.outbox_frames + self._answer_frames
        ):
            self.overflowed = True
            return
        waiting.append((frame, now))
        self._bytes += len(frame)

    def has_room_for(self, answer: Sequence[Frame]) -> bool:
        """Whether an answer to a subscribe is within the bound for answers."""
        return self._answer_bytes + sum(map(len, answer)) <= self._limits.answer_bytes

    def send_answer(self, answer: Sequence[Frame], now: float) -> None:
        """Send the answer to a subscribe; one that there is no room for waits as any frame does."""
        if self.clear and sum(map(len, answer)) <= JOINED_BYTES:
            self._write(answer)
            return
        if self.has_room_for(answer):
            self._answer_bytes += sum(map(len, answer))
            self._answer_frames += len(answer)
        for frame in answer:
            self.send(frame, now)
        if self.clear:
            self._forget_answers()

    def _write(self, frames: Sequence[Frame]) -> None:
        for piece in self.medium.spell(frames):
            self.write(piece)

    def _forget_answers(self) -> None:
        self._answer_bytes = self._answer_frames = 0

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
        if self.overflowed:
            # Whatever was sent after the frame that was not taken would hide a hole.
            return
        waiting = self._waiting
        if waiting is not None:
            while waiting:
                frame, _ = waiting.popleft()
                self._bytes -= len(frame)
                self._write((frame,))
                if self._paused_at is not None:
                    return
            self._waiting = None
            self._forget_answers()
        self.clear = True
        for subscription in list(self.subscriptions.values()):
            subscription.release(now)
            if not self.clear:
                return

    def is_too_slow(self, now: float) -> bool:
        """Whether more waited, or longer, than may: the client is closed and resumes."""
        return self.overflowed or now >= self._too_slow_at()

    def is_stalled(self, now: float) -> bool:
        """Whether the transport took nothing for so long that only an abort frees it."""
        return now >= self._stalled_at()

    def next_deadline(self) -> float:
        """When the connection is too slow, or its transport stalled, if nothing moves until then;
        infinity while nothing waits."""
        return min(self._too_slow_at(), self._stalled_at())

    def _too_slow_at(self) -> float:
        return self._waiting[0][1] + self._limits.outbox_seconds if self._waiting else inf

    def _stalled_at(self) -> float:
        return inf if self._paused_at is None else self._paused_at + self._limits.stall_seconds

    def discard(self) -> None:
        """The connection is over: nothing waits any more."""
        self.clear = False
        self._waiting = None
        self._bytes = 0
