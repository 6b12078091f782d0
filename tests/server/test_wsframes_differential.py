"""The frame readers held against `websockets`, event by event and close code by close code.

The oracle is `websockets.ServerProtocol`, with the decoding of text that `websockets`' connections
do on top of it. The two may differ in four ways, and in no other:

1. Binary: the oracle delivers it, the reader refuses it.
2. Lengths not in their shortest encoding: the oracle takes them, the reader does not (5.2).
3. A control frame within a fragmented message: the oracle counts it against the message's bound,
   the reader does not, since it is no part of the message (5.4).
4. Time: the reader refuses a frame when its header's length is there; the oracle refuses opcode
   and mask two bytes earlier or more, everything else not before the payload is there.

Where compression is negotiated, `Deflate` says in what else.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Sequence
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import Phase, example, find, given, settings
from hypothesis import strategies as st
from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import CTRL_OPCODES, Frame, Opcode
from websockets.frames import Close as OracleClose
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from hub.protocol.codes import BAD_TEXT, TOO_BIG, UNSUPPORTED
from hub.server.deflate import InflateError, Inflater
from hub.server.wsframes import (
    Breach,
    Close,
    Event,
    FrameReader,
    InflatingReader,
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


class Deflate(PerMessageDeflate):
    """The extension of `websockets`, but for the differences that are allowed:

    1. It inflates a frame before it judges the header, and binary messages too; the reader neither.
    2. It refuses some messages of exactly the bound, and bounds nothing once a message has reached
       it; the reader takes the one and refuses the other.
    3. It passes on what it got of a stream that ends early, and drops what follows a final block;
       to the reader both are breaches.
    """

    def __init__(self) -> None:
        super().__init__(True, True, 15, 15)
        self._in_message = False
        self._is_compressed = False
        self._received = b""

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        assert max_size is not None
        if frame.opcode in CTRL_OPCODES or frame.rsv2 or frame.rsv3:
            return frame
        starts = frame.opcode is not Opcode.CONT
        if frame.opcode is Opcode.BINARY or (starts and self._in_message):
            return Frame(frame.opcode, frame.data, frame.fin)
        self._in_message = not frame.fin
        decoded = super().decode(frame, max_size=max_size + 1)
        if len(decoded.data) > max_size:
            raise PayloadTooBig(None, max_size)
        if starts:
            self._is_compressed, self._received = frame.rsv1, b""
        self._received += frame.data
        if self._is_compressed and not could_be_whole(self._received, ends=frame.fin):
            raise ProtocolError("no whole stream")
        return decoded


def could_be_whole(stream: bytes, *, ends: bool) -> bool:
    """Whether these bytes are a whole message's DEFLATE stream, or the beginning of one."""
    inflater = zlib.decompressobj(-15)
    inflater.decompress(stream)
    if inflater.eof:
        return inflater.unused_data in (b"", b"\0")
    if not ends:
        return True
    try:
        inflater.decompress(b"\0\0\xff\xff")
        if inflater.eof:
            return inflater.unused_data == b""
        # Between two blocks, and at the start of a byte, another stream may stand.
        return inflater.decompress(deflated(b"?")) == b"?"
    except zlib.error:
        return False


def deflated(payload: bytes, flush: int = zlib.Z_SYNC_FLUSH) -> bytes:
    """Compress a message as RFC 7692 section 7.2.1 says; Z_FINISH makes it one final block, and
    a byte of padding follows (7.2.3.5)."""
    stream = zlib.compressobj(wbits=-15)
    compressed = stream.compress(payload) + stream.flush(flush)
    return compressed + b"\0" if flush == zlib.Z_FINISH else compressed[:-4]


class Oracle:
    """What `websockets` makes of a stream, and what it writes in answer."""

    def __init__(self, max_bytes: int, *, compression: bool = False) -> None:
        self.protocol = ServerProtocol(state=OPEN, max_size=max_bytes, logger=QUIET)
        self.protocol.extensions = [Deflate()] if compression else []
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
        if error.size is None:
            return False  # it says what a message inflates to
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
    oracle = Oracle(max_bytes, compression=isinstance(reader, InflatingReader))
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


# Few bytes, so that what is inflated meets the bound as often as what is on the wire.
repeated = st.builds(lambda byte, size: byte * size, st.binary(min_size=1, max_size=2), sizes)
bombs = st.integers(MAX_BYTES, 100 * MAX_BYTES).map(lambda size: b"x" * size)
flushes = st.sampled_from([zlib.Z_SYNC_FLUSH] * 3 + [zlib.Z_FULL_FLUSH, zlib.Z_FINISH])
compressed_payloads = (
    st.builds(deflated, payloads | repeated | bombs, flushes)
    | st.builds(
        lambda one, two: deflated(one) + b"\0\0\xff\xff" + deflated(two), payloads, payloads
    )
    | st.builds(lambda one, two: deflated(one, zlib.Z_FINISH) + two, payloads, payloads)
    | st.builds(lambda whole, cut: whole[:cut], payloads.map(deflated), st.integers(0, 20))
    | payloads
)


