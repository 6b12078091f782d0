"""What the hub knows of a connection, whichever transport carries it."""

from __future__ import annotations

from abc import ABC, abstractmethod

from hub.core.session import Session
from hub.protocol.codes import Code


class Connection(ABC):
    """An adapter between one transport and one session.

    due_at: the earliest time that the hub's wheel looks at this connection; see `Hub.schedule`.
    abort_at: when a connection that was closed, and is still there, is aborted.
    """

    __slots__ = ("abort_at", "due_at", "session")

    session: Session
    due_at: float
    abort_at: float

    @property
    @abstractmethod
    def peer(self) -> str:
        """The address that it comes from, "" where that is not known."""

    @abstractmethod
    def close(self, code: Code, reason: str) -> None:
        """Send a close frame. The session has ended; the hub aborts what is not gone in time."""

    @abstractmethod
    def abort(self) -> None:
        """Free the transport at once, whatever it still holds. May be called twice."""
