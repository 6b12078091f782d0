"""Tests of hub.core.session."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hub.core import feed as feed_module
from hub.core.audience import Audience
from hub.core.feed import Feed
from hub.core.frame import Frame
from hub.core.grant import Grant
from hub.core.limits import Limits
from hub.core.outbox import Outbox
from hub.core.session import (
    Abort,
    Beat,
    Close,
    Denied,
    Dispatch,
    Effect,
    Follow,
    Offer,
    Session,
    Verify,
)
from hub.protocol import codes
from hub.protocol.agent_commands import CommandReceipt
from hub.protocol.commands import Subscribe
from hub.protocol.position import Position
from hub.protocol.streams import Kind, Stream
from tests.core.model_channel import NAMES, ModelChannel
from tests.core.model_client import ModelClient
from tests.core.model_hub import EVERYTHING, PAYLOADS, ModelHub, Transport

LIMITS = Limits(max_subscriptions=2, max_publishes=2, max_strikes=3)


class Desk:
    """A session, its transport, and audiences of channels for it to join."""

    def __init__(self, grant: Grant | None = EVERYTHING, limits: Limits = LIMITS) -> None:
        self.transport = Transport()
        outbox = self.transport.outbox = Outbox(PAYLOADS, self.transport.write, limits)
        self.session = Session("s-1", outbox, limits, 0.0)
        self.channels = {kind: ModelChannel(kind) for kind in Kind}
        self.audiences: dict[str, Audience] = {}
        if grant is not None:
            self.session.authorize(grant, None, 0.0, None)

    def say(
        self, method: str, params: dict[str, Any] | None = None, *, id: int = 1
    ) -> Effect | None:
        """Send one command."""
        text = json.dumps({"id": id, "method": method, "params": params or {}})
        return self.session.receive(text, 0.0)

    def audience(self, kind: Kind) -> Audience:
        """A channel's audience; its feed reads the channel where it is not up yet."""
        channel = self.channels[kind]
        if channel.name not in self.audiences:
            feed = Feed(channel.name, Stream(kind, history=2))
            feed.begin_reading()
            feed.load(channel.read(None), 0.0)
            feed.check_freshness(0.0)
            self.audiences[channel.name] = Audience(feed)
        return self.audiences[channel.name]

    def subscribe(self, kind: Kind, *, id: int = 1, **params: Any) -> bool:
        """Subscribe to a channel whose feed is up; returns what `join` does."""
        effect = self.say("subscribe", {"channel": NAMES[kind], **params}, id=id)
        assert isinstance(effect, Follow)
        return self.session.join(self.audience(kind), effect.id, effect.params, 0.0)

    @property
    def heard(self) -> list[dict[str, Any]]:
        """The frames that were written since this was asked last."""
        return [json.loads(payload) for _, payload in self.transport.take()]

    @property
    def error(self) -> dict[str, Any]:
        """The one frame that was written, which is an error."""
        [frame] = self.heard
        return {"id": frame["id"], **frame["error"]}


@pytest.fixture
def desk() -> Desk:
    """A session that may do everything."""
    return Desk()


@pytest.fixture
def stranger() -> Desk:
    """A session without a grant."""
    return Desk(grant=None)


def since(position: Position) -> dict[str, Any]:
    """A position as a subscribe spells it."""
    return {"epoch": position.epoch, "seq": position.seq, "tag": position.tag}


# Rights


def test_the_first_frame_is_a_welcome(stranger: Desk) -> None:
    """It says how often a heartbeat comes."""
    stranger.session.welcome("1.0", 0.0)
    assert stranger.heard == [
        {"type": "welcome", "session": "s-1", "heartbeat_ms": 5000, "version": "1.0"}
    ]


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("subscribe", {"channel": "portfolio"}),
        ("unsubscribe", {"channel": "portfolio"}),
        ("publish", {"channel": "portfolio", "event": "e", "data": 1}),
        ("ping", {}),
    ],
)
def test_without_a_grant_every_command_is_refused(
    stranger: Desk, method: str, params: dict[str, Any]
) -> None:
    """Only auth is taken."""
    assert stranger.say(method, params) is None
    assert stranger.error["code"] == codes.UNAUTHORIZED.number
    assert stranger.say("auth", {"token": "t"}, id=2) == Verify(2, "t")


