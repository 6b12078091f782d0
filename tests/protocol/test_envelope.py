"""One published change with its position."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.protocol.envelope import (
    Foreign,
    Lease,
    claimed_envelope,
    decode_envelope,
    decode_foreign,
    decode_lease,
    encode_envelope,
    encode_lease,
)
from hub.protocol.errors import EnvelopeError
from hub.protocol.position import Position
from tests.support.vectors import vectors

ENVELOPES = vectors("envelopes")


@pytest.mark.parametrize("chain", ENVELOPES["chains"], ids=lambda chain: chain["name"])
def test_envelopes_are_those_of_the_vectors(chain: dict[str, Any]) -> None:
    """Each entry is written and read byte for byte, and follows the one before."""
    at = Position(chain["epoch"], 0, "")
    for entry in chain["entries"]:
        data, text = entry["data"].encode(), entry["text"].encode()
        written = encode_envelope(chain["channel"], entry["event"], at, entry["ts"], data)
        read = decode_envelope(chain["channel"], text)
        assert written == read
        assert written.payload == text
        assert read.data == data
        assert (read.seq, read.event, read.ts) == (entry["seq"], entry["event"], entry["ts"])
        assert claimed_envelope(chain["channel"], text) == read
        assert read.follows(at)
        at = read.position


@pytest.mark.parametrize("case", ENVELOPES["refused"], ids=lambda case: str(case["why"]))
def test_what_no_script_wrote_is_refused(case: dict[str, Any]) -> None:
    """Anything else on a channel's name or stream is refused, with its beginning shown."""
    with pytest.raises(EnvelopeError, match="expected an envelope of"):
        decode_envelope(case["channel"], case["text"].encode())


FIRST = encode_envelope("a", "set", Position("e1", 0, ""), 1, b"1")


@pytest.mark.parametrize(
    "position",
    [
        Position("e1", 1, FIRST.position.tag),
        Position("e2", 0, ""),
        Position("e1", 0, "00000000"),
        Position("e1", 5, ""),
    ],
    ids=["itself", "another epoch", "a fork", "a hole"],
)
def test_only_the_predecessor_is_followed(position: Position) -> None:
    """An entry follows no other position than its predecessor's."""
    assert FIRST.follows(Position("e1", 0, ""))
    assert not FIRST.follows(position)


def test_changed_data_is_noticed() -> None:
    """An entry whose data was replaced no longer follows."""
    forged = decode_envelope("a", FIRST.payload.replace(b'"data":1', b'"data":2'))
    assert not forged.follows(Position("e1", 0, ""))


@given(st.binary(max_size=60))
def test_any_data_survives_the_head(data: bytes) -> None:
    """The data is cut out by the head alone, whatever it holds."""
    written = encode_envelope("a", "set", Position("e1", 7, "0011aabb"), 9, data)
    assert decode_envelope("a", written.payload) == written


@pytest.mark.parametrize(
    ("payload", "foreign"),
    [
        (b'{"event":"news","data":{"p":1.50}}', Foreign("news", b'{"p":1.50}')),
        (b'{"event":"news","data":null,"more":1}', Foreign("news", b"null")),
        (b'{"event":"two words","data":1}', Foreign("message", b'{"event":"two words","data":1}')),
        (b'{"event":1,"data":1}', Foreign("message", b'{"event":1,"data":1}')),
        (b'{"event":"news"}', Foreign("message", b'{"event":"news"}')),
        (b' "hello" ', Foreign("message", b'"hello"')),
    ],
)
def test_foreign_publishes_name_their_event_or_not(payload: bytes, foreign: Foreign) -> None:
    """A bare publish is its own data, unless it names an event."""
    assert decode_foreign("news", payload) == foreign
    assert claimed_envelope("a", payload) is None


@pytest.mark.parametrize("payload", [FIRST.payload[:-1], FIRST.payload.replace(b'"a"', b'"b"')])
def test_what_claims_to_be_an_envelope_is_held_to_it(payload: bytes) -> None:
    """Bytes with an envelope's head are no foreign publish, whatever else is wrong with them."""
    with pytest.raises(EnvelopeError, match="expected an envelope of a, got"):
        claimed_envelope("a", payload)


@pytest.mark.parametrize("payload", [b"hello", b"\xff", b'{"price":"NaN"}', b"[" * 100])
def test_poison_is_no_foreign_publish(payload: bytes) -> None:
    """What must not reach a subscriber is refused."""
    with pytest.raises(EnvelopeError, match="foreign publish refused"):
        decode_foreign("news", payload)


def test_commands_are_not_spoken_of_by_strangers() -> None:
    """It could be taken for a step of one."""
    with pytest.raises(EnvelopeError, match="foreign publish refused"):
        decode_foreign("commands:desk-7", b'{"event":"command.done","data":{"id":"c1"}}')


@pytest.mark.parametrize(
    "lease",
    [Lease(5000, Position("kT9a", 12, "0011aabb")), Lease(0, Position("kT9a", 0, ""))],
)
def test_leases_are_read_as_written(lease: Lease) -> None:
    """A renewed lease names its length and the channel's head."""
    assert decode_lease(encode_lease(lease)) == lease


@pytest.mark.parametrize(
    "payload", [b"", b"~", b"~5000 kT9a 12", b"5000 kT9a 12 aa", b"{}", b"~5 a 1 x"]
)
def test_other_bytes_are_no_lease(payload: bytes) -> None:
    """Anything else is left for the other readers."""
    assert decode_lease(payload) is None
