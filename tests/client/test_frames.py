"""How the hub's text frames are read."""

from __future__ import annotations

import msgspec
import pytest

from hub.client.frames import (
    Answer,
    Denial,
    Heartbeat,
    Notice,
    ResetNotice,
    Snapshot,
    StateChanged,
    SubscribeResult,
    Update,
    Welcome,
    decode_frame,
)
from hub.protocol import codes, frames
from hub.protocol.envelope import Foreign
from hub.protocol.frames import ChannelState
from hub.protocol.position import Position
from hub.protocol.streams import Kind
from tests.support.fakehub import Tape


def test_update_is_read_with_its_predecessor() -> None:
    """An update that was not conflated follows the seq before its own."""
    tape = Tape("decisions")
    tape.write({"n": 1})
    text = tape.write({"n": 2}, "decision_made")
    update = decode_frame(text)
    assert isinstance(update, Update)
    assert update.channel == "decisions"
    assert update.event == "decision_made"
    assert update.position == tape.position
    assert (update.prev, update.skipped, update.ts) == (1, 0, 1_000)
    assert update.data == {"n": 2}
    assert update.data is update.data, "decoded once"
    assert update.text == text


def test_conflated_update_says_what_it_stands_for() -> None:
    """A conflated update is read with the seq it follows and how many it stands for."""
    text = frames.conflated("portfolio", "set", Position("e", 9, "aa"), 5, b"1", prev=4)
    update = decode_frame(text)
    assert isinstance(update, Update)
    assert (update.prev, update.skipped, update.data) == (4, 4, 1)


def test_foreign_publish_has_no_position() -> None:
    """A foreign publish is read without position and predecessor."""
    update = decode_frame(frames.foreign("news", Foreign("message", b'"hi"'), 7))
    assert isinstance(update, Update)
    assert (update.position, update.prev, update.data) == (None, None, "hi")


def test_snapshot_is_read() -> None:
    """A snapshot carries the whole state at a position."""
    text = frames.snapshot("portfolio", Position("e", 3, "ab"), 9, b'{"balance":"1.50"}')
    snapshot = decode_frame(text)
    assert isinstance(snapshot, Snapshot)
    assert snapshot.position == Position("e", 3, "ab")
    assert snapshot.data == {"balance": "1.50"}
    assert snapshot.text == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (frames.welcome("s1", 5000, "0.1"), Welcome("s1", 5000, "0.1")),
        (frames.heartbeat(4, {"a": 1}), Heartbeat(4, {"a": 1})),
        (frames.shutdown_notice(5000, 3000), Notice("shutdown")),
        (
            frames.channel_state("a", ChannelState.STALE, 3),
            StateChanged(channel="a", state=ChannelState.STALE, since=3),
        ),
        (frames.channel_reset("a", 3, Kind.TABLE), ResetNotice("a", Kind.TABLE)),
        (b'{"type":"channel","channel":"a","state":"reset","since":3}', ResetNotice("a")),
        (frames.result(4, {}), Answer(4, b"{}")),
        (frames.error(4, codes.FORBIDDEN, "no"), Denial(4, 4403, "no")),
        (frames.error(None, codes.BAD_REQUEST, "what"), Denial(None, 4400, "what")),
    ],
)
def test_other_frames_are_read(text: bytes, expected: object) -> None:
    """Every other frame of the hub is read as what it is."""
    assert decode_frame(text) == expected


@pytest.mark.parametrize(
    "text",
    [b'{"type":"fireworks"}', b'{"type":"channel","channel":"a","state":"tired"}', b"{}"],
)
def test_unknown_frames_are_ignored(text: bytes) -> None:
    """A frame of a later version of the protocol is none to this client."""
    assert decode_frame(text) is None


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b'{"type":1}', b'{"type":"welcome","heartbeat_ms":0}', b"\xff"],
)
def test_what_no_hub_sends_is_an_error(text: bytes) -> None:
    """What is no frame raises, so that the connection is given up."""
    with pytest.raises(msgspec.DecodeError):
        decode_frame(text)


def test_unknown_kind_is_none() -> None:
    """A kind of a later version of the protocol is not mistaken for one of today's."""
    known = SubscribeResult("a", "e", 1, "", recovered=False, kind="table")
    later = SubscribeResult("a", "e", 1, "", recovered=False, kind="graph")
    assert known.known_kind is Kind.TABLE
    assert later.known_kind is None
