"""What a publish is answered: where it lies, as far as its caller waited to hear.

answer = await publisher.decision(decision)
if answer.outcome is Outcome.GIVEN_UP: ...
"""

from __future__ import annotations

import asyncio
import enum

import msgspec

from hub.protocol.position import Position
from hub.protocol.publication import Receipt


class Outcome(enum.StrEnum):
    """What became of a publish."""

    STORED = "stored"
    """Redis has it, at the receipt's position."""
    REPLICATED = "replicated"
    """As many replicas as were asked for have it too."""
    SPOOLED = "spooled"
    """It waits for Redis on disk: whatever becomes of this process, it is published."""
    BUFFERED = "buffered"
    """It waits for Redis in memory, and is lost where the process is killed first."""
    SUPERSEDED = "superseded"
    """A newer state of its channel took its place before it was sent."""
    GIVEN_UP = "given_up"
    """It is lost: too much waited for Redis."""


class Answer(msgspec.Struct, frozen=True):
    """receipt: Redis's own answer; None where it has given none yet."""

    outcome: Outcome
    receipt: Receipt | None = None

    @property
    def position(self) -> Position | None:
        """Where the publish stands in its channel, if it does by now."""
        return None if self.receipt is None else self.receipt.position

    @property
    def is_news(self) -> bool:
        """Whether it travelled: it is stored, and was not there before."""
        return self.receipt is not None and not self.receipt.unchanged


class Ticket(asyncio.Future[Answer]):
    """Stands for somebody who waits for an answer.

    patient: waits for Redis, however long it is away. Who is not is told meanwhile where the
        publish lies.
    spooled: whether it is on disk by now.
    """

    __slots__ = ("patient", "spooled")

    def __init__(self, *, patient: bool) -> None:
        super().__init__()
        self.patient = patient
        self.spooled = False

    def answer(self, answer: Answer) -> None:
        """Tell, if nothing was told before."""
        if not self.done():
            self.set_result(answer)

    def fail(self, error: Exception) -> bool:
        """Tell of a failure; False where nobody waits to hear of it."""
        if self.done():
            return False
        self.set_exception(error)
        # Asked for here, since whoever was cancelled while waiting does not any more.
        self.exception()
        return True