def test_a_token_that_is_good_is_answered(stranger: Desk) -> None:
    """With whom it names and when it ends."""
    grant = Grant("desk", read=("*",), expires_at=1_700_000_000.0)
    assert stranger.session.authorize(grant, 60.0, 0.0, 7) is None
    assert stranger.heard == [
        {"id": 7, "result": {"subject": "desk", "expires_at": 1_700_000_000.0}}
    ]


def test_a_token_of_the_handshake_is_not_answered(stranger: Desk) -> None:
    """No command asked."""
    assert stranger.session.authorize(EVERYTHING, None, 0.0, None) is None
    assert stranger.heard == []


def test_a_token_that_is_refused_ends_the_session(stranger: Desk) -> None:
    """With the reason, which is the shell's."""
    close = stranger.session.refuse("the token is at its end")
    assert close == Close(codes.UNAUTHORIZED, "the token is at its end")
    assert stranger.session.closed


def test_a_connection_keeps_its_subject(desk: Desk) -> None:
    """A newer token is one of the same subject."""
    assert desk.session.authorize(EVERYTHING, 9.0, 0.0, 2) is None
    close = desk.session.authorize(Grant("other", read=("*",)), None, 0.0, 3)
    assert close == Close(codes.FORBIDDEN, "a connection keeps its subject")


@pytest.mark.parametrize("joined", [True, False], ids=["joined", "waiting"])
def test_a_newer_token_must_allow_what_is_followed(desk: Desk, joined: bool) -> None:
    """Also what is not up yet: a subscribe that waited was answered in spite of it."""
    if joined:
        desk.subscribe(Kind.VALUE)
    else:
        desk.say("subscribe", {"channel": "portfolio"})
    close = desk.session.authorize(Grant("desk", read=("positions",)), None, 0.0, 2)
    assert close == Close(codes.FORBIDDEN, "the new token does not allow portfolio")


def test_channels_beyond_the_grant_are_forbidden() -> None:
    """For reading and for publishing, each by its own patterns."""
    desk = Desk(Grant("desk", read=("positions",), publish=("decisions",)))
    desk.say("subscribe", {"channel": "portfolio"}, id=1)
    assert (desk.error["code"], desk.session.closed) == (codes.FORBIDDEN.number, False)
    desk.say("publish", {"channel": "positions", "event": "e", "data": 1}, id=2)
    assert desk.error["code"] == codes.FORBIDDEN.number


def test_a_newer_token_changes_nothing_else(desk: Desk) -> None:
    """What it allows as the older one did goes on."""
    desk.subscribe(Kind.VALUE)
    desk.transport.take()
    assert desk.session.authorize(Grant("desk", read=("portfolio",)), 60.0, 0.0, 2) is None
    assert [frame["id"] for frame in desk.heard] == [2]
    assert len(desk.audience(Kind.VALUE)) == 1


# Commands


def test_a_ping_is_answered(desk: Desk) -> None:
    """At once, under its id."""
    assert desk.say("ping", id=9) is None
    assert desk.heard == [{"id": 9, "result": {}}]


def test_a_command_that_can_not_be_carried_out_is_answered(desk: Desk) -> None:
    """The connection stays open, however often that happens."""
    for _ in range(10):
        assert desk.say("dance", id=3) is None
        assert (desk.error["id"], desk.session.closed) == (3, False)


def test_text_that_is_no_object_is_a_strike(desk: Desk) -> None:
    """After a handful of them the session ends."""
    for _ in range(2):
        assert desk.session.receive("[]", 0.0) is None
        assert desk.error["id"] is None
    close = desk.session.receive(b"\xff", 0.0)
    assert isinstance(close, Close)
    assert close.code is codes.BAD_REQUEST


