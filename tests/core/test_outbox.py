"""Tests of hub.core.outbox; what its subscriptions do is in test_audience.py."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

import pytest

from hub.core.frame import JOINED_BYTES, Frame
from hub.core.limits import Limits
from hub.core.outbox import Outbox
from tests.core.model_hub import PAYLOADS, Transport

LIMITS = Limits(
    outbox_bytes=100, outbox_frames=5, outbox_seconds=10, answer_bytes=200, stall_seconds=8
)


class Way:
    """An outbox, its transport, and short names for what tests do to them."""

    def __init__(self, limits: Limits = LIMITS, **transport: Any) -> None:
        self.transport = Transport(**transport)
        self.outbox = Outbox(PAYLOADS, self.transport.write, limits)
        self.transport.outbox = self.outbox

    def send(self, *payloads: bytes, now: float = 0.0) -> None:
        """Send each of these as a frame."""
        for payload in payloads:
            self.outbox.send(Frame(payload), now)

    @property
    def written(self) -> list[bytes]:
        """What reached the transport since this was asked last."""
        return [payload for _, payload in self.transport.take()]


@pytest.fixture
def way() -> Way:
    """An outbox before a transport that takes everything."""
    return Way()


def test_frames_go_straight_to_a_transport_that_takes_them(way: Way) -> None:
    """Nothing waits where nothing must."""
    way.send(b"1", b"2")
    assert way.written == [b"1", b"2"]
    assert way.outbox.clear
    assert way.outbox.waiting_bytes == 0


def test_frames_wait_in_order_for_a_paused_transport(way: Way) -> None:
    """What comes later never overtakes."""
    way.outbox.pause(0.0)
    way.send(b"1", b"22")
    assert way.written == []
    assert way.outbox.paused
    assert way.outbox.waiting_bytes == 3
    way.outbox.resume(1.0)
    way.send(b"3")
    assert way.written == [b"1", b"22", b"3"]
    assert way.outbox.waiting_bytes == 0


def test_a_transport_may_pause_within_each_write() -> None:
    """What waits goes out by as much as there is room, and no frame twice."""
    way = Way(room=1)
    way.send(b"1", b"2", b"3", b"4")
    assert way.written == [b"1"]
    way.transport.make_room(2)
    assert way.written == [b"2", b"3"]
    way.send(b"5")
    way.transport.make_room(None)
    assert way.written == [b"4", b"5"]


def test_a_transport_may_resume_within_its_write() -> None:
    """Frames stay in order where room is made while one is being written."""
    way = Way(room=1, eager=True)
    way.outbox.pause(0.0)
    way.send(b"1", b"2", b"3")
    way.outbox.resume(0.0)
    way.send(b"4")
    assert way.written == [b"1", b"2", b"3", b"4"]


def test_a_second_pause_is_no_later_one(way: Way) -> None:
    """A stall counts from when the transport stopped taking bytes."""
    way.outbox.pause(1.0)
    way.outbox.pause(5.0)
    assert way.outbox.next_deadline() == 9.0


@pytest.mark.parametrize(
    "payloads", [[b"x" * 101], [b"x" * 60, b"x" * 41], [b"x"] * 6], ids=["one", "bytes", "frames"]
)
def test_more_than_may_wait_overflows(way: Way, payloads: list[bytes]) -> None:
    """The bounds are in bytes and in frames."""
    way.outbox.pause(0.0)
    way.send(*payloads[:-1])
    assert not way.outbox.is_too_slow(0.0)
    way.send(payloads[-1])
    assert way.outbox.overflowed
    assert way.outbox.is_too_slow(0.0)
    assert way.outbox.waiting_bytes <= 100


def test_nothing_follows_a_frame_that_was_not_taken(way: Way) -> None:
    """A smaller frame that has room, or one after the transport resumed, would hide a hole."""
    way.outbox.pause(0.0)
    way.send(b"x" * 101, b"small")
    way.outbox.resume(0.0)
    way.send(b"later")
    assert way.written == []
    assert way.outbox.is_too_slow(0.0)


def test_what_waits_too_long_is_too_slow(way: Way) -> None:
    """The age of the oldest frame counts, through pauses and resumes."""
    way = Way(room=1)
    way.send(b"1")
    way.send(b"2", b"3", now=2.0)
    way.transport.now = 5.0
    way.transport.make_room(1)
    assert way.written == [b"1", b"2"]
    assert way.outbox.next_deadline() == 12.0
    assert not way.outbox.is_too_slow(11.9)
    assert way.outbox.is_too_slow(12.0)


def test_a_transport_that_takes_nothing_is_stalled(way: Way) -> None:
    """Whether or not anything waits."""
    assert way.outbox.next_deadline() == inf
    way.outbox.pause(1.0)
    assert way.outbox.next_deadline() == 9.0
    assert not way.outbox.is_stalled(8.9)
    assert way.outbox.is_stalled(9.0)
    way.outbox.resume(9.0)
    assert not way.outbox.is_stalled(99.0)


# Answers


def answer_of(*payloads: bytes) -> list[Frame]:
    """The frames of an answer."""
    return [Frame(payload) for payload in payloads]


def test_an_answer_may_wait_beyond_the_bound() -> None:
    """A client that asked for more than may wait gets it, and then what came since."""
    way = Way(room=1)
    way.outbox.send_answer(answer_of(b"1", *[b"x" * 20] * 9), 0.0)
    way.send(b"live")
    assert not way.outbox.overflowed
    way.transport.make_room(None)
    assert way.written == [b"1", *[b"x" * 20] * 9, b"live"]


def test_answers_have_a_bound_of_their_own() -> None:
    """Until all has gone, answers share one; what is beyond waits as any frame does."""
    way = Way(room=1)
    big = answer_of(b"x" * 150)
    assert way.outbox.has_room_for(big)
    way.outbox.send(Frame(b"x"), 0.0)
    way.outbox.send_answer(big, 0.0)
    assert not way.outbox.has_room_for(big)
    way.outbox.send_answer(answer_of(b"x" * 90), 0.0)
    assert not way.outbox.overflowed
    way.outbox.send_answer(answer_of(b"x" * 90), 0.0)
    assert way.outbox.overflowed


def test_room_for_answers_comes_back_when_all_has_gone() -> None:
    """Whether the answer waited, or the transport took it at once."""
    way, big = Way(room=1), answer_of(b"x" * 150)
    way.outbox.send(Frame(b"x"), 0.0)
    way.outbox.send_answer(big, 0.0)
    way.transport.make_room(None)
    assert way.outbox.has_room_for(big)
    way.outbox.send_answer(big, 0.0)
    assert way.outbox.has_room_for(big)


def test_a_small_answer_is_handed_over_in_one_go() -> None:
    """Where nothing waits; a large one is shared, not copied."""
    transport = Transport()
    pieces: list[Sequence[bytes]] = []
    outbox = transport.outbox = Outbox(PAYLOADS, pieces.append, LIMITS)
    outbox.send_answer(answer_of(b"1", b"2"), 0.0)
    outbox.send_answer(answer_of(b"x" * JOINED_BYTES, b"2"), 0.0)
    outbox.pause(0.0)
    outbox.send_answer(answer_of(b"3"), 0.0)
    assert pieces == [[b"1", b"2"], [b"x" * JOINED_BYTES], [b"2"]]
    assert outbox.waiting_bytes == 1


def test_what_is_discarded_is_never_sent(way: Way) -> None:
    """An outbox whose session ended holds nothing."""
    way.outbox.pause(0.0)
    way.send(b"1")
    way.outbox.discard()
    assert way.outbox.waiting_bytes == 0
    assert way.written == []
