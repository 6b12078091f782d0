"""The frame reader held against `websockets`, event by event and close code by close code.

The oracle is `websockets.ServerProtocol`, with the decoding of text that `websockets`' connections
do on top of it. The two may differ in four ways, and in no other:

1. Binary: the oracle delivers it, the reader refuses it.
2. Lengths not in their shortest encoding: the oracle takes them, the reader does not (5.2).
3. A control frame within a fragmented message: the oracle counts it against the message's bound,
   the reader does not, since it is no part of the message (5.4).
4. Time: the reader refuses a frame when its header's length is there; the oracle refuses opcode
   and mask two bytes earlier or more, everything else not before the payload is there.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import Phase, example, find, given, settings
from hypothesis import strategies as st
from websockets.exceptions import PayloadTooBig
from websockets.frames import Close as OracleClose
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from hub.protocol.codes import BAD_TEXT, TOO_BIG, UNSUPPORTED
from hub.server.wsframes import (
    Breach,
    Close,
    Event,
    FrameReader,
    Ping,
    Pong,
    Text,
    encode_close,
    encode_pong,
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

MAX_BYTES = 300  # small, so that the bound is met often; over 125, so that control frames fit
LARGE_MAX_BYTES = 70_000  # over 65,535, so that the longest encoding of a length can be right

QUIET = logging.Logger("oracle", logging.CRITICAL)  # noqa: LOG001 - outside the tree on purpose

Seen = tuple[Any, ...]
"""One thing that a side made of the stream; a side's list of them is what is compared."""

REFUSED_CONTROL: Seen = ("control frame counted against the message",)


class Oracle:
    """What `websockets` makes of a stream, and what it writes in answer."""

    def __init__(self, max_bytes: int) -> None:
        self.protocol = ServerProtocol(state=OPEN, max_size=max_bytes, logger=QUIET)
        self.seen: list[Seen] = []
        self.written = b""
        self.ended = False
        self._max_bytes = max_bytes
        self._message = b""
        self._received = bytearray()

    def receive(self, data: bytes) -> None:
        """Feed byte by byte, so that the byte which ends the stream is known."""
        for byte in data:
            if self.ended:
                return
            self._received.append(byte)
            self.protocol.receive_data(bytes((byte,)))
            for frame in self.protocol.events_received():
                assert isinstance(frame, Frame)
                self._see(frame)
            if self.protocol.parser_exc is not None and not self.ended:
                self._see_breach(self.protocol.parser_exc)
            self.written += b"".join(self.protocol.data_to_send())

    def _see(self, frame: Frame) -> None:
        payload = bytes(frame.data)
        match frame.opcode:
            case Opcode.PING:
                self.seen.append(("ping", payload))
            case Opcode.PONG:
                self.seen.append(("pong", payload))
            case Opcode.CLOSE:
                close = OracleClose.parse(payload)
                self._end(("close", int(close.code), close.reason))
            case Opcode.BINARY:
                self._end(("binary",))
            case Opcode.TEXT | Opcode.CONT:
                self._message += payload
                if frame.fin:
                    self._see_text(self._message)
                    self._message = b""

    def _see_text(self, payload: bytes) -> None:
        # websockets' connections decode a text when it is complete, and close with 1007.
        try:
            payload.decode()
        except UnicodeDecodeError:
            self._end(("breach", BAD_TEXT.number))
        else:
            self.seen.append(("text", payload))

    def _see_breach(self, error: Exception) -> None:
        close = self.protocol.close_sent
        assert close is not None
        if isinstance(error, PayloadTooBig) and self._is_refused_control(error):
            self._end(REFUSED_CONTROL)
        else:
            self._end(("breach", int(close.code)))

    def _is_refused_control(self, error: PayloadTooBig) -> bool:
        """Whether the frame is a control frame that would have fitted the bound by itself."""
        assert error.size is not None
        # The oracle refuses a length at its last byte; the opcode is one byte before its first.
        width = 1 if error.size <= 125 else 3 if error.size <= 65_535 else 9
        opcode = self._received[-1 - width] & 0x0F
        return opcode >= CLOSE and error.size <= self._max_bytes

    def _end(self, last: Seen) -> None:
        self.seen.append(last)
        self.ended = True


def see(event: Event) -> Seen:
    """Put one of the reader's events in the oracle's terms."""
    match event:
        case Text(payload):
            return ("text", payload)
        case Ping(payload):
            return ("ping", payload)
        case Pong(payload):
            return ("pong", payload)
        case Close(code, reason):
            return ("close", code, reason)
        case Breach(code, _):
            return ("binary",) if code is UNSUPPORTED else ("breach", code.number)


