"""Sessions of many clients against channels of plain lists, over links that pause and break."""

from __future__ import annotations

from unittest import mock

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from hub.core import feed as feed_module
from hub.core.limits import Limits
from hub.protocol import codes
from hub.protocol.envelope import Envelope
from hub.protocol.position import Position
from hub.protocol.streams import Kind
from tests.core.model_channel import NAMES, NOT_FOR_SCREENS, ModelChannel
from tests.core.model_client import ModelClient, Place
from tests.core.model_hub import Bridge, ModelConnection, ModelHub, Transport
from tests.core.run_machine import run_machine

CLIENTS = 3
HISTORY = 3
# Small enough that a paused connection overflows within an example.
LIMITS = Limits(outbox_bytes=900, outbox_frames=6)

WHO = st.integers(0, CLIENTS - 1)
KIND = st.sampled_from(Kind)
INTERVAL = st.sampled_from((0, 100))
DATA = st.sampled_from((b"1", b'"2.50"', b'{"pnl":"-3"}', *NOT_FOR_SCREENS))
CHANGE = st.tuples(st.sampled_from("abcd"), DATA, st.booleans())
# How many frames a transport takes until it pauses, and whether it resumes within that write.
TRANSPORT = st.tuples(st.sampled_from((None, 1, 2, 5)), st.booleans())


