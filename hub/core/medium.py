"""How connections of one kind are written to: what an adapter tells the core of its transports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from hub.core.frame import Frame


class Medium(Protocol):
    """One object for all connections of a kind: whoever shares it is written to by one loop."""

    def spell(self, frames: Sequence[Frame]) -> Sequence[Any]:
        """Frames that go out together, in as few pieces as this kind can: a call of
        `Outbox.write` for each. One frame is one piece."""

    def fan_out(self, frames: Sequence[Frame], sinks: Sequence[Any]) -> None:
        """Write the frames to many connections that take them, each given by its `Outbox.sink`.

        It may call `Outbox.pause` before it returns; the connection gets all the frames even so.
        """
