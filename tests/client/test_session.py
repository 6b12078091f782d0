"""What one client wants of the hub, over any number of connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from hub.client.errors import ClientError, Closed, Forbidden, Refused
from hub.client.frames import Frame, Reset, Snapshot, Update
from hub.client.session import MAX_COMMAND_BYTES, Request, Session
from hub.client.tracker import Tracker
from hub.protocol import codes, frames
from hub.protocol.position import Position
from hub.protocol.streams import Kind
from tests.support.fakehub import Heard, Tape

WELCOME = frames.welcome("s", 5000, "0")


class Basket:
    """A sink with room for so many frames."""

    def __init__(self, room: int = 100) -> None:
        self.room = room
        self.frames: list[Frame] = []
        self.ended: list[ClientError | None] = []

    def deliver(self, frame: Frame) -> bool:
        self.frames.append(frame)
        return len(self.frames) < self.room

    def end(self, error: ClientError | None) -> None:
        self.ended.append(error)


class Desk:
    """A session, and the hub's side of it."""

    def __init__(self) -> None:
        self.delayed: list[tuple[int, Callable[[], None]]] = []
        self.woken = 0
        self.session = Session(wake=self.wake, later=lambda n, do: self.delayed.append((n, do)))

    def wake(self) -> None:
        self.woken += 1

    def heard(self) -> list[Heard]:
        """The commands that the session wants to send."""
        return [msgspec.json.decode(text, type=Heard) for text in self.session.take_outgoing()]

    def only(self, method: str) -> Heard:
        """The one command that the session wants to send."""
        [heard] = self.heard()
        assert heard.method == method
        return heard

    def receive(self, *texts: bytes) -> None:
        for text in texts:
            self.session.receive(text)

    def answer(self, heard: Heard, position: Position, *, recovered: bool = False) -> None:
        """Answer a subscribe."""
        self.receive(
            frames.subscribed(
                heard.id,
                heard.params["channel"],
                position,
                kind=Kind.LOG,
                stale=False,
                recovered=recovered,
                interval_ms=0,
            )
        )

    def follow(self, tape: Tape, sink: Basket) -> Tracker:
        """A subscription that has its snapshot."""
        tracker = Tracker(tape.channel)
        self.session.subscribe(tracker, sink)
        self.answer(self.only("subscribe"), tape.position)
        self.receive(tape.snapshot({"entries": []}))
        return tracker


class Outcome:
    """What became of a request."""

    def __init__(self, method: str = "ping", params: dict[str, Any] | None = None) -> None:
        self.results: list[bytes] = []
        self.errors: list[ClientError] = []
        self.request = Request(method, params or {}, self.results.append, self.errors.append)


@pytest.fixture
def desk() -> Desk:
    """A session that was welcomed."""
    desk = Desk()
    desk.receive(WELCOME)
    return desk


def test_nothing_is_sent_before_the_welcome() -> None:
    """What was asked for before the welcome is sent after it."""
    desk, ping = Desk(), Outcome()
    desk.session.subscribe(Tracker("a", interval_ms=250, since=Position("e", 1, "t")), Basket())
    desk.session.request(ping.request)
    assert desk.heard() == []
    assert desk.woken == 0
    desk.receive(WELCOME)
    subscribe, pinged = desk.heard()
    since = {"epoch": "e", "seq": 1, "tag": "t"}
    assert subscribe.params == {"channel": "a", "since": since, "interval_ms": 250}
    assert pinged.method == "ping"
    assert desk.woken == 2


def test_frames_go_to_their_channel(desk: Desk) -> None:
    """Each subscription hears its own channel, and nobody hears a channel left."""
    first, second = Tape("a"), Tape("b")
    sink, other = Basket(), Basket()
    tracker = desk.follow(first, sink)
    desk.follow(second, other)
    desk.receive(first.write(1), second.write(2), second.write(3), Tape("c").write(1))
    assert len(sink.frames) == 2
    assert len(other.frames) == 3
    desk.session.unsubscribe(tracker)
    assert desk.only("unsubscribe").params == {"channel": "a"}
    assert sink.ended == [None]
    desk.receive(first.write(2))
    assert len(sink.frames) == 2
    desk.session.unsubscribe(tracker)
    assert desk.heard() == []