def test_a_publish_is_offered_and_answered(desk: Desk) -> None:
    """With the position that the broker gave it."""
    offer = desk.say("publish", {"channel": "fills", "event": "fill", "data": {"x": 1}}, id=4)
    assert isinstance(offer, Offer)
    assert (offer.id, offer.params.channel, offer.params.event) == (4, "fills", "fill")
    desk.session.published(4, "fills", Position("e", 7, "00"), 0.0, unchanged=False)
    [answer] = desk.heard
    assert answer["result"]["seq"] == 7


def test_unanswered_publishes_are_bounded(desk: Desk) -> None:
    """An answer, good or bad, makes room for another."""
    params = {"channel": "fills", "event": "fill", "data": 1}
    assert isinstance(desk.say("publish", params, id=1), Offer)
    assert isinstance(desk.say("publish", params, id=2), Offer)
    assert desk.say("publish", params, id=3) is None
    assert desk.error["code"] == codes.TOO_MANY.number
    desk.session.fail_publish(1, codes.UNAVAILABLE, "the broker is away", 0.0)
    assert desk.error == {"id": 1, "code": 4503, "message": "the broker is away", "retry": True}
    assert isinstance(desk.say("publish", params, id=4), Offer)


def test_a_command_is_dispatched_and_answered() -> None:
    """With where it stands, by whoever may command that agent."""
    desk = Desk(Grant("ann", command=("commands:desk-7",)))
    params = {"channel": "commands:desk-7", "event": "agent.pause", "data": {}}
    dispatch = desk.say("publish", params, id=4)
    assert isinstance(dispatch, Dispatch)
    assert (dispatch.id, dispatch.params.event) == (4, "agent.pause")
    receipt = CommandReceipt("c1", Position("e", 7, "00"), 1_000)
    desk.session.commanded(4, "commands:desk-7", receipt, 0.0)
    [answer] = desk.heard
    assert answer["result"]["seq"] == 7
    assert answer["result"]["command"] == {"id": "c1", "state": "sent", "expires_at": 1_000}


def test_a_command_without_the_right_is_denied(desk: Desk) -> None:
    """A token that may publish everything may not command; that it tried is to be noted."""
    params = {"channel": "commands:desk-7", "event": "agent.pause", "data": {}}
    denied = desk.say("publish", params, id=4)
    assert isinstance(denied, Denied)
    assert denied.params.event == "agent.pause"
    assert desk.error["code"] == codes.FORBIDDEN.number


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"channel": "commands", "key": "k"}, "a command takes no key"),
        ({"channel": "fills", "expires_in_ms": 1_000}, "expected a command"),
        ({"channel": "commands", "producer": "p"}, "expected both, or neither"),
        ({"channel": "fills", "n": 7}, "expected both, or neither"),
    ],
)
def test_parameters_that_do_not_go_together(params: dict[str, Any], message: str) -> None:
    """A command has no key, and no other publish expires; half an id makes no retry safe, and used
    to be none in silence."""
    desk = Desk(Grant("ann", publish=("*",), command=("*",)))
    assert desk.say("publish", {"event": "x", "data": {}, **params}) is None
    assert message in desk.error["message"]


def test_unanswered_commands_are_bounded_too() -> None:
    """Commands and publishes share the bound."""
    desk = Desk(Grant("ann", publish=("*",), command=("*",)))
    fill = {"channel": "fills", "event": "fill", "data": 1}
    pause = {"channel": "commands", "event": "agent.pause", "data": {}}
    assert isinstance(desk.say("publish", fill, id=1), Offer)
    assert isinstance(desk.say("publish", pause, id=2), Dispatch)
    assert desk.say("publish", pause, id=3) is None
    assert desk.error["code"] == codes.TOO_MANY.number
    receipt = CommandReceipt("c1", Position("e", 7, "00"), 1_000)
    desk.session.commanded(2, "commands", receipt, 0.0)
    assert isinstance(desk.say("publish", pause, id=4), Dispatch)


# Subscribes