def answer(event: Event) -> bytes:
    """Return the hub's answer to an event, where RFC 6455 asks for one."""
    match event:
        case Ping(payload):
            return encode_pong(payload)
        case Close(code, reason):
            return encode_close(code, reason)
        case _:
            return b""


def compare(reader: FrameReader, chunks: Sequence[bytes], max_bytes: int = MAX_BYTES) -> None:
    """Raise AssertionError where reader and oracle differ in a way that is not allowed."""
    events = [event for chunk in chunks for event in reader.receive(chunk)]
    oracle = Oracle(max_bytes)
    oracle.receive(b"".join(chunks))
    if oracle.ended and not reader.ended:
        # Complete the length that the reader waits for, so that it judges the header too.
        events += reader.receive(bytes(8))
    last = events[-1] if events else None
    if isinstance(last, Breach):
        # Complete the frame, so that the oracle judges it too.
        oracle.receive(bytes(max_bytes + 8))
    ours, theirs = [see(event) for event in events], oracle.seen
    if isinstance(last, Breach) and "shortest encoding" in last.reason:
        ours.pop()
        theirs = theirs[: len(ours)]
    if REFUSED_CONTROL in theirs:
        theirs = theirs[: theirs.index(REFUSED_CONTROL)]
        ours = ours[: len(theirs)]
    else:
        assert oracle.written.startswith(b"".join(map(answer, events)))
    assert ours == theirs


masks = st.binary(min_size=4, max_size=4)
sizes = st.sampled_from([125, 126, MAX_BYTES, MAX_BYTES + 1]) | st.integers(0, MAX_BYTES + 10)
payloads = (
    st.text(max_size=12).map(str.encode)
    | st.binary(max_size=6)
    | sizes.map(lambda size: b"x" * size)
)
short_payloads = st.binary(max_size=6) | st.integers(0, 130).map(lambda size: b"x" * size)
close_payloads = (
    st.just(b"")
    | st.builds(close_payload, st.sampled_from([1000, 1005, 1011, 3000, 4999, 5000]), payloads)
    | st.binary(max_size=4)
)

texts = st.builds(client_frame, st.just(TEXT), payloads, mask=masks)
pings = st.builds(client_frame, st.sampled_from([PING, PONG]), short_payloads, mask=masks)
closes = st.builds(client_frame, st.just(CLOSE), close_payloads, mask=masks)
wild = st.builds(
    client_frame,
    st.integers(0, 15),
    short_payloads,
    fin=st.booleans(),
    reserved=st.sampled_from([0, 0, 0, 0b001, 0b010, 0b100]),
    mask=masks | st.none(),
    length_width=st.sampled_from([None, None, 2, 8]),
)
liars = st.builds(
    client_frame,
    st.sampled_from([TEXT, BINARY, PING]),
    fin=st.booleans(),
    declared=st.sampled_from([MAX_BYTES, MAX_BYTES + 1, 65_535, 65_536, 2**63, 2**64 - 1]),
)


@st.composite
def fragmented(draw: st.DrawFn) -> bytes:
    """A text in fragments, cut at any byte, with control frames between them."""
    payload = draw(payloads)
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
    bounds = [0, *cuts, len(payload)]
    parts = [payload[start:end] for start, end in pairwise(bounds)]
    frames = b""
    for index, part in enumerate(parts):
        opcode = TEXT if index == 0 else CONTINUATION
        frames += client_frame(opcode, part, fin=index == len(parts) - 1)
        frames += draw(st.just(b"") | pings)
    return frames


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """What a client sends, in the chunks in which it arrives."""
    frames = draw(st.lists(texts | fragmented() | pings | closes | wild | liars, max_size=5))
    stream = bytearray(b"".join(frames) + draw(st.binary(max_size=3)))
    if stream and draw(st.integers(0, 3)) == 0:
        stream[draw(st.integers(0, len(stream) - 1))] ^= 1 << draw(st.integers(0, 7))
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    return [bytes(stream[start:end]) for start, end in pairwise([0, *cuts, len(stream)])]


@given(streams())
@example([client_frame(TEXT, b"x", fin=False) + client_frame(CLOSE, close_payload(1000))])
@example([client_frame(TEXT, b"x", reserved=0b100, declared=MAX_BYTES + 1)])
@example([client_frame(PING, b"x" * 126, fin=False)])
@example([client_frame(TEXT, b"x" * 126, mask=None)[:2]])
@settings(max_examples=400, deadline=None)
def test_the_reader_and_websockets_agree(chunks: list[bytes]) -> None:
    """Whatever a client sends, both sides see the same events and give the same answers."""
    compare(FrameReader(MAX_BYTES), chunks)