def test_a_channel_is_followed_once(desk: Desk) -> None:
    """A second subscription of one channel is refused; after the first was left it is not."""
    tracker = desk.follow(Tape("a"), Basket())
    with pytest.raises(ValueError, match="one subscription a channel"):
        desk.session.subscribe(Tracker("a"), Basket())
    desk.session.unsubscribe(tracker)
    desk.session.subscribe(Tracker("a"), Basket())
    desk.session.unsubscribe(tracker)
    assert [heard.method for heard in desk.heard()] == ["unsubscribe", "subscribe"]


def test_a_new_connection_resumes_everything(desk: Desk) -> None:
    """After a reconnect every subscription asks from its position, every request is sent again."""
    tape, sink, ping = Tape("a"), Basket(), Outcome("publish", {"producer": "p", "n": 1})
    desk.follow(tape, sink)
    desk.receive(tape.write(1))
    desk.session.request(ping.request)
    first = desk.only("publish")
    desk.session.closed()
    desk.receive(WELCOME)
    subscribe, again = desk.heard()
    assert subscribe.params["since"]["seq"] == 1
    assert again.params == first.params
    assert again.id != first.id
    desk.receive(frames.result(first.id, {}))
    assert ping.results == []
    desk.receive(frames.result(again.id, {}))
    assert ping.results == [b"{}"]


def test_a_hole_is_asked_for_at_once(desk: Desk) -> None:
    """An update that does not follow makes the session subscribe again from its position."""
    tape, sink = Tape("a"), Basket()
    desk.follow(tape, sink)
    lost, later = tape.write(1), tape.write(2)
    desk.receive(later)
    subscribe = desk.only("subscribe")
    assert subscribe.params["since"]["seq"] == 0
    desk.answer(subscribe, tape.position, recovered=True)
    desk.receive(lost, later)
    seqs = [f.position.seq for f in sink.frames if isinstance(f, Update) and f.position]
    assert seqs == [1, 2]


def test_a_head_that_was_not_reached_is_asked_for(desk: Desk) -> None:
    """Two heartbeats with a head beyond the position make the session ask again."""
    tape = Tape("a")
    desk.follow(tape, Basket())
    beat = frames.heartbeat(1, {"a": 1, "unknown": 7})
    desk.receive(beat)
    assert desk.heard() == []
    desk.receive(beat)
    assert desk.only("subscribe").params["since"]["seq"] == 0


def test_a_slow_application_rests_and_resumes(desk: Desk) -> None:
    """A full sink gives its subscription up at the hub, and asks from its position later."""
    tape, sink = Tape("a"), Basket(room=3)
    tracker = desk.follow(tape, sink)
    written = [tape.write(n) for n in range(4)]
    desk.receive(*written)
    assert len(sink.frames) == 3
    assert desk.only("unsubscribe").params == {"channel": "a"}
    desk.session.closed()
    desk.receive(WELCOME)
    assert desk.heard() == [], "a reconnect does not ask for what there is no room for"
    sink.frames.clear()
    desk.session.resume(tracker)
    subscribe = desk.only("subscribe")
    assert subscribe.params["since"]["seq"] == 2
    desk.answer(subscribe, tape.position, recovered=True)
    desk.receive(written[2])
    assert len(sink.frames) == 2


def test_no_room_for_the_answer_rests_too(desk: Desk) -> None:
    """A sink that a Reset fills is asked for nothing more."""
    sink = Basket(room=1)
    desk.session.subscribe(Tracker("a", since=Position("e0", 1, "t")), sink)
    desk.answer(desk.only("subscribe"), Position("e1", 0, ""))
    assert isinstance(sink.frames[0], Reset)
    assert desk.only("unsubscribe").method == "unsubscribe"


def test_resuming_what_was_left_does_nothing(desk: Desk) -> None:
    """A consumer that drains a subscription after closing it asks for nothing."""
    tracker = desk.follow(Tape("a"), Basket())
    desk.session.unsubscribe(tracker)
    desk.heard()
    desk.session.resume(tracker)
    assert desk.heard() == []


def test_a_final_refusal_ends_a_subscription(desk: Desk) -> None:
    """A channel that may not be read ends its subscription with a typed error, and no other."""
    sink = Basket()
    desk.follow(Tape("b"), Basket())
    desk.session.subscribe(Tracker("a"), sink)
    desk.receive(frames.error(desk.only("subscribe").id, codes.FORBIDDEN, "no"))
    [error] = sink.ended
    assert isinstance(error, Forbidden)
    desk.session.closed()
    desk.receive(WELCOME)
    assert desk.only("subscribe").params["channel"] == "b"


