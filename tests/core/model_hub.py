"""The hub's shell in plain synchronous code: it carries out what the core decides.

Redis is a `ModelChannel`, a connection is a `Transport`, a client is a `ModelClient`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from hub.core.fanout import Fanout
from hub.core.feed import Feed, Outcome
from hub.core.frame import Frame
from hub.core.grant import Grant
from hub.core.limits import Limits
from hub.core.outbox import Outbox
from hub.core.registry import Registry
from hub.core.session import Abort, Beat, Close, Effect, Follow, Session
from hub.core.subscription import Subscription
from hub.protocol import frames
from hub.protocol.codes import Code
from hub.protocol.envelope import Envelope
from hub.protocol.position import Position
from hub.protocol.reading import ChannelReading
from hub.protocol.streams import Kind, Stream
from tests.core.model_channel import ModelChannel
from tests.core.model_client import ModelClient

EVERYTHING = Grant("desk", read=("*",), publish=("*",))


class Payloads:
    """The medium of these tests' transports: frames go out as their payloads, all in one piece."""

    def spell(self, frames: Sequence[Frame]) -> list[list[bytes]]:
        return [[frame.payload for frame in frames]]

    def fan_out(
        self, frames: Sequence[Frame], sinks: Sequence[Callable[[list[bytes]], None]]
    ) -> None:
        for write in sinks:
            write([frame.payload for frame in frames])


PAYLOADS = Payloads()


class Transport:
    """What carries the frames of one connection.

    room: how many frames it takes until it pauses its outbox, from within the write; None for any.
    eager: it makes room again, and resumes its outbox, before that write returns.
    """

    def __init__(self, room: int | None = None, *, eager: bool = False) -> None:
        self.room = room
        self.eager = eager
        self.now = 0.0
        self.written: list[tuple[float, bytes]] = []
        self.outbox: Outbox

    def write(self, payloads: Sequence[bytes]) -> None:
        """Take frames that go out together; room is looked at when all are taken."""
        assert not self.outbox.paused, "written to while it takes nothing"
        self.written.extend((self.now, payload) for payload in payloads)
        if self.room is not None:
            self.room -= len(payloads)
            if self.room <= 0:
                self.outbox.pause(self.now)
                if self.eager:
                    self.make_room(1)

    def make_room(self, room: int | None) -> None:
        """Take so many more, and tell the outbox where it was paused."""
        self.room = room
        if self.outbox.paused:
            self.outbox.resume(self.now)

    def take(self) -> list[tuple[float, bytes]]:
        """What was written and not read yet, each with the time it was written at."""
        written, self.written = self.written, []
        return written


class ModelConnection:
    """A client, its transport and its session; `code` is what it was closed with."""

    def __init__(self, client: ModelClient, transport: Transport, session: Session) -> None:
        self.client = client
        self.transport = transport
        self.session = session
        self.code: Code | None = None

    def read(self) -> None:
        """Let the client read all that was written."""
        for at, payload in self.transport.take():
            self.client.receive(payload, at)


class Bridge:
    """A returning client's subscribe, for which the broker is asked."""

    def __init__(self, connection: ModelConnection, follow: Follow) -> None:
        self.connection = connection
        self.follow = follow
        self.reading: ChannelReading | None = None


