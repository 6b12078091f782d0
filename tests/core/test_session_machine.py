"""Sessions of many clients against channels of plain lists, over links that pause and break."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from hub.core import feed as feed_module
from hub.core.limits import Limits
from hub.protocol import codes
from hub.protocol.envelope import Envelope
from hub.protocol.position import Position
from hub.protocol.streams import Kind
from tests.core.model_channel import NOT_FOR_SCREENS, ModelChannel
from tests.core.model_client import ModelClient, Place
from tests.core.model_hub import Bridge, ModelConnection, ModelHub, Transport
from tests.core.run_machine import run_machine

CLIENTS = 3
HISTORY = 3
# Small enough that a paused connection overflows within an example.
LIMITS = Limits(outbox_bytes=900, outbox_frames=6)

PAUSING = st.sampled_from((None, 1, 2, 5))
DATA = st.sampled_from((b"1", b'"2.50"', b'{"pnl":"-3"}', *NOT_FOR_SCREENS))
CHANGES = st.tuples(st.sampled_from("abcd"), DATA, st.booleans())


class SessionMachine(RuleBasedStateMachine):
    """A hub with one channel of each kind. Clients come, pause, break off and resume."""

    @initialize()
    def open(self) -> None:
        self.hub = ModelHub(Kind, LIMITS, history=HISTORY)
        self.clients = [ModelClient() for _ in range(CLIENTS)]
        self.links: dict[ModelClient, ModelConnection] = {}

    @property
    def channels(self) -> list[ModelChannel]:
        return list(self.hub.channels.values())

    def _client(self, data: st.DataObject, *, connected: bool) -> ModelClient:
        return data.draw(
            st.sampled_from([c for c in self.clients if (c in self.links) is connected])
        )

    # Clients

    @precondition(lambda self: len(self.links) < CLIENTS)
    @rule(data=st.data(), room=PAUSING, eager=st.booleans(), resume=st.booleans())
    def connect(self, data: st.DataObject, room: int | None, eager: bool, resume: bool) -> None:
        client = self._client(data, connected=False)
        self.links[client] = self.hub.connect(client, Transport(room, eager=eager))
        for channel, place in list(client.places.items()):
            if client in self.links:
                self._subscribe(client, channel, resume=resume, interval_ms=place.interval_ms)

    @precondition(lambda self: self.links)
    @rule(
        data=st.data(),
        kind=st.sampled_from(Kind),
        resume=st.booleans(),
        interval_ms=st.sampled_from((0, 0, 100)),
    )
    def subscribe(self, data: st.DataObject, kind: Kind, resume: bool, interval_ms: int) -> None:
        client = self._client(data, connected=True)
        channel = next(channel for channel in self.channels if channel.kind is kind)
        self._subscribe(client, channel.name, resume=resume, interval_ms=interval_ms)

    def _subscribe(
        self, client: ModelClient, channel: str, *, resume: bool, interval_ms: int
    ) -> None:
        text = client.subscribe(channel, resume=resume, interval_ms=interval_ms)
        place, model = client.places[channel], self.hub.channels[channel]
        # The hub has an answer at once where the ring reaches, and of a value or a table always.
        held = place.since is not None and model.holds(place.since)
        place.may_recover = held
        place.must_recover = held and (model.kind is Kind.LOG or place.since == model.head)
        self.hub.say(self.links[client], text)
        self._notice_ends()

    @precondition(lambda self: self.links)
    @rule(data=st.data(), kind=st.sampled_from(Kind))
    def unsubscribe(self, data: st.DataObject, kind: Kind) -> None:
        client = self._client(data, connected=True)
        channel = next(channel for channel in self.channels if channel.kind is kind)
        self.hub.say(self.links[client], client.unsubscribe(channel.name))

    @precondition(lambda self: self.links)
    @rule(data=st.data(), room=PAUSING)
    def read(self, data: st.DataObject, room: int | None) -> None:
        """A client reads what was written, which makes room on its link."""
        client = self._client(data, connected=True)
        self.links[client].read()
        self.links[client].transport.make_room(room)

    @precondition(lambda self: self.links)
    @rule(data=st.data())
    def sever(self, data: st.DataObject) -> None:
        self.hub.sever(self.links[self._client(data, connected=True)])
        self._notice_ends()

    def _notice_ends(self) -> None:
        for client, link in list(self.links.items()):
            if link not in self.hub.connections:
                assert link.code in (None, codes.TOO_SLOW)
                del self.links[client]

    # Bridges

    @precondition(lambda self: self.hub.bridges)
    @rule(data=st.data())
    def read_bridge(self, data: st.DataObject) -> None:
        self.hub.read_bridge(data.draw(st.sampled_from(self.hub.bridges)))

    @precondition(lambda self: any(bridge.reading for bridge in self.hub.bridges))
    @rule(data=st.data())
    def finish_bridge(self, data: st.DataObject) -> None:
        ready = [bridge for bridge in self.hub.bridges if bridge.reading]
        self._finish(data.draw(st.sampled_from(ready)))

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

    @rule(kind=st.sampled_from(Kind), change=CHANGES)
    def publish(self, kind: Kind, change: tuple[str, bytes, bool]) -> None:
        self.hub.hear(self._store(kind, change))
        self._notice_ends()

    @rule(kind=st.sampled_from(Kind), changes=st.lists(CHANGES, min_size=2, max_size=12))
    def publish_unheard(self, kind: Kind, changes: list[tuple[str, bytes, bool]]) -> None:
        """Pub/sub loses some entries, and the hub reads the channel again."""
        for change in changes:
            entry = self._store(kind, change)
        self.hub.repair(entry.channel)
        self._notice_ends()

    def _store(self, kind: Kind, change: tuple[str, bytes, bool]) -> Envelope:
        key, data, delete = change
        channel = next(channel for channel in self.channels if channel.kind is kind)
        if kind is not Kind.TABLE:
            return channel.put(data)
        return channel.patch({}, (key,)) if delete else channel.patch({key: data})

    @rule(kind=st.sampled_from(Kind), lost=st.sampled_from((None, 1, 3)), change=CHANGES)
    def lose(self, kind: Kind, lost: int | None, change: tuple[str, bytes, bool]) -> None:
        """The broker loses all of a channel, or its newest entries, and goes on."""
        channel = next(channel for channel in self.channels if channel.kind is kind)
        if lost is None:
            channel.lose()
        else:
            channel.roll_back(lost)
        self._store(kind, change)
        self.hub.repair(channel.name)
        self._notice_ends()

    @rule(kind=st.sampled_from(Kind), keep=st.integers(1, 4))
    def trim(self, kind: Kind, keep: int) -> None:
        next(channel for channel in self.channels if channel.kind is kind).trim(keep)

    @rule(kind=st.sampled_from(Kind))
    def announce(self, kind: Kind) -> None:
        self.hub.announce(next(c for c in self.channels if c.kind is kind).name)

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
                link.transport.make_room(None)
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


def test_clients_end_where_their_channels_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """However links pause and break and channels are lost, each client that is here knows what its
    channels show, without a hole or a duplicate that was not announced, and resumes where it can
    be proved."""
    monkeypatch.setattr(feed_module, "RING_ENTRIES", 4)
    run_machine(SessionMachine, examples=200, steps=50)
