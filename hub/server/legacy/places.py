"""The paths at which old dashboards open a stream, and what each of them follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from hub.broker.base import BrokerUnavailableError
from hub.core.frame import Frame
from hub.core.grant import Grant
from hub.core.medium import Medium
from hub.core.outbox import Outbox, Write
from hub.protocol import codes
from hub.protocol.agent_commands import Name
from hub.protocol.errors import ProtocolError
from hub.server.answers import describe
from hub.server.asgi import Socket
from hub.server.commanding import origin_of
from hub.server.connection import Connection
from hub.server.handshake import Accepted, Rejected, open_handshake
from hub.server.hub import Hub
from hub.server.legacy import commands, frames, tokens
from hub.server.legacy.agents import AgentCommands
from hub.server.legacy.commands import Answer, Start
from hub.server.legacy.dialect import Dialect, Translated, View
from hub.server.legacy.frames import close_number
from hub.server.legacy.heartbeats import Heartbeats
from hub.server.legacy.query import TOKEN
from hub.server.upgrade import UpgradeRequest

PREFIX: Final = "/api/v1/bot"
STREAM: Final = f"{PREFIX}/stream"
EVERYTHING: Final = f"{PREFIX}/ws"

PACE_MS: Final = 100
"""Between two states of a channel: a table goes out whole each time."""

NEEDED: Final = ("status", "portfolio", "positions", "decisions", "agent")
BESIDES: Final = ("health", "alerts")
"""What the old server did not have: no dashboard is told that it may not read these."""

STREAMS: Final[Mapping[str, Sequence[str]]] = {
    EVERYTHING: (*NEEDED, *BESIDES),
    f"{EVERYTHING}/portfolio": ("portfolio",),
    f"{EVERYTHING}/positions": ("positions",),
    f"{EVERYTHING}/decisions": ("decisions",),
    STREAM: (*NEEDED, *BESIDES),
}
"""What is followed, by path: the last one's are server-sent events, the others are WebSockets."""

_DECISIONS_ALONE: Final = f"{EVERYTHING}/decisions"
_OF_STATUS: Final = ("portfolio", "decisions")
"""What an agent's status is made of besides what the agent says of itself."""


class _Visitor(NamedTuple):
    """What a request shows of who sends it. in_url: the token of its query."""

    origin: str | None
    host: str
    authorization: str | None
    in_url: str | None
    offered: Sequence[str]


class Legacy:
    """The old server's paths of one hub, and what their connections share."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.agents = AgentCommands(self)
        self.heartbeats = Heartbeats(hub)
        self.places = {path: Place(self, path) for path in STREAMS}
        self._starting: set[Connection] = set()
        self._told: dict[str, int] = {}
        self._dialects: dict[tuple[Any, ...], Dialect] = {}
        self._media: dict[tuple[Medium, Dialect], Translated] = {}

    def channel(self, stream: str) -> str:
        """The channel of a stream that old dashboards are shown."""
        account = self.hub.settings.legacy_account
        return f"{stream}:{account}" if account else stream

    def place_of(self, head: bytes) -> Place | None:
        """The place that an upgrade request is for, by its first line; None where it is no path of
        the old server's."""
        target = head.partition(b"\r\n")[0].split(b" ")[1:2]
        path = target[0].partition(b"?")[0].decode("latin-1") if target else ""
        return None if path == STREAM else self.places.get(path)

    def start(self, connection: Connection, payload: dict[str, Any]) -> None:
        """Tell the agent to start, and the dashboard what came of it; one start at a time."""
        if connection in self._starting:
            error = frames.error("start: another one is under way", action="start")
            _say(self.hub, connection, error)
            return
        self._starting.add(connection)
        start = self._start(connection, payload)
        self.hub.tasks.start(start, "start of an old dashboard", vital=False)

    async def _start(self, connection: Connection, payload: dict[str, Any]) -> None:
        grant = connection.session.grant
        try:
            if grant is None:
                return  # it is being closed for want of a token
            origin = origin_of("socket", connection.peer, grant)
            told = await self.agents.tell(grant, Name.START, payload, origin=origin)
            if told.is_done:
                answer = frames.own("start_ack", told.fields)
            else:
                answer = frames.error(str(told.fields["message"]), action="start")
        except (ProtocolError, BrokerUnavailableError) as error:
            answer = frames.error(f"start: {describe(error)['message']}", action="start")
        finally:
            self._starting.discard(connection)
        _say(self.hub, connection, answer)

    def medium(self, medium: Medium, streams: Sequence[str], *, recalls: bool) -> Translated:
        """What connections write by that follow these streams; the same for the same."""
        view = (recalls, *streams)
        dialect = self._dialects.get(view)
        if dialect is None:
            channels = {stream: self.channel(stream) for stream in streams}
            dialect = Dialect(View(channels, recalls), self.hub.registry, self._told)
            self._dialects[view] = dialect
        translated = self._media.get((medium, dialect))
        if translated is None:
            translated = self._media[medium, dialect] = Translated(medium, dialect)
        return translated


