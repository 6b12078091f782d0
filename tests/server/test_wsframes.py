"""Frames from a client, section by section of RFC 6455, and the hub's own."""

from __future__ import annotations

import sys

import pytest
from websockets.frames import Frame, Opcode
from websockets.utils import apply_mask as apply_mask_in_python

from hub.protocol.codes import BAD_TEXT, PROTOCOL_BREACH, TOO_BIG, UNSUPPORTED, Code
from hub.server import wsframes
from hub.server.deflate import deflate
from hub.server.wsframes import (
    MAX_BYTES,
    NO_STATUS,
    Breach,
    Close,
    Event,
    FrameReader,
    InflatingReader,
    Ping,
    Pong,
    Text,
    encode_close,
    encode_compressed_text,
    encode_ping,
    encode_pong,
    encode_text,
)
from tests.support.client_frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    client_frame,
    close_payload,
)


def read(*frames: bytes, max_bytes: int = MAX_BYTES) -> list[Event]:
    """Return what a new reader makes of these frames, arriving together."""
    return FrameReader(max_bytes).receive(b"".join(frames))


def breach_of(*frames: bytes, max_bytes: int = MAX_BYTES) -> Code:
    """Return the code of the breach that these frames end in, and in nothing else."""
    [breach] = read(*frames, max_bytes=max_bytes)
    assert isinstance(breach, Breach)
    assert breach.reason
    return breach.code


