"""Compression without sockets: what is negotiated, and what is inflated."""

from __future__ import annotations

import tracemalloc
import zlib
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import InvalidHeaderFormat
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
)
from websockets.frames import Frame, Opcode
from websockets.headers import build_extension, parse_extension

from hub.server import deflate as module
from hub.server.deflate import WINDOW_BITS, InflateError, Inflater, deflate, negotiate

AGREED = (
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
    f"server_max_window_bits={WINDOW_BITS}"
)


# Negotiation (RFC 7692 sections 5 and 7.1)


@pytest.mark.parametrize(
    "offer",
    [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; server_max_window_bits=15; client_max_window_bits",
        f"permessage-deflate; server_max_window_bits={WINDOW_BITS}",
        'permessage-deflate;server_max_window_bits="13"',
        "x-webkit-deflate-frame, permessage-deflate",
        "permessage-deflate, permessage-deflate; client_max_window_bits",
    ],
)
def test_an_offer_is_answered_without_context_takeover(offer: str) -> None:
    """Both sides keep no context, whether the client offered that or not, and our window is said;
    the answer is one, whatever else is offered."""
    assert negotiate([offer]) == AGREED


def test_a_window_that_the_client_limits_by_itself_is_repeated() -> None:
    """The largest window inflates a smaller one's messages."""
    offered = negotiate(["permessage-deflate; client_max_window_bits=10"])
    assert offered == f"{AGREED}; client_max_window_bits=10"


@pytest.mark.parametrize(
    "offer",
    [
        "permessage-bzip2",
        "permessage-deflate; unknown",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=015",
        "permessage-deflate; server_max_window_bits=13; server_max_window_bits=13",
        "permessage-deflate; client_max_window_bits=7",
        # A frame is shared, so its window can't be made smaller for one client.
        "permessage-deflate; server_max_window_bits=8",
        f"permessage-deflate; server_max_window_bits={WINDOW_BITS - 1}",
    ],
)
def test_an_offer_that_cannot_be_met_is_declined(offer: str) -> None:
    """An unknown parameter, a repeated one, a wrong value or a smaller window declines the offer;
    the next one is looked at."""
    assert negotiate([offer]) is None
    assert negotiate([offer, "permessage-deflate"]) == AGREED


def test_no_offer_is_no_compression() -> None:
    """A client that says nothing of extensions has none."""
    assert negotiate([]) is None


@pytest.mark.parametrize("value", ["", "permessage-deflate; =1", "a b", 'a; b="c d"', ";"])
def test_what_is_no_list_of_offers_is_an_error(value: str) -> None:
    """RFC 6455 section 9.1 lets such a handshake fail, also at the second time."""
    for _ in range(2):
        with pytest.raises(InvalidHeaderFormat):
            negotiate([value])


def test_only_short_offers_are_remembered() -> None:
    """What clients say is remembered within a bound."""
    module._recall.cache_clear()
    long = f"permessage-deflate; {'x' * 300}"
    assert [negotiate([long]) for _ in range(2)] == [None, None]
    assert module._recall.cache_info().currsize == 0
    assert [negotiate(["permessage-deflate"]) for _ in range(2)] == [AGREED, AGREED]
    assert module._recall.cache_info().hits == 1
    for number in range(100):
        negotiate([f"x-{number}"])
    assert module._recall.cache_info().currsize == module._REMEMBERED_OFFERS


bits = st.sampled_from([None, *range(8, 16)])
clients = st.builds(
    ClientPerMessageDeflateFactory,
    st.booleans(),
    st.booleans(),
    bits,
    st.sampled_from([None, True, *range(9, 16)]),
)


