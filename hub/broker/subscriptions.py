"""Which pub/sub names are wanted and what the server has confirmed of it; no I/O.

Rules:

1. The server answers SUBSCRIBE and UNSUBSCRIBE in the order of the commands, once a name. So a
   name's state is known only when none of its commands is unanswered.
2. A route is live while its name is wanted and nothing about it is unanswered. Messages for a name
   without a live route are dropped: they are late ones, from before an UNSUBSCRIBE.
3. A new link knows nothing: everything wanted is sent again, and no route is live before that is
   answered.
"""

from __future__ import annotations

from collections.abc import Sequence

from hub.broker.handover import Route
from hub.broker.resp import pack

NAMES_A_COMMAND = 500
"""Small enough that the answers to one command never hold up the server for others."""


class UnexpectedReplyError(Exception):
    """The server answered what nobody asked: the link can't be trusted any more."""


class Subscriptions:
    """Says what to send, and what a reply means. Not linked at first."""

    def __init__(self) -> None:
        self.live: dict[bytes, Route] = {}
        """What arrives under a name goes to its route. To be read, not written, by others."""
        self._wanted: dict[bytes, Route] = {}
        self._unanswered: dict[bytes, int] = {}
        self._linked = False

    @property
    def settled(self) -> bool:
        """Whether there is a link and it has answered everything."""
        return self._linked and not self._unanswered

    def wants(self, name: bytes) -> bool:
        """Whether a name is wanted, confirmed or not."""
        return name in self._wanted

    def add(self, name: bytes, route: Route) -> bytes:
        """Want a name that is not wanted yet; what to send, nothing where there is no link."""
        assert name not in self._wanted, f"{name!r} is subscribed already"
        self._wanted[name] = route
        return self._command(b"SUBSCRIBE", [name])

    def remove(self, name: bytes) -> bytes:
        """Want a name no longer, if it was; what to send."""
        route = self._wanted.pop(name, None)
        if route is None:
            return b""
        route.held = False
        self.live.pop(name, None)
        return self._command(b"UNSUBSCRIBE", [name])

    def link_made(self) -> list[bytes]:
        """Begin anew on a link that nothing was sent on; the commands to send."""
        assert not self._linked
        self._linked = True
        names = list(self._wanted)
        return [
            self._command(b"SUBSCRIBE", names[at : at + NAMES_A_COMMAND])
            for at in range(0, len(names), NAMES_A_COMMAND)
        ]

    def link_lost(self) -> None:
        """Nothing comes on the link any more."""
        self._linked = False
        self._unanswered.clear()
        self.live.clear()

    def answered(self, name: bytes) -> Route | None:
        """Take the answer about one name; returns the route where this made it live.

        Raises UnexpectedReplyError.
        """
        unanswered = self._unanswered.pop(name, 0) - 1
        if unanswered < 0:
            raise UnexpectedReplyError(f"an answer about {name!r}, which was not asked for")
        if unanswered:
            self._unanswered[name] = unanswered
            return None
        route = self._wanted.get(name)
        if route is not None:
            self.live[name] = route
        return route

    def _command(self, word: bytes, names: Sequence[bytes]) -> bytes:
        if not self._linked:
            return b""
        for name in names:
            self._unanswered[name] = self._unanswered.get(name, 0) + 1
        return pack((word, *names))