@pytest.mark.parametrize("size", [65_535, 65_536, LARGE_MAX_BYTES, LARGE_MAX_BYTES + 1])
def test_the_reader_and_websockets_agree_on_large_messages(size: int) -> None:
    """Both take and refuse the same lengths where eight bytes encode them."""
    stream = client_frame(TEXT, b"x" * size) + client_frame(PING, b"after")
    compare(FrameReader(LARGE_MAX_BYTES), [stream], LARGE_MAX_BYTES)


# The checker's own check: readers that each break one rule.


class TakesUnmasked(FrameReader):
    __slots__ = ()

    def _check_header(self, first: int, second: int, length: int) -> Breach | None:
        return super()._check_header(first, second | 0x80, length)


class TakesReservedBits(FrameReader):
    __slots__ = ()

    def _check_header(self, first: int, second: int, length: int) -> Breach | None:
        return super()._check_header(first & 0x8F, second, length)


class TakesReservedOpcodes(FrameReader):
    __slots__ = ()

    def _check_header(self, first: int, second: int, length: int) -> Breach | None:
        reserved_control = first & 0x0F > PONG
        return super()._check_header(first & 0xFA if reserved_control else first, second, length)


class TakesLongControls(FrameReader):
    __slots__ = ()

    def _check_header(self, first: int, second: int, length: int) -> Breach | None:
        if first & CLOSE and second == 0xFE:
            return (
                None if length <= self._max_bytes else super()._check_header(first, second, length)
            )
        return super()._check_header(first, second, length)


class TakesFragmentedControls(FrameReader):
    __slots__ = ()

    def _check_header(self, first: int, second: int, length: int) -> Breach | None:
        return super()._check_header(first | 0x80 if first & CLOSE else first, second, length)


class BoundsFragmentsOneByOne(FrameReader):
    __slots__ = ()

    def _check_header(self, first: int, second: int, length: int) -> Breach | None:
        breach = super()._check_header(first, second, length)
        return None if breach and breach.code is TOO_BIG and length <= self._max_bytes else breach


class TakesOneByteTooMany(FrameReader):
    __slots__ = ()

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes + 1)


class TakesAnyOrder(FrameReader):
    __slots__ = ()

    def _check_order(self, opcode: int) -> Breach | None:
        return Breach(UNSUPPORTED, "binary") if opcode == BINARY else None


class TakesBadText(FrameReader):
    __slots__ = ()

    def _take(self, first: int, payload: bytes) -> Event | None:
        event = super()._take(first, payload)
        is_text = isinstance(event, Breach) and event.code is BAD_TEXT and not first & CLOSE
        return Text(payload) if is_text else event


class TakesAnyClose(FrameReader):
    __slots__ = ()

    def _take(self, first: int, payload: bytes) -> Event | None:
        event = super()._take(first, payload)
        return Close(1000, "") if isinstance(event, Breach) and first & CLOSE else event


class GoesOnAfterClose(FrameReader):
    __slots__ = ()

    def receive(self, data: bytes) -> list[Event]:
        events = super().receive(data)
        self._ended = False
        return events


class LosesWhatPrecedesABreach(FrameReader):
    __slots__ = ()

    def receive(self, data: bytes) -> list[Event]:
        events = super().receive(data)
        return events[-1:] if events and isinstance(events[-1], Breach) else events


class LosesHalfFrames(FrameReader):
    __slots__ = ()

    def receive(self, data: bytes) -> list[Event]:
        events = super().receive(data)
        self._partial = None
        return events


class KeepsAMessageForTheNext(FrameReader):
    __slots__ = ()

    def _take(self, first: int, payload: bytes) -> Event | None:
        before = self._fragments
        event = super()._take(first, payload)
        if first & 0x0F == CONTINUATION:
            self._fragments = before
        return event


@pytest.mark.parametrize(
    "broken",
    [
        TakesUnmasked,
        TakesReservedBits,
        TakesReservedOpcodes,
        TakesLongControls,
        TakesFragmentedControls,
        BoundsFragmentsOneByOne,
        TakesOneByteTooMany,
        TakesAnyOrder,
        TakesBadText,
        TakesAnyClose,
        GoesOnAfterClose,
        LosesWhatPrecedesABreach,
        LosesHalfFrames,
        KeepsAMessageForTheNext,
    ],
)
def test_the_comparison_catches_a_reader_that_breaks_one_rule(broken: type[FrameReader]) -> None:
    """The comparison bites: every seeded fault is found by the same streams."""

    def is_caught(chunks: list[bytes]) -> bool:
        try:
            compare(broken(MAX_BYTES), chunks)
        except AssertionError:
            return True
        return False

    search = settings(max_examples=3_000, phases=[Phase.generate], database=None, deadline=None)
    # Raises NoSuchExample where nothing catches it.
    find(streams(), is_caught, settings=search, random=Random(6455))