class Place:
    """One path, whichever adapter holds its connections."""

    close_number = staticmethod(close_number)

    def __init__(self, legacy: Legacy, path: str) -> None:
        self.hub = legacy.hub
        self._legacy = legacy
        self._streams = STREAMS[path]
        self._recalls = path == _DECISIONS_ALONE

    def open_handshake(self, head: bytes) -> Accepted | Rejected:
        """Answer an upgrade request for this path; see `hub.server.handshake`."""
        settings = self.hub.settings
        head, entry = tokens.take_entry(head)
        answer = open_handshake(
            head,
            subprotocols=tokens.SUBPROTOCOLS,
            # See `Hub.admit`.
            origin_allowed=lambda request: True,
            max_bytes=settings.header_bytes,
            compression=settings.compression,
        )
        if entry is None or isinstance(answer, Rejected):
            return answer
        request = msgspec.structs.replace(answer.request, offered=(*answer.request.offered, entry))
        return msgspec.structs.replace(answer, request=request)

    # Who comes: a session is opened and what this path shows is followed, or the connection is
    # refused with a reason that a browser can see.

    def admit_upgrade(
        self, connection: Connection, medium: Medium, write: Write, request: UpgradeRequest
    ) -> None:
        """Somebody came by our own protocol."""
        _, in_url = tokens.take_token(request.query)
        visitor = _Visitor(
            request.origin, request.host, request.authorization, in_url, request.offered
        )
        self._admit(connection, medium, write, visitor)

    def admit_asgi(
        self, connection: Connection, medium: Medium, write: Write, socket: Socket
    ) -> None:
        """Somebody came by an ASGI server."""
        headers, scope = socket.headers, socket.scope
        visitor = _Visitor(
            headers.get("origin"),
            headers.get("host", ""),
            headers.get("authorization"),
            scope.get(TOKEN),
            scope.get("subprotocols", ()),
        )
        self._admit(connection, medium, write, visitor)

    def _admit(
        self, connection: Connection, medium: Medium, write: Write, visitor: _Visitor
    ) -> None:
        hub = self.hub
        shown = tokens.shown(
            visitor.authorization,
            visitor.in_url,
            visitor.offered,
            url_counts=hub.settings.legacy_query_token,
        )
        # Until its rights are known, nothing is told.
        silent = self._legacy.medium(medium, (), recalls=False)
        outbox = Outbox(silent, write, hub.limits)
        hub.admit(connection, outbox, origin=visitor.origin, host=visitor.host, token=shown.token)
        session = connection.session
        if session.closed:
            return
        if session.grant is None:
            # There is no command to bring a token later.
            hub.close(connection, codes.UNAUTHORIZED, f"Unauthorized: {shown.reason}")
            return
        self._follow(connection, medium, session.grant)

    def _follow(self, connection: Connection, medium: Medium, grant: Grant) -> None:
        hub, legacy = self.hub, self._legacy
        readable = [each for each in self._streams if grant.may_read(legacy.channel(each))]
        if not any(stream in NEEDED for stream in readable):
            wanted = ", ".join(map(legacy.channel, self._streams))
            hub.close(connection, codes.FORBIDDEN, f"the token does not allow reading {wanted}")
            return
        outbox = connection.session.outbox
        outbox.medium = legacy.medium(medium, readable, recalls=self._recalls)
        legacy.heartbeats.add(connection, len(readable))
        for stream in self._streams:
            # Those that may not be read too: the session's answer says so.
            if stream in readable or stream in NEEDED:
                channel = legacy.channel(stream)
                is_late = stream in _OF_STATUS and hub.registry.get(channel) is None
                id = commands.COMPLETING if is_late else commands.FOLLOWING
                hub.receive(connection, commands.subscribe(id, channel, PACE_MS))

    def receive(self, connection: Connection, text: bytes) -> None:
        """A text frame arrived."""
        match commands.react(text):
            case Answer(frame):
                _say(self.hub, connection, frame)
            case Start(payload):
                self._legacy.start(connection, payload)
            case commands.Command(command):
                self.hub.receive(connection, command)


def _say(hub: Hub, connection: Connection, frame: Frame) -> None:
    if not connection.session.closed:
        connection.session.outbox.send(frame, hub.clock())