@pytest.mark.parametrize("kind", Kind)
def test_a_subscribe_is_answered_before_its_snapshot(desk: Desk, kind: Kind) -> None:
    """Then the channel's frames come."""
    assert desk.subscribe(kind, id=5)
    reply, snapshot = desk.heard
    assert reply["id"] == 5
    assert reply["result"]["kind"] == kind
    assert (reply["result"]["recovered"], reply["result"]["stale"]) == (False, False)
    assert (snapshot["type"], snapshot["seq"]) == ("snapshot", 0)
    assert len(desk.audience(kind)) == 1


def test_a_log_takes_no_interval(desk: Desk) -> None:
    """The reply says which interval is kept."""
    desk.subscribe(Kind.LOG, interval_ms=100)
    assert desk.heard[0]["result"]["interval_ms"] == 0
    desk.subscribe(Kind.VALUE, interval_ms=100)
    assert desk.heard[0]["result"]["interval_ms"] == 100


def test_a_stale_channel_is_said_to_be(desk: Desk) -> None:
    """After the snapshot, also to who subscribes later."""
    channel = desk.channels[Kind.VALUE]
    channel.put(b"1")
    channel.lease_ms, channel.lease_left_ms = 1_000, -5_000
    desk.subscribe(Kind.VALUE)
    reply, _, state = desk.heard
    assert reply["result"]["stale"]
    assert state == {"type": "channel", "channel": "portfolio", "state": "stale", "since": 1_001}


def test_who_returns_gets_what_was_missed(desk: Desk) -> None:
    """After a reply that says so, and no snapshot."""
    channel = desk.channels[Kind.LOG]
    entries = [channel.put(b"%d" % number) for number in range(3)]
    desk.subscribe(Kind.LOG, since=since(entries[0].position))
    reply, *missed = desk.heard
    assert reply["result"]["recovered"]
    assert [frame["seq"] for frame in missed] == [2, 3]


def test_who_returns_from_a_fork_gets_a_snapshot(desk: Desk) -> None:
    """The same seq under another tag is another history."""
    desk.channels[Kind.LOG].put(b"1")
    desk.subscribe(Kind.LOG, since={**since(desk.channels[Kind.LOG].start), "seq": 1, "tag": "f0"})
    reply, snapshot = desk.heard
    assert (reply["result"]["recovered"], snapshot["type"]) == (False, "snapshot")