# 5.2 Base framing


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_a_text_of_any_length_encoding_arrives_unmasked(size: int) -> None:
    """A text frame is delivered with its payload unmasked, whichever encoding its length has."""
    payload = (b"tapecast" * (size // 8 + 1))[:size]
    assert read(client_frame(TEXT, payload)) == [Text(payload)]


def test_a_frame_cut_at_every_byte_arrives_whole() -> None:
    """Bytes that come one at a time make the same events as bytes that come together."""
    stream = client_frame(TEXT, b"a" * 200) + client_frame(PING, b"b") + client_frame(TEXT, b"c")
    reader = FrameReader()
    events = [event for byte in stream for event in reader.receive(bytes((byte,)))]
    assert events == [Text(b"a" * 200), Ping(b"b"), Text(b"c")]


def test_frames_that_arrive_together_are_delivered_in_order() -> None:
    """Several frames and a half in one read give their events, and the half waits for its rest."""
    last = client_frame(TEXT, b"three")
    reader = FrameReader()
    together = client_frame(TEXT, b"one") + client_frame(PONG, b"two") + last[:7]
    assert reader.receive(together) == [Text(b"one"), Pong(b"two")]
    assert reader.receive(b"") == []
    assert reader.receive(last[7:]) == [Text(b"three")]


@pytest.mark.parametrize("reserved", [0b100, 0b010, 0b001])
def test_a_reserved_bit_is_a_breach(reserved: int) -> None:
    """No extension is negotiated, so a reserved bit has no meaning and ends the connection."""
    assert breach_of(client_frame(TEXT, b"x", reserved=reserved)) is PROTOCOL_BREACH


@pytest.mark.parametrize("opcode", [0x3, 0x7, 0xB, 0xF])
def test_a_reserved_opcode_is_a_breach(opcode: int) -> None:
    """An opcode that the RFC reserves ends the connection."""
    assert breach_of(client_frame(opcode, b"x")) is PROTOCOL_BREACH


@pytest.mark.parametrize(("size", "width"), [(0, 2), (125, 2), (125, 8), (126, 8), (65_535, 8)])
def test_a_length_not_in_its_shortest_encoding_is_a_breach(size: int, width: int) -> None:
    """The minimal number of bytes must be used to encode the length."""
    assert breach_of(client_frame(TEXT, b"x" * size, length_width=width)) is PROTOCOL_BREACH


# 5.1 and 5.3 Masking


def test_an_unmasked_frame_is_a_breach() -> None:
    """A server must close the connection upon receiving a frame that is not masked."""
    assert breach_of(client_frame(TEXT, b"x", mask=None)) is PROTOCOL_BREACH


@pytest.mark.parametrize("mask", [b"\0\0\0\0", b"\xff\0\xff\0", b"\x01\x02\x03\x04"])
def test_every_mask_is_undone(mask: bytes) -> None:
    """A payload is the same under any mask."""
    assert read(client_frame(TEXT, b"seven77", mask=mask)) == [Text(b"seven77")]


def test_the_mask_is_undone_without_the_compiled_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where websockets has no compiled extension, its Python function does the same."""
    monkeypatch.setattr(wsframes, "apply_mask", apply_mask_in_python)
    assert read(client_frame(TEXT, b"abcde" * 100)) == [Text(b"abcde" * 100)]


# 5.4 Fragmentation


def test_fragments_are_delivered_as_one_text() -> None:
    """A message in fragments, empty ones and a cut character among them, is delivered whole."""
    euro = "€".encode()
    events = read(
        client_frame(TEXT, b"1 " + euro[:1], fin=False),
        client_frame(CONTINUATION, b"", fin=False),
        client_frame(CONTINUATION, euro[1:]),
    )
    assert events == [Text(b"1 " + euro)]


def test_control_frames_come_between_fragments() -> None:
    """A ping between two fragments is answered at once, not after the message."""
    events = read(
        client_frame(TEXT, b"a", fin=False),
        client_frame(PING, b"p"),
        client_frame(CONTINUATION, b"b"),
    )
    assert events == [Ping(b"p"), Text(b"ab")]


def test_a_continuation_of_nothing_is_a_breach() -> None:
    """A continuation needs a message that it continues."""
    assert breach_of(client_frame(CONTINUATION, b"x")) is PROTOCOL_BREACH


def test_a_continuation_after_the_last_fragment_is_a_breach() -> None:
    """FIN ends a message: the next continuation continues nothing."""
    frames = [
        client_frame(TEXT, b"a", fin=False),
        client_frame(CONTINUATION, b"b"),
        client_frame(CONTINUATION, b"c"),
    ]
    text, breach = read(*frames)
    assert text == Text(b"ab")
    assert isinstance(breach, Breach)
    assert breach.code is PROTOCOL_BREACH


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_new_message_within_a_fragmented_one_is_a_breach(opcode: int) -> None:
    """The fragments of two messages must not be interleaved."""
    frames = client_frame(TEXT, b"a", fin=False), client_frame(opcode, b"b")
    assert breach_of(*frames) is PROTOCOL_BREACH


# 5.5 Control frames


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
def test_a_control_frame_over_125_bytes_is_a_breach(opcode: int) -> None:
    """A control frame must have a payload length of 125 bytes or less."""
    assert breach_of(client_frame(opcode, close_payload(1000, b"x" * 124))) is PROTOCOL_BREACH


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
def test_a_fragmented_control_frame_is_a_breach(opcode: int) -> None:
    """A control frame must not be fragmented."""
    assert breach_of(client_frame(opcode, fin=False)) is PROTOCOL_BREACH


@pytest.mark.parametrize("payload", [b"", b"\xff\x00", b"x" * 125])
def test_pings_and_pongs_carry_any_bytes(payload: bytes) -> None:
    """A ping and a pong are delivered with their payload, which need not be text."""
    frames = client_frame(PING, payload), client_frame(PONG, payload)
    assert read(*frames) == [Ping(payload), Pong(payload)]


def test_an_empty_close_has_no_status() -> None:
    """A close frame without a code is delivered with the code that stands for none."""
    assert read(client_frame(CLOSE)) == [Close(NO_STATUS, "")]


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1014, 3000, 4508, 4999])
def test_a_close_with_a_code_that_may_be_sent_is_delivered(code: int) -> None:
    """A close frame is delivered with its code and its reason."""
    frame = client_frame(CLOSE, close_payload(code, "größer".encode()))
    assert read(frame) == [Close(code, "größer")]


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535])
def test_a_close_with_a_code_that_must_not_be_sent_is_a_breach(code: int) -> None:
    """Reserved, internal and undefined codes must not be in a close frame."""
    assert breach_of(client_frame(CLOSE, close_payload(code))) is PROTOCOL_BREACH


def test_a_close_of_one_byte_is_a_breach() -> None:
    """A close frame that has a body has at least the two bytes of its code."""
    assert breach_of(client_frame(CLOSE, b"\x03")) is PROTOCOL_BREACH


def test_a_close_reason_that_is_not_utf8_is_bad_text() -> None:
    """A reason must be UTF-8, and a cut character is not."""
    assert breach_of(client_frame(CLOSE, close_payload(1000, b"\xe2\x82"))) is BAD_TEXT


def test_a_close_within_a_fragmented_message_is_a_breach() -> None:
    """A message that its client never ended is a breach, though the close frame is right."""
    frames = client_frame(TEXT, b"a", fin=False), client_frame(CLOSE, close_payload(1000))
    assert breach_of(*frames) is PROTOCOL_BREACH


# 5.6 and 8.1 Data frames


@pytest.mark.parametrize("fin", [True, False])
def test_binary_is_refused(fin: bool) -> None:
    """A binary message is refused at its first header: this protocol is text."""
    assert breach_of(client_frame(BINARY, fin=fin, declared=100)) is UNSUPPORTED


@pytest.mark.parametrize(
    "payload",
    [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"ok \xe2\x82"],
    ids=["not a byte of UTF-8", "overlong", "surrogate", "over U+10FFFF", "cut character"],
)
def test_text_that_is_not_utf8_is_bad_text(payload: bytes) -> None:
    """A text that is not UTF-8 ends the connection, in one frame or in fragments."""
    assert breach_of(client_frame(TEXT, payload)) is BAD_TEXT
    fragments = client_frame(TEXT, payload, fin=False), client_frame(CONTINUATION)
    assert breach_of(*fragments) is BAD_TEXT


# 10.4 Bounds


def test_a_message_at_its_bound_is_taken_and_one_byte_more_is_not() -> None:
    """The bound is the largest message that is taken."""
    assert read(client_frame(TEXT, b"x" * 100), max_bytes=100) == [Text(b"x" * 100)]
    assert breach_of(client_frame(TEXT, b"x" * 101), max_bytes=100) is TOO_BIG


@pytest.mark.parametrize("declared", [65_537, 2**31, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_declared_length_over_the_bound_is_refused_before_its_payload(declared: int) -> None:
    """The header alone is enough to refuse a message, even before its mask."""
    header = client_frame(TEXT, declared=declared)[:10]
    assert breach_of(header) is TOO_BIG


def test_fragments_are_bounded_by_their_sum() -> None:
    """The fragment that would take a message over the bound is refused at its header."""
    held = client_frame(TEXT, b"x" * 60, fin=False)
    assert read(held, client_frame(CONTINUATION, b"x" * 40), max_bytes=100) == [Text(b"x" * 100)]
    assert breach_of(held, client_frame(CONTINUATION, declared=41), max_bytes=100) is TOO_BIG


def test_a_control_frame_does_not_count_against_the_message_around_it() -> None:
    """A ping within a message that is nearly at its bound is no part of it."""
    events = read(
        client_frame(TEXT, b"x" * 190, fin=False),
        client_frame(PING, b"p" * 125),
        client_frame(CONTINUATION, b"y" * 10),
        max_bytes=200,
    )
    assert events == [Ping(b"p" * 125), Text(b"x" * 190 + b"y" * 10)]


def test_endless_empty_fragments_hold_no_memory() -> None:
    """Fragments that add nothing to a message are not kept one by one."""
    reader = FrameReader()
    reader.receive(client_frame(TEXT, b"x", fin=False))
    reader.receive(client_frame(CONTINUATION, b"", fin=False) * 10_000)
    held = reader._fragments
    assert held is not None
    assert sys.getsizeof(held) < 100


# 5.5.1 and 7.1.7 The end


@pytest.mark.parametrize(
    "last",
    [client_frame(CLOSE, close_payload(1000)), client_frame(TEXT, b"\xff")],
    ids=["close", "breach"],
)
def test_nothing_is_read_after_the_end(last: bytes) -> None:
    """What comes before a close or a breach is delivered; what comes after it never is."""
    reader = FrameReader()
    before, end = reader.receive(client_frame(TEXT, b"a") + last + client_frame(TEXT, b"b"))
    assert before == Text(b"a")
    assert isinstance(end, Close | Breach)
    assert reader.ended
    assert reader.receive(client_frame(TEXT, b"c")) == []


def test_a_reader_holds_nothing_while_idle() -> None:
    """An idle reader is its slots and nothing else: no buffer, no dict, no generator."""
    reader = FrameReader()
    frame = client_frame(TEXT, b"x" * 1000)
    fragments = client_frame(TEXT, b"a", fin=False) + client_frame(CONTINUATION, b"b")
    for part in (frame[:500], frame[500:], fragments):
        reader.receive(part)
    assert not hasattr(reader, "__dict__")
    assert reader._partial is None
    assert reader._fragments is None
    assert sys.getsizeof(reader) <= 64


# The hub's own frames


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_a_text_frame_is_encoded_as_websockets_does(size: int) -> None:
    """The hub's text frame is unmasked, with FIN, and its length in the shortest encoding."""
    payload = b"x" * size
    assert encode_text(payload) == Frame(Opcode.TEXT, payload).serialize(mask=False)


@pytest.mark.parametrize("payload", [b"", b"\x00\xff", b"x" * 125])
def test_pings_and_pongs_are_encoded_as_websockets_does(payload: bytes) -> None:
    """The hub's ping and pong are unmasked and carry the payload as it is."""
    assert encode_ping(payload) == Frame(Opcode.PING, payload).serialize(mask=False)
    assert encode_pong(payload) == Frame(Opcode.PONG, payload).serialize(mask=False)


def test_a_ping_over_125_bytes_is_not_encoded() -> None:
    """A control frame that the RFC forbids is an error of its caller."""
    with pytest.raises(ValueError, match="126 bytes; at most 125"):
        encode_ping(b"x" * 126)
    with pytest.raises(ValueError, match="126 bytes; at most 125"):
        encode_pong(b"x" * 126)


def test_a_close_frame_carries_code_and_reason() -> None:
    """A close frame has its code in two bytes, then its reason in UTF-8."""
    assert encode_close(4508, "zu groß") == b"\x88\x0a" + close_payload(4508, "zu groß".encode())


def test_no_status_is_an_empty_close_frame() -> None:
    """The code that stands for none is never on the wire."""
    assert encode_close(NO_STATUS) == b"\x88\x00"


@pytest.mark.parametrize("code", [0, 1004, 1006, 1015, 2999, 5000])
def test_a_code_that_must_not_be_sent_is_not_encoded(code: int) -> None:
    """A close frame that its receiver would have to refuse is an error of its caller."""
    with pytest.raises(ValueError, match=f"close code {code} must not be sent"):
        encode_close(code)


def test_a_long_reason_is_cut_at_a_character() -> None:
    """A reason that does not fit is shortened, and stays UTF-8."""
    frame = encode_close(1002, "x" * 122 + "€")
    assert frame == b"\x88\x7c" + close_payload(1002, b"x" * 122)


# RFC 7692 section 6, Compression


def inflated(*frames: bytes, max_bytes: int = MAX_BYTES) -> list[Event]:
    """Return what a new reader makes of these frames where compression was negotiated."""
    return InflatingReader(max_bytes).receive(b"".join(frames))


@pytest.mark.parametrize("size", [0, 1, 1000, 65_536])
def test_a_compressed_text_arrives_inflated(size: int) -> None:
    """RSV1 says that a message is compressed; one without it is taken as it is."""
    payload = (b"tapecast" * (size // 8 + 1))[:size]
    frame = client_frame(TEXT, deflate(payload), reserved=0b100)
    assert inflated(frame, client_frame(TEXT, payload)) == [Text(payload), Text(payload)]


def test_a_compressed_text_in_fragments_arrives_whole() -> None:
    """Cut anywhere in its compressed bytes, with other frames between; RSV1 is in the first."""
    payload = b"a text that is cut " * 20
    compressed = deflate(payload)
    for cut in range(len(compressed) + 1):
        assert inflated(
            client_frame(TEXT, compressed[:cut], fin=False, reserved=0b100),
            client_frame(PING, b"still here"),
            client_frame(CONTINUATION, compressed[cut:]),
            client_frame(TEXT, b"plain", fin=False),
            client_frame(CONTINUATION, b"ly"),
        ) == [Ping(b"still here"), Text(payload), Text(b"plainly")]


@pytest.mark.parametrize(
    "frames",
    [
        (client_frame(PING, b"x", reserved=0b100),),
        (client_frame(CLOSE, close_payload(1000), reserved=0b100),),
        (
            client_frame(TEXT, deflate(b"x")[:1], fin=False, reserved=0b100),
            client_frame(CONTINUATION, deflate(b"x")[1:], reserved=0b100),
        ),
        (
            client_frame(TEXT, b"x", fin=False),
            client_frame(CONTINUATION, deflate(b"x"), reserved=0b100),
        ),
        (client_frame(TEXT, deflate(b"x"), reserved=0b110),),
        (client_frame(TEXT, b"not deflated", reserved=0b100),),
    ],
    ids=["ping", "close", "continuation", "late", "other bits", "not deflated"],
)
def test_compression_in_a_wrong_place_is_a_breach(frames: tuple[bytes, ...]) -> None:
    """Control frames are never compressed, a message is so from its first frame on, and what says
    that it is must be."""
    [breach] = inflated(*frames)
    assert isinstance(breach, Breach)
    assert breach.code is PROTOCOL_BREACH


def test_a_compressed_text_must_be_utf_8() -> None:
    """As any text."""
    [breach] = inflated(client_frame(TEXT, deflate(b"\xff"), reserved=0b100))
    assert isinstance(breach, Breach)
    assert breach.code is BAD_TEXT


@pytest.mark.parametrize("size", [101, 10_000])
def test_what_a_message_inflates_to_is_bounded(size: int) -> None:
    """In one frame or in several, the bound is that of any message."""
    bomb = deflate(b"x" * size)
    whole = inflated(client_frame(TEXT, bomb, reserved=0b100), max_bytes=100)
    halves = inflated(
        client_frame(TEXT, deflate(b"x" * 60) + b"\0\0\xff\xff", fin=False, reserved=0b100),
        client_frame(CONTINUATION, deflate(b"x" * 41)),
        max_bytes=100,
    )
    for [breach] in (whole, halves):
        assert isinstance(breach, Breach)
        assert breach.code is TOO_BIG
        assert breach.reason == "message inflates to more than 100 bytes"


def test_nothing_of_zlib_is_kept_between_messages() -> None:
    """Only while a compressed message is incomplete, and no longer than the stream lasts."""
    reader = InflatingReader()
    compressed = deflate(b"text")
    reader.receive(client_frame(TEXT, compressed, reserved=0b100))
    assert reader._inflater is None
    reader.receive(client_frame(TEXT, compressed[:2], fin=False, reserved=0b100))
    assert reader._inflater is not None
    reader.receive(client_frame(CLOSE))
    assert reader.ended
    assert reader._inflater is None


def test_a_compressed_text_of_ours_is_read_as_one() -> None:
    """It differs from any other by RSV1 alone."""
    payload = deflate(b"text")
    assert encode_compressed_text(payload) == bytes((0xC1, len(payload))) + payload