def test_a_passing_refusal_of_a_subscription_is_repeated(desk: Desk) -> None:
    """A subscribe that failed for now is sent again after a delay that grows."""
    tracker, sink = Tracker("a"), Basket()
    desk.session.subscribe(tracker, sink)
    for attempt in (1, 2):
        subscribe = desk.only("subscribe")
        desk.receive(frames.error(subscribe.id, codes.UNAVAILABLE, "not now"))
        assert desk.heard() == []
        count, repeat = desk.delayed.pop()
        assert count == attempt
        repeat()
    desk.answer(desk.only("subscribe"), Position("e", 0, ""))
    repeat()
    assert desk.heard() == [], "what was answered is not repeated"
    assert sink.ended == []


def test_a_delayed_repeat_yields_to_a_reconnect(desk: Desk) -> None:
    """A repeat that comes due after a reconnect asked already does not ask twice."""
    desk.session.subscribe(Tracker("a"), Basket())
    desk.receive(frames.error(desk.only("subscribe").id, codes.UNAVAILABLE, "not now"))
    desk.session.closed()
    desk.receive(WELCOME)
    desk.only("subscribe")
    desk.delayed.pop()[1]()
    assert desk.heard() == []


def test_a_repeat_of_what_was_left_does_nothing(desk: Desk) -> None:
    """A subscription that was closed while a repeat was due stays closed."""
    tracker = Tracker("a")
    desk.session.subscribe(tracker, Basket())
    desk.receive(frames.error(desk.only("subscribe").id, codes.UNAVAILABLE, "not now"))
    desk.session.unsubscribe(tracker)
    desk.heard()
    desk.delayed.pop()[1]()
    assert desk.heard() == []


def test_requests_are_answered_once(desk: Desk) -> None:
    """A result or a final refusal ends a request; a refusal for now is repeated."""
    good, bad, late = Outcome(), Outcome(), Outcome()
    for outcome in (good, bad, late):
        desk.session.request(outcome.request)
    first, second, third = desk.heard()
    desk.receive(
        frames.result(first.id, {"x": 1}),
        frames.error(second.id, codes.INVALID_DATA, "NaN"),
        frames.error(third.id, codes.FAILED, "again"),
        frames.result(first.id, {"x": 2}),
        frames.error(None, codes.BAD_REQUEST, "somebody's"),
        frames.error(77, codes.BAD_REQUEST, "nobody's"),
    )
    assert good.results == [b'{"x":1}']
    assert [type(error) for error in bad.errors] == [Refused]
    count, repeat = desk.delayed.pop()
    assert count == 1
    repeat()
    desk.receive(frames.result(desk.only("ping").id, {}))
    assert late.results == [b"{}"]
    repeat()
    assert desk.heard() == []


def test_a_forgotten_request_hears_nothing(desk: Desk) -> None:
    """A request that nobody waits for is neither answered nor sent again."""
    ping = Outcome()
    desk.session.request(ping.request)
    heard = desk.only("ping")
    desk.session.forget(ping.request)
    desk.receive(frames.result(heard.id, {}))
    desk.session.closed()
    desk.receive(WELCOME)
    assert desk.heard() == []
    assert (ping.results, ping.errors) == ([], [])
    desk.session.forget(ping.request)


def test_a_command_that_no_hub_takes_is_not_sent(desk: Desk) -> None:
    """A publish larger than a frame may be is refused here, and costs no connection."""
    big = Outcome("publish", {"data": "x" * MAX_COMMAND_BYTES})
    with pytest.raises(Refused) as refusal:
        desk.session.request(big.request)
    assert refusal.value.code == codes.TOO_LARGE.number
    assert desk.heard() == []


def test_the_end_ends_everything(desk: Desk) -> None:
    """When no other connection comes, every subscription and request is told why."""
    sink, ping, why = Basket(), Outcome(), Closed("over")
    desk.follow(Tape("a"), sink)
    desk.session.request(ping.request)
    desk.session.end(why)
    assert sink.ended == [why]
    assert ping.errors == [why]
    assert desk.heard() == []


def test_frames_of_a_later_version_are_ignored(desk: Desk) -> None:
    """An unknown frame, or a notice, disturbs nothing."""
    sink = Basket()
    desk.follow(Tape("a"), sink)
    desk.receive(b'{"type":"fireworks"}', frames.shutdown_notice(1, 1))
    assert [type(frame) for frame in sink.frames] == [Snapshot]