@pytest.fixture
def long_away(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Subscribe:
    """What a client subscribes with that missed more of a log than the feed's ring holds."""
    monkeypatch.setattr(feed_module, "RING_ENTRIES", 2)
    channel = desk.channels[Kind.LOG]
    for number in range(9):
        channel.put(b"%d" % number)
    return Subscribe("decisions", channel.history[1].position)


def test_who_was_away_for_long_is_caught_up_by_the_broker(desk: Desk, long_away: Subscribe) -> None:
    """Nothing is said until it was asked; then each entry comes, once."""
    assert long_away.since is not None
    assert not desk.subscribe(Kind.LOG, since=since(long_away.since))
    assert desk.heard == []
    reading = desk.channels[Kind.LOG].read(2)
    assert desk.session.join(desk.audience(Kind.LOG), 1, long_away, 0.0, reading)
    reply, *missed = desk.heard
    assert reply["result"]["recovered"]
    assert [frame["seq"] for frame in missed] == list(range(3, 10))


def test_what_the_broker_forgot_is_not_recovered(desk: Desk, long_away: Subscribe) -> None:
    """A snapshot instead, and never a part of what was missed."""
    assert long_away.since is not None
    desk.subscribe(Kind.LOG, since=since(long_away.since))
    desk.channels[Kind.LOG].trim(3)
    reading = desk.channels[Kind.LOG].read(2)
    assert desk.session.join(desk.audience(Kind.LOG), 1, long_away, 0.0, reading)
    reply, snapshot = desk.heard
    assert (reply["result"]["recovered"], snapshot["type"]) == (False, "snapshot")


def test_what_is_too_much_to_be_sent_is_not_recovered() -> None:
    """More than may wait for a connection is a snapshot, rather than an overflow half way."""
    desk = Desk(limits=Limits(answer_bytes=500))
    channel = desk.channels[Kind.LOG]
    entries = [channel.put(b'"%b"' % (b"x" * 100)) for _ in range(5)]
    desk.audience(Kind.LOG)
    desk.subscribe(Kind.LOG, since=since(entries[0].position))
    reply, snapshot = desk.heard
    assert (reply["result"]["recovered"], snapshot["type"]) == (False, "snapshot")


def test_who_was_closed_for_an_overflow_resumes() -> None:
    """It missed more than may wait for a connection, and gets all of it. Where an answer had to
    fit in that bound, a client that was too slow once could never resume."""
    hub = ModelHub([Kind.LOG], Limits(outbox_bytes=1_000))
    channel, client = hub.channels["decisions"], ModelClient()
    slow = hub.connect(client, Transport(room=2))
    hub.say(slow, client.subscribe("decisions", resume=False))
    for _ in range(20):
        hub.hear(channel.put(b'"%b"' % (b"x" * 100)))
    assert slow.code is codes.TOO_SLOW
    place = client.places["decisions"]
    place.must_recover = place.may_recover = True
    again = hub.connect(client, Transport(room=1))
    hub.say(again, client.subscribe("decisions", resume=True))
    hub.hear(channel.put(b'"since"'))
    again.transport.make_room(None)
    again.read()
    assert place.state == channel.visible


def test_a_second_subscribe_replaces_the_first(desk: Desk) -> None:
    """Delivery is never doubled."""
    desk.subscribe(Kind.VALUE, id=1)
    desk.subscribe(Kind.VALUE, id=2, interval_ms=100)
    assert len(desk.audience(Kind.VALUE)) == 1
    assert [frame.get("id") for frame in desk.heard] == [1, None, 2, None]


def test_a_subscribe_that_waits_is_replaced_by_a_later_one(desk: Desk) -> None:
    """The earlier one is answered with an error, and joins nothing."""
    first = desk.say("subscribe", {"channel": "portfolio"}, id=1)
    second = desk.say("subscribe", {"channel": "portfolio"}, id=2)
    assert isinstance(first, Follow)
    assert isinstance(second, Follow)
    assert desk.error["id"] == 1
    audience = desk.audience(Kind.VALUE)
    assert desk.session.join(audience, 1, first.params, 0.0)
    assert desk.heard == []
    assert desk.session.join(audience, 2, second.params, 0.0)
    assert desk.heard[0]["id"] == 2


def test_a_feed_that_can_not_be_brought_up_is_an_error(desk: Desk) -> None:
    """To the subscribe that still waits for it."""
    desk.say("subscribe", {"channel": "portfolio"}, id=1)
    desk.session.fail_subscribe(1, "portfolio", codes.UNAVAILABLE, "the broker is away", 0.0)
    assert desk.error["code"] == codes.UNAVAILABLE.number
    desk.session.fail_subscribe(1, "portfolio", codes.UNAVAILABLE, "the broker is away", 0.0)
    assert desk.heard == []


def test_unsubscribing_ends_delivery(desk: Desk) -> None:
    """Of a channel that is followed, or waited for; to leave another is no error."""
    desk.subscribe(Kind.VALUE)
    desk.say("subscribe", {"channel": "positions"}, id=2)
    desk.transport.take()
    for id, channel in enumerate(("portfolio", "positions", "decisions"), 3):
        desk.say("unsubscribe", {"channel": channel}, id=id)
    assert [frame["id"] for frame in desk.heard] == [3, 2, 4, 5]
    assert len(desk.audience(Kind.VALUE)) == 0
    assert not desk.session.awaits(2, "positions")


def test_subscriptions_are_bounded(desk: Desk) -> None:
    """Each channel counts once, followed or waited for; a second subscribe to one is no other."""
    desk.subscribe(Kind.VALUE)
    desk.say("subscribe", {"channel": "portfolio"}, id=2)
    assert isinstance(desk.say("subscribe", {"channel": "positions"}, id=3), Follow)
    desk.transport.take()
    assert desk.say("subscribe", {"channel": "decisions"}, id=4) is None
    assert desk.error["code"] == codes.TOO_MANY.number
    assert isinstance(desk.say("subscribe", {"channel": "portfolio"}, id=5), Follow)


# Time


def test_no_token_in_time_ends_the_session(stranger: Desk) -> None:
    """The deadline is named beforehand."""
    assert stranger.session.next_deadline() == 5.0
    assert stranger.session.tick(4.9) is None
    assert stranger.session.tick(5.0) == Close(codes.AUTH_TIMEOUT, "no token came in time")


def test_a_session_ends_with_its_token(stranger: Desk) -> None:
    """Unless a newer one comes before."""
    stranger.session.authorize(EVERYTHING, 3.0, 0.0, None)
    assert stranger.session.next_deadline() == 3.0
    stranger.session.authorize(EVERYTHING, 4.0, 2.0, 1)
    assert stranger.session.tick(3.0) is None
    assert stranger.session.tick(4.0) == Close(codes.UNAUTHORIZED, "the token is at its end")


def test_heartbeats_are_due_at_intervals(desk: Desk) -> None:
    """Each once, and late ones are not made up for."""
    assert desk.session.next_deadline() == 5.0
    assert desk.session.tick(5.1) == Beat()
    assert desk.session.tick(5.1) is None
    assert desk.session.tick(60.0) == Beat()
    assert desk.session.tick(60.0) is None


def test_heads_are_what_the_client_was_served(desk: Desk) -> None:
    """In step as far as its audience; paced, how far its last update brought it."""
    desk.channels[Kind.VALUE].put(b"1")
    desk.channels[Kind.LOG].put(b"1")
    desk.subscribe(Kind.VALUE, interval_ms=100)
    desk.subscribe(Kind.LOG)
    for kind in (Kind.VALUE, Kind.LOG):
        entry = desk.channels[kind].put(b"2")
        desk.audience(kind).feed.receive(entry)
        assert desk.session.heads() == {"portfolio": 1, "decisions": 1}
        desk.audience(kind).deliver([Frame(entry.payload)], 0.0)
    assert desk.session.heads() == {"portfolio": 1, "decisions": 2}


def test_a_stalled_transport_is_aborted(desk: Desk) -> None:
    """It takes nothing, so no close frame would reach it."""
    desk.session.outbox.pause(1.0)
    assert desk.session.tick(6.0) == Beat()
    assert desk.session.next_deadline() == 11.0
    assert desk.session.tick(11.0) == Abort()
    assert desk.session.closed
    assert desk.session.tick(12.0) is None


def test_an_overflow_ends_the_session() -> None:
    """Its client resumes, as the code says."""
    desk = Desk(limits=Limits(outbox_frames=1))
    desk.session.outbox.pause(0.0)
    desk.say("ping")
    desk.say("ping")
    close = desk.session.tick(0.0)
    assert isinstance(close, Close)
    assert close.code is codes.TOO_SLOW


# The end


def test_a_session_that_ended_does_nothing_more(desk: Desk) -> None:
    """Whatever still arrives for it, from the client, the broker or a feed."""
    desk.subscribe(Kind.VALUE)
    effect = desk.say("subscribe", {"channel": "positions"}, id=2)
    assert isinstance(effect, Follow)
    desk.transport.take()
    session = desk.session
    assert session.close(codes.RESTART, "bye") == Close(codes.RESTART, "bye")
    assert session.close(codes.RESTART, "again") is None
    assert session.refuse("late") is None
    assert session.receive('{"id":3,"method":"ping"}', 0.0) is None
    assert session.authorize(EVERYTHING, None, 0.0, 4) is None
    assert session.join(desk.audience(Kind.TABLE), 2, effect.params, 0.0)
    session.published(5, "fills", Position("e", 1, ""), 0.0, unchanged=True)
    session.commanded(6, "commands", CommandReceipt("c1", Position("e", 1, ""), 1), 0.0)
    session.fail_publish(6, codes.FAILED, "late", 0.0)
    session.fail_subscribe(2, "positions", codes.FAILED, "late", 0.0)
    assert desk.heard == []
    assert len(desk.audience(Kind.VALUE)) == len(desk.audience(Kind.TABLE)) == 0