class SessionMachine(RuleBasedStateMachine):
    """A hub with one channel of each kind. Clients pause, break off and resume."""

    @initialize(
        transports=st.tuples(*[TRANSPORT] * CLIENTS), intervals=st.tuples(*[INTERVAL] * CLIENTS)
    )
    def open(
        self, transports: tuple[tuple[int | None, bool], ...], intervals: tuple[int, ...]
    ) -> None:
        self.hub = ModelHub(Kind, LIMITS, history=HISTORY)
        self.clients = [ModelClient() for _ in range(CLIENTS)]
        self.links: dict[ModelClient, ModelConnection] = {}
        for client, transport, interval_ms in zip(self.clients, transports, intervals, strict=True):
            self._connect(client, transport)
            for channel in self.hub.channels:
                self._subscribe(client, channel, resume=False, interval_ms=interval_ms)

    def _channel(self, kind: Kind) -> ModelChannel:
        return self.hub.channels[NAMES[kind]]

    # Clients

    @rule(
        who=WHO,
        transport=TRANSPORT,
        missed=st.lists(st.tuples(KIND, CHANGE), max_size=12),
        resume=st.booleans(),
    )
    def come_back(
        self,
        who: int,
        transport: tuple[int | None, bool],
        missed: list[tuple[Kind, tuple[str, bytes, bool]]],
        resume: bool,
    ) -> None:
        """A link breaks with what its client did not read; the client returns after a while."""
        client = self.clients[who]
        if client in self.links:
            self.hub.sever(self.links[client])
            self._notice_ends()
        for kind, change in missed:
            self.publish(kind, [change])
        self._connect(client, transport)
        for channel, place in list(client.places.items()):
            self._subscribe(client, channel, resume=resume, interval_ms=place.interval_ms)

    def _connect(self, client: ModelClient, transport: tuple[int | None, bool]) -> None:
        room, eager = transport
        self.links[client] = self.hub.connect(client, Transport(room, eager=eager))

    @rule(who=WHO, kind=KIND, resume=st.booleans(), interval_ms=INTERVAL)
    def subscribe(self, who: int, kind: Kind, resume: bool, interval_ms: int) -> None:
        self._subscribe(self.clients[who], NAMES[kind], resume=resume, interval_ms=interval_ms)

    def _subscribe(
        self, client: ModelClient, channel: str, *, resume: bool, interval_ms: int
    ) -> None:
        if client not in self.links:
            return
        text = client.subscribe(channel, resume=resume, interval_ms=interval_ms)
        place, model = client.places[channel], self.hub.channels[channel]
        # The hub has an answer at once where the ring reaches, and of a value or a table always.
        held = place.since is not None and model.holds(place.since)
        place.may_recover = held
        place.must_recover = held and (model.kind is Kind.LOG or place.since == model.head)
        self.hub.say(self.links[client], text)
        self._notice_ends()

    @rule(who=WHO, kind=KIND)
    def unsubscribe(self, who: int, kind: Kind) -> None:
        client = self.clients[who]
        if client in self.links:
            self.hub.say(self.links[client], client.unsubscribe(NAMES[kind]))
            self._notice_ends()

    @rule(who=WHO, room=st.sampled_from((None, 1, 2, 5)))
    def read(self, who: int, room: int | None) -> None:
        """A client reads what was written, which makes room on its link."""
        client = self.clients[who]
        if client in self.links:
            self.links[client].read()
            self.hub.make_room(self.links[client], room)
            self._notice_ends()

    def _notice_ends(self) -> None:
        for client, link in list(self.links.items()):
            if link not in self.hub.connections:
                assert link.code in (None, codes.TOO_SLOW)
                del self.links[client]

    # Bridges

    @precondition(lambda self: self.hub.bridges)
    @rule()
    def read_bridges(self) -> None:
        for bridge in self.hub.bridges:
            self.hub.read_bridge(bridge)

    @precondition(lambda self: self.hub.bridges)
    @rule()
    def finish_bridges(self) -> None:
        for bridge in list(self.hub.bridges):
            if bridge.reading:
                self._finish(bridge)

    def _finish(self, bridge: Bridge) -> None:
        """What the broker has from the client's position on to the feed's, the client gets."""
        id, params = bridge.follow
        since, reading = params.since, bridge.reading
        assert since is not None
        assert reading is not None
        place = bridge.connection.client.places.get(params.channel)
        if place is not None and place.asked == id:
            model, head = self.hub.channels[params.channel], reading.position
            whole = head is not None and len(reading.entries) == head.seq - since.seq
            place.may_recover = model.holds(since)
            place.must_recover = place.may_recover and whole and head == model.head
        self.hub.finish_bridge(bridge)
        self._notice_ends()

    # Channels

    @rule(kind=KIND, changes=st.lists(CHANGE, min_size=1, max_size=4))
    def publish(self, kind: Kind, changes: list[tuple[str, bytes, bool]]) -> None:
        for change in changes:
            self.hub.hear(self._store(kind, change))
            self._notice_ends()

    @rule(changes=st.lists(st.tuples(KIND, CHANGE), min_size=1, max_size=6))
    def publish_together(self, changes: list[tuple[Kind, tuple[str, bytes, bool]]]) -> None:
        """Feeds move, and their audiences are served with what comes next."""
        for kind, change in changes:
            self.hub.hear(self._store(kind, change), flush=False)
            self._notice_ends()

    @rule(kind=KIND, changes=st.lists(CHANGE, min_size=2, max_size=12))
    def publish_unheard(self, kind: Kind, changes: list[tuple[str, bytes, bool]]) -> None:
        """Pub/sub loses some entries, and the hub reads the channel again."""
        for change in changes:
            self._store(kind, change)
        self.hub.repair(NAMES[kind])
        self._notice_ends()

    def _store(self, kind: Kind, change: tuple[str, bytes, bool]) -> Envelope:
        key, data, delete = change
        channel = self._channel(kind)
        if kind is not Kind.TABLE:
            return channel.put(data)
        return channel.patch({}, (key,)) if delete else channel.patch({key: data})

    @rule(kind=KIND, lost=st.sampled_from((None, 1, 3)), change=CHANGE)
    def lose(self, kind: Kind, lost: int | None, change: tuple[str, bytes, bool]) -> None:
        """The broker loses all of a channel, or its newest entries, and goes on."""
        channel = self._channel(kind)
        if lost is None:
            channel.lose()
        else:
            channel.roll_back(lost)
        self._store(kind, change)
        self.hub.repair(channel.name)
        self._notice_ends()

    @rule(kind=KIND, keep=st.integers(1, 4))
    def trim(self, kind: Kind, keep: int) -> None:
        self._channel(kind).trim(keep)

    @rule(kind=KIND)
    def announce(self, kind: Kind) -> None:
        self.hub.announce(NAMES[kind])
        self._notice_ends()

    # Time

    @rule(seconds=st.sampled_from((0.03, 0.1, 1.0, 6.0)))
    def wait(self, seconds: float) -> None:
        self.hub.wait(seconds)
        self._notice_ends()

    @rule()
    def settle(self) -> None:
        """Everybody reads everything: who is still here knows what the channel shows."""
        for bridge in list(self.hub.bridges):
            self.hub.read_bridge(bridge)
            self._finish(bridge)
        for _ in range(3):
            for link in list(self.links.values()):
                link.read()
                self.hub.make_room(link, None)
            # Longer than an interval, shorter than a deadline.
            self.hub.wait(0.2)
            self._notice_ends()
        for link in self.links.values():
            link.read()
            for name, place in link.client.places.items():
                self._check(self.hub.channels[name], place)

    def _check(self, channel: ModelChannel, place: Place) -> None:
        assert place.following
        assert place.position == (channel.head or Position("", 0, ""))
        visible = channel.visible
        if channel.kind is Kind.LOG:
            assert place.state == visible[len(visible) - len(place.state) :]
            stream = len(channel.history) - channel.trimmed
            assert len(place.state) >= min(HISTORY, stream)
        else:
            assert place.state == visible

    def teardown(self) -> None:
        if hasattr(self, "hub"):
            self.settle()


def run_session_machine(*, shrink: bool = True) -> None:
    """Run it on feeds that remember little."""
    with mock.patch.object(feed_module, "RING_ENTRIES", 4):
        run_machine(SessionMachine, examples=200, steps=50, shrink=shrink)


def test_clients_end_where_their_channels_do() -> None:
    """However links pause and break and channels are lost, each client that is here knows what its
    channels show, without a hole or a duplicate that was not announced, and resumes where it can
    be proved."""
    run_session_machine()