@given(clients)
@settings(deadline=None)
def test_every_client_of_websockets_takes_the_answer(
    client: ClientPerMessageDeflateFactory,
) -> None:
    """Whatever it offers, it takes our answer by its own rules, and keeps no context then."""
    offer = build_extension([(client.name, list(client.get_request_params()))])
    answer = negotiate([offer])
    if answer is None:
        assert client.server_max_window_bits is not None
        assert client.server_max_window_bits < WINDOW_BITS
        return
    [(_, parameters)] = parse_extension(answer)
    agreed = client.process_response_params(parameters, [])
    assert agreed.local_no_context_takeover
    assert agreed.remote_no_context_takeover
    assert agreed.remote_max_window_bits == WINDOW_BITS


# Messages


def of_client(window_bits: int = WINDOW_BITS) -> PerMessageDeflate:
    """What a client of websockets uses once compression was agreed to."""
    return PerMessageDeflate(True, True, window_bits, window_bits)


@given(st.binary(max_size=40) | st.integers(0, 20_000).map(lambda n: Random(n).randbytes(n) * 3))
@settings(deadline=None)
def test_what_is_deflated_is_read_by_a_client_of_websockets(payload: bytes) -> None:
    """Within the window that was agreed to, each message by itself."""
    client = of_client()
    for _ in range(2):
        frame = Frame(Opcode.TEXT, deflate(payload), rsv1=True)
        assert bytes(client.decode(frame).data) == payload


@given(st.text(max_size=300), st.integers(9, 15))
@settings(deadline=None)
def test_what_a_client_of_websockets_deflates_is_inflated(text: str, window_bits: int) -> None:
    """Whatever its window is."""
    payload = text.encode()
    compressed = bytes(of_client(window_bits).encode(Frame(Opcode.TEXT, payload)).data)
    assert Inflater().inflate(compressed, len(payload), last=True) == payload


def test_the_examples_of_the_rfc_are_inflated() -> None:
    """Section 7.2.3: one block, a block that is not compressed, a final block, two blocks."""
    for example in ("f248cdc9c90700", "000500faff48656c6c6f00", "f348cdc9c9070000",
                    "f24805000000ffffcac9c90700"):  # fmt: skip
        assert Inflater().inflate(bytes.fromhex(example), 5, last=True) == b"Hello"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x03",
        b"Hello",
        deflate(b"Hello")[:-2],
        bytes.fromhex("f348cdc9c907000000"),
        bytes.fromhex("f348cdc9c90700") + deflate(b" and more"),
    ],
)
def test_what_is_not_one_whole_stream_is_an_error(payload: bytes) -> None:
    """Nothing is passed on of a message that is cut off, damaged, or goes on after its end."""
    with pytest.raises(InflateError):
        Inflater().inflate(payload, 1_000, last=True)


def test_what_follows_the_end_is_an_error_at_once() -> None:
    """Frames after a final block would be kept for ever otherwise."""
    inflater = Inflater()
    assert inflater.inflate(bytes.fromhex("f348cdc9c90700"), 5, last=False) == b"Hello"
    with pytest.raises(InflateError):
        inflater.inflate(b"xx", 0, last=False)


def test_a_bomb_is_inflated_up_to_its_bound() -> None:
    """Of a megabyte that a kilobyte stands for, 1,001 bytes are made, in zlib's 40 KB."""
    bomb = zlib.compressobj(wbits=-15)
    payload = bomb.compress(bytes(1_000_000)) + bomb.flush(zlib.Z_SYNC_FLUSH)
    tracemalloc.start()
    try:
        assert len(Inflater().inflate(payload, 1_000, last=False)) == 1_001
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 50_000


@pytest.mark.parametrize("room", [0, 1, 4])
def test_a_message_that_fills_its_bound_is_taken(room: int) -> None:
    """One byte more is told from that, whichever frame it comes in."""
    assert Inflater().inflate(deflate(b"x" * room), room, last=True) == b"x" * room
    assert len(Inflater().inflate(deflate(b"x" * (room + 1)), room, last=True)) == room + 1
    inflater = Inflater()
    assert inflater.inflate(deflate(b"x" * room) + b"\0\0\xff\xff", room, last=False) == b"x" * room
    assert inflater.inflate(deflate(b"y"), 0, last=True) == b"y"