class ModelHub:
    """Feeds of some channels that are up, and the connections to them."""

    def __init__(self, kinds: Iterable[Kind], limits: Limits, history: int = 3) -> None:
        self.now = 0.0
        self.limits = limits
        self.registry = Registry()
        self.channels: dict[str, ModelChannel] = {}
        self.connections: list[ModelConnection] = []
        self.bridges: list[Bridge] = []
        self._fanout = Fanout()
        for kind in kinds:
            channel = ModelChannel(kind)
            self.channels[channel.name] = channel
            feed = Feed(channel.name, Stream(kind, history=history))
            feed.begin_reading()
            feed.load(channel.read(None), self.now)
            self.registry.open(feed)

    # Connections

    def connect(self, client: ModelClient, transport: Transport) -> ModelConnection:
        """Open a connection whose token was good."""
        outbox = Outbox(PAYLOADS, transport.write, self.limits)
        transport.outbox, transport.now = outbox, self.now
        session = Session("s", outbox, self.limits, self.now)
        connection = ModelConnection(client, transport, session)
        self.connections.append(connection)
        session.authorize(EVERYTHING, None, self.now, None)
        return connection

    def say(self, connection: ModelConnection, text: str) -> None:
        """A client's text arrives."""
        self._carry_out(connection, connection.session.receive(text, self.now))

    def make_room(self, connection: ModelConnection, room: int | None) -> None:
        """A connection's transport takes so many more frames."""
        self.flush()
        connection.transport.make_room(room)

    def sever(self, connection: ModelConnection) -> None:
        """The link breaks: what the client did not read is gone."""
        connection.transport.take()
        connection.session.end()
        self._end(connection)

    def _end(self, connection: ModelConnection) -> None:
        self.connections.remove(connection)
        connection.client.disconnected()

    def _carry_out(self, connection: ModelConnection, effect: Effect | None) -> None:
        match effect:
            case Close(code):
                connection.code = code
                connection.read()
                self._end(connection)
            case Abort():
                self.sever(connection)
            case Beat() if connection.session.outbox.clear:
                beat = frames.heartbeat(0, connection.session.heads())
                connection.session.outbox.send(Frame(beat), self.now)
            case Follow(id, params):
                audience = self.registry.get(params.channel)
                assert audience is not None
                self.flush()
                if not connection.session.join(audience, id, params, self.now):
                    self.bridges.append(Bridge(connection, effect))

    def read_bridge(self, bridge: Bridge) -> None:
        """The broker answers what was missed."""
        params = bridge.follow.params
        assert params.since is not None
        channel = self.channels[params.channel]
        bridge.reading = channel.read(params.since.seq, state=False)

    def finish_bridge(self, bridge: Bridge) -> None:
        """The answer reaches the session."""
        assert bridge.reading is not None
        self.bridges.remove(bridge)
        id, params = bridge.follow
        audience = self.registry.get(params.channel)
        assert audience is not None
        self.flush()
        bridge.connection.session.join(audience, id, params, self.now, bridge.reading)

    # Channels

    def hear(self, entry: Envelope, *, flush: bool = True) -> None:
        """Pub/sub delivers an entry; what feeds applied is fanned out now, or with a later one."""
        audience = self.registry.get(entry.channel)
        assert audience is not None
        if audience.feed.receive(entry) is Outcome.BROKEN:
            self.repair(entry.channel)
        elif (newest := audience.feed.newest) is not None:
            self._fanout.add(audience, [newest])
        if flush:
            self.flush()

    def repair(self, channel: str) -> None:
        """Read a channel again and fan out what that changed."""
        audience = self.registry.get(channel)
        assert audience is not None
        feed = audience.feed
        again = True
        while again:
            reading = self.channels[channel].read(feed.begin_reading())
            reset, entries, again = feed.load(reading, self.now)
            if reset:
                self.flush()
                announcement = frames.channel_reset(channel, 0, Kind.LOG)
                audience.restart(Frame(announcement), self.now)
            else:
                self._fanout.add(audience, entries)
        self.flush()

    def announce(self, channel: str) -> None:
        """Somebody publishes by hand."""
        audience = self.registry.get(channel)
        assert audience is not None
        self.flush()
        payload = b'{"channel":"%b","type":"update","event":"message","ts":1,"data":1}'
        audience.announce(Frame(payload % channel.encode()), self.now)

    def flush(self) -> None:
        """Serve the audiences of the feeds that moved."""
        _, audiences, _ = self._fanout.flush(self.now)
        for audience in audiences:
            for subscription in audience.overflowed():
                self._look_at(self._connection_of(subscription))

    def _connection_of(self, subscription: Subscription) -> ModelConnection:
        found = [c for c in self.connections if c.session is subscription.session]
        assert found, "a subscription outlived its connection"
        return found[0]

    def position(self, channel: str) -> Position:
        """Where a channel's feed stands."""
        audience = self.registry.get(channel)
        assert audience is not None
        return audience.feed.position

    # Time

    def wait(self, seconds: float) -> None:
        """Let time pass, and every deadline in it have its effect."""
        self.flush()
        self.now += seconds
        for connection in self.connections:
            connection.transport.now = self.now
        for connection in list(self.connections):
            self._look_at(connection)
        self._fanout.flush_due(self.now)

    def _look_at(self, connection: ModelConnection) -> None:
        while (effect := connection.session.tick(self.now)) is not None:
            self._carry_out(connection, effect)