@st.composite
def compressed(draw: st.DrawFn) -> bytes:
    """A compressed message in one frame or more, mostly right, with control frames between."""
    payload = draw(compressed_payloads)
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
    bounds = [0, *cuts, len(payload)]
    frames = b""
    for start, end in pairwise(bounds):
        is_first, is_last = not frames, end == len(payload)
        frames += client_frame(
            TEXT if is_first else CONTINUATION,
            payload[start:end],
            fin=is_last,
            reserved=0b100 if is_first else draw(st.sampled_from([0] * 9 + [0b100])),
        )
        frames += draw(st.just(b"") | pings)
        if is_last:
            break
    return frames


plain = texts | fragmented() | pings | closes | wild | liars


@st.composite
def streams(draw: st.DrawFn, messages: st.SearchStrategy[bytes] = plain) -> list[bytes]:
    """What a client sends, in the chunks in which it arrives."""
    frames = draw(st.lists(messages, max_size=5))
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


@given(streams(plain | compressed()))
@example([client_frame(TEXT, deflated(b"x" * MAX_BYTES), reserved=0b100)])
@example([client_frame(TEXT, deflated(b"x" * (MAX_BYTES + 1)), reserved=0b100)])
@example([client_frame(TEXT, b"", reserved=0b100)])
@example(
    [
        client_frame(TEXT, deflated(b"x" * MAX_BYTES) + b"\0\0\xff\xff", fin=False, reserved=0b100)
        + client_frame(CONTINUATION, deflated(b"x" * 100 * MAX_BYTES))
    ]
)
@settings(max_examples=400, deadline=None)
def test_the_inflating_reader_and_websockets_agree(chunks: list[bytes]) -> None:
    """The same where compression is negotiated, whether a message is compressed or not."""
    compare(InflatingReader(MAX_BYTES), chunks)


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


class TakesCompressedContinuations(InflatingReader):
    __slots__ = ()

    def _check_header(self, first: int, second: int, length: int) -> Breach | None:
        return super()._check_header(first & 0xBF, second, length)


class PassesOnWhatIsCompressed(InflatingReader):
    __slots__ = ()

    def _take(self, first: int, payload: bytes) -> Event | None:
        return super()._take(first & 0xBF, payload)


class InflatesFirstFramesAlone(InflatingReader):
    __slots__ = ()

    def _take(self, first: int, payload: bytes) -> Event | None:
        event = super()._take(first, payload)
        if event is None:
            self._inflater = None
        return event


class InflatesWhatFollows(InflatingReader):
    __slots__ = ()

    def _take(self, first: int, payload: bytes) -> Event | None:
        before = self._inflater
        event = super()._take(first, payload)
        self._inflater = self._inflater or before
        return event


class _Lenient(InflatingReader):
    """Inflates each frame as its own rules have it."""

    __slots__ = ()

    def _take(self, first: int, payload: bytes) -> Event | None:
        if first & 0x40:
            self._inflater = self.make()
        return super()._take(first & 0xBF, payload)

    def make(self) -> Inflater:
        return Inflater()


class Unbounded(Inflater):
    def inflate(self, payload: bytes, room: int, *, last: bool) -> bytes:
        return super().inflate(payload, 1_000_000, last=last)[: room + 1 - (room > 0)]


class TakesBombs(_Lenient):
    __slots__ = ()

    def make(self) -> Inflater:
        return Unbounded()


class BoundsByTheFrame(Inflater):
    def inflate(self, payload: bytes, room: int, *, last: bool) -> bytes:
        return super().inflate(payload, MAX_BYTES, last=last)[:room]


class BoundsInflatedFramesOneByOne(_Lenient):
    __slots__ = ()

    def make(self) -> Inflater:
        return BoundsByTheFrame()


class Careless(Inflater):
    def inflate(self, payload: bytes, room: int, *, last: bool) -> bytes:
        try:
            return super().inflate(payload, room, last=last)
        except InflateError:
            return b""


class TakesBadStreams(_Lenient):
    __slots__ = ()

    def make(self) -> Inflater:
        return Careless()


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
        TakesCompressedContinuations,
        PassesOnWhatIsCompressed,
        InflatesFirstFramesAlone,
        InflatesWhatFollows,
        TakesBombs,
        BoundsInflatedFramesOneByOne,
        TakesBadStreams,
    ],
)
def test_the_comparison_catches_a_reader_that_breaks_one_rule(broken: type[FrameReader]) -> None:
    """The comparison bites: every seeded fault is found by the same streams."""

    def is_caught(chunks: list[bytes]) -> bool:
        try:
            compare(broken(MAX_BYTES), chunks)
        # A reader that takes what it must not may also fail on it.
        except (AssertionError, ValueError):
            return True
        return False

    search = settings(max_examples=20_000, phases=[Phase.generate], database=None, deadline=None)
    # Raises NoSuchExample where nothing catches it.
    messages = plain | compressed() if issubclass(broken, InflatingReader) else plain
    find(streams(messages), is_caught, settings=search, random=Random(6455))
