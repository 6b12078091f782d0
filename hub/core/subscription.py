"""One session's place in one feed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hub.core.audience import Audience
    from hub.core.outbox import Outbox
    from hub.core.session import Session


class Subscription:
    """A member of an audience.

    seq: up to where the client was served; kept only while the subscription is not in step with
    its audience (held back by its transport, or paced by `interval_ms`).
    """

    __slots__ = ("audience", "interval_ms", "outbox", "seq")

    def __init__(self, outbox: Outbox, audience: Audience, interval_ms: int) -> None:
        self.outbox = outbox
        self.audience = audience
        self.interval_ms = interval_ms
        self.seq = 0

    @property
    def session(self) -> Session:
        """Whose subscription this is."""
        return self.outbox.owner

    @property
    def channel(self) -> str:
        return self.audience.channel

    @property
    def head(self) -> int:
        """Up to where the audience was served."""
        return self.audience.seq

    def hold(self) -> None:
        """The connection takes nothing for now."""
        self.audience.hold(self)

    def release(self, now: float) -> None:
        """The connection takes frames again."""
        self.audience.release(self, now)
