"""WebSocket frames on the hub's side of a connection (RFC 6455 section 5), without I/O.

Bytes go in, events come out; what an event leads to, the caller decides. The rules:

1. Every frame from a client is masked, has no reserved bit, a known opcode, and the shortest
   encoding of its length (5.1, 5.2).
2. A text message may come in fragments: one text frame, then continuations up to the one with FIN.
   Only control frames may come between them. It is delivered whole, when it is valid UTF-8 (5.4,
   8.1).
3. A control frame is not fragmented and carries 125 bytes at most (5.5). A close frame is empty or
   has a code that may be sent and a UTF-8 reason (5.5.1, 7.4).
4. A message is bounded: what was received of it and what the next header declares, together. The
   header is enough to refuse it, so no more than the bound is ever held.
5. Binary messages are refused: this protocol is text.
6. The first breach of a rule, or a close frame, ends the stream: nothing after it is looked at.
   A close frame within a fragmented message is a breach too, as it is to `websockets`.
7. Where compression was negotiated, RSV1 on the first frame of a message says that the message is
   compressed (RFC 7692 section 6). Both what comes and what it inflates to are within the bound.

tests/server/test_wsframes_differential.py holds all this against `websockets`, and lists where the
two differ.
"""

from __future__ import annotations

from struct import Struct as Layout

import msgspec

from hub.protocol.codes import BAD_TEXT, PROTOCOL_BREACH, TOO_BIG, UNSUPPORTED, Code
from hub.server.deflate import InflateError, Inflater

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform without the compiled extension
    from websockets.utils import apply_mask

MAX_BYTES = 65_536
"""The bound of a received message, where the caller gives none."""

NO_STATUS = 1005
"""The code that stands for a close frame without one; never on the wire (7.4.1)."""

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_OPCODES = frozenset((_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG))
_FIN = 0x80
_COMPRESSED = 0x40  # RSV1
_RESERVED_BITS = 0x70
_OPCODE_BITS = 0x0F
_MASKED = 0x80
_LENGTH_BITS = 0x7F
_SHORT_MAX = 125  # what the second byte can hold; also the bound of a control frame
_LENGTH_IN_2, _LENGTH_IN_8 = 126, 127
_LEAST_LENGTH = {_LENGTH_IN_2: _SHORT_MAX + 1, _LENGTH_IN_8: 0xFFFF + 1}
_REASON_MAX = _SHORT_MAX - 2

_SENDABLE_CODES = frozenset((1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)))

_HEADER_2 = Layout("!BBH")
_HEADER_8 = Layout("!BBQ")


class Text(msgspec.Struct, frozen=True, gc=False):
    """A whole text message; the payload is valid UTF-8."""

    payload: bytes


class Ping(msgspec.Struct, frozen=True, gc=False):
    """The client asks for a pong with the same payload (5.5.2)."""

    payload: bytes


class Pong(msgspec.Struct, frozen=True, gc=False):
    """The client answers a ping, or says that it is alive (5.5.3)."""

    payload: bytes


class Close(msgspec.Struct, frozen=True, gc=False):
    """The client closes; `NO_STATUS` where it gave no code. The last event of its stream."""

    code: int
    reason: str


class Breach(msgspec.Struct, frozen=True, gc=False):
    """The client broke a rule; close with this code and reason. The last event of its stream."""

    code: Code
    reason: str


Event = Text | Ping | Pong | Close | Breach
_LAST = (Close, Breach)


class FrameReader:
    """Reads one client's frames from a stream of bytes, cut anywhere.

    An idle reader holds no buffer. A busy one holds one incomplete frame and one incomplete
    message, each within `max_bytes`.
    """

    __slots__ = ("_ended", "_fragments", "_max_bytes", "_partial")

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._partial: bytearray | None = None
        self._fragments: bytearray | None = None
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether a Close or a Breach was returned, so that nothing more will be."""
        return self._ended

    def receive(self, data: bytes) -> list[Event]:
        """Return what `data` completes, in order; a Close or a Breach comes last and once.

        Never raises for what a client sent. Nothing before a breach is lost by it.
        """
        if self._ended:
            return []
        buffer: bytes | bytearray = data
        if self._partial is not None:
            self._partial += data
            buffer = self._partial
        events: list[Event] = []
        start, end = 0, len(buffer)
        while end - start >= 2:
            first, second = buffer[start], buffer[start + 1]
            length = second & _LENGTH_BITS
            payload_start = start + 6  # two bytes and the mask
            if length > _SHORT_MAX:
                width = 2 if length == _LENGTH_IN_2 else 8
                if end - start < 2 + width:
                    break
                length = int.from_bytes(buffer[start + 2 : start + 2 + width], "big")
                payload_start += width
            payload_end = payload_start + length
            event: Event | None = self._check_header(first, second, length)
            if event is None:
                if end < payload_end:
                    break
                mask = buffer[payload_start - 4 : payload_start]
                payload = apply_mask(buffer[payload_start:payload_end], mask)
                event = self._take(first, payload)
            start = payload_end
            if event is not None:
                events.append(event)
                if isinstance(event, _LAST):
                    self._end()
                    return events
        self._keep(buffer, start)
        return events

    def _end(self) -> None:
        self._ended = True
        self._partial = self._fragments = None

    def _check_header(self, first: int, second: int, length: int) -> Breach | None:
        """Judge a frame by its header alone, before its payload is waited for.

        The order is that of `websockets`, so that of two breaches in one header both name the same.
        """
        opcode = first & _OPCODE_BITS
        if opcode not in _OPCODES:
            return Breach(PROTOCOL_BREACH, f"opcode {opcode:#x} is reserved")
        if second < _MASKED:
            return Breach(PROTOCOL_BREACH, "a frame from a client must be masked")
        is_control = opcode >= _CLOSE
        held = 0 if is_control or self._fragments is None else len(self._fragments)
        if held + length > self._max_bytes:
            size = f"{length} bytes after {held}" if held else f"{length} bytes"
            return Breach(TOO_BIG, f"message of {size}; at most {self._max_bytes} are taken")
        if first & _RESERVED_BITS:
            return Breach(PROTOCOL_BREACH, "reserved bits must be 0")
        if length < _LEAST_LENGTH.get(second & _LENGTH_BITS, 0):
            return Breach(PROTOCOL_BREACH, "length not in its shortest encoding")
        if is_control:
            return _check_control(first, length)
        return self._check_order(opcode)

    def _check_order(self, opcode: int) -> Breach | None:
        """Judge a data frame by what came before it, and by its kind."""
        if self._fragments is None:
            if opcode == _CONTINUATION:
                return Breach(PROTOCOL_BREACH, "a continuation of nothing")
        elif opcode != _CONTINUATION:
            return Breach(PROTOCOL_BREACH, "a new message within a fragmented one")
        if opcode == _BINARY:
            return Breach(UNSUPPORTED, "binary messages are not taken")
        return None

    def _take(self, first: int, payload: bytes) -> Event | None:
        """Return the event that a whole frame completes; None for a fragment that is not the last.

        `_check_header` has let the frame pass.
        """
        opcode = first & _OPCODE_BITS
        if opcode < _CLOSE:
            fragments = self._fragments
            if first & _FIN:
                if fragments is None:
                    return _read_text(payload)
                self._fragments = None
                fragments += payload
                return _read_text(bytes(fragments))
            if fragments is None:
                # One buffer, not a list of fragments: a client may send thousands of empty ones.
                self._fragments = bytearray(payload)
            else:
                fragments += payload
            return None
        if opcode == _PING:
            return Ping(payload)
        if opcode == _PONG:
            return Pong(payload)
        event = _read_close(payload)
        if isinstance(event, Close) and self._fragments is not None:
            return Breach(PROTOCOL_BREACH, "closed within a fragmented message")
        return event

    def _keep(self, buffer: bytes | bytearray, start: int) -> None:
        """Keep what is left of `buffer` from `start` on, for the bytes to come."""
        if start == len(buffer):
            self._partial = None
        elif isinstance(buffer, bytearray):
            del buffer[:start]
        else:
            self._partial = bytearray(buffer[start:])


class InflatingReader(FrameReader):
    """Reads the frames of a client that may compress its messages.

    Holds a zlib object only within a compressed message that came in part.
    """

    __slots__ = ("_inflater",)

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        super().__init__(max_bytes)
        self._inflater: Inflater | None = None

    def _end(self) -> None:
        super()._end()
        self._inflater = None

    def _check_header(self, first: int, second: int, length: int) -> Breach | None:
        if first & _OPCODE_BITS in (_TEXT, _BINARY):
            first &= ~_COMPRESSED
        return super()._check_header(first, second, length)

    def _take(self, first: int, payload: bytes) -> Event | None:
        if first & _COMPRESSED:
            self._inflater = Inflater()
        if self._inflater is None or first & _OPCODE_BITS >= _CLOSE:
            return super()._take(first, payload)
        held = 0 if self._fragments is None else len(self._fragments)
        try:
            inflated = self._inflater.inflate(
                payload, self._max_bytes - held, last=bool(first & _FIN)
            )
        except InflateError as error:
            return Breach(PROTOCOL_BREACH, f"compressed message: {error}")
        if held + len(inflated) > self._max_bytes:
            return Breach(TOO_BIG, f"message inflates to more than {self._max_bytes} bytes")
        if first & _FIN:
            self._inflater = None
        return super()._take(first, inflated)


def _check_control(first: int, length: int) -> Breach | None:
    if length > _SHORT_MAX:
        return Breach(PROTOCOL_BREACH, f"control frame of {length} bytes; at most {_SHORT_MAX}")
    if not first & _FIN:
        return Breach(PROTOCOL_BREACH, "a control frame must not be fragmented")
    return None


def _read_text(payload: bytes) -> Text | Breach:
    if payload.isascii():  # the usual case, without making a str
        return Text(payload)
    try:
        payload.decode()
    except UnicodeDecodeError as error:
        return _bad_text(error)
    return Text(payload)


def _read_close(payload: bytes) -> Close | Breach:
    if not payload:
        return Close(NO_STATUS, "")
    if len(payload) == 1:
        return Breach(PROTOCOL_BREACH, "a close frame of 1 byte")
    try:
        reason = payload[2:].decode()
    except UnicodeDecodeError as error:
        return _bad_text(error)
    code = int.from_bytes(payload[:2], "big")
    if code not in _SENDABLE_CODES:
        return Breach(PROTOCOL_BREACH, f"close code {code} must not be sent")
    return Close(code, reason)


def _bad_text(error: UnicodeDecodeError) -> Breach:
    return Breach(BAD_TEXT, f"not UTF-8: {error.reason} at position {error.start}")


def encode_text(payload: bytes) -> bytes:
    """Return the frame of a whole text message; `payload` is UTF-8, unchecked."""
    return _encode(_TEXT, payload)


def encode_compressed_text(payload: bytes) -> bytes:
    """Return the frame of a whole text message that was compressed, to be sent where compression
    was negotiated."""
    return _encode(_TEXT | _COMPRESSED, payload)


def encode_ping(payload: bytes = b"") -> bytes:
    """Return a ping; raises ValueError when `payload` is over 125 bytes."""
    return _encode_control(_PING, payload)


def encode_pong(payload: bytes) -> bytes:
    """Return the pong to a ping of this payload; raises ValueError when it is over 125 bytes."""
    return _encode_control(_PONG, payload)


def encode_close(code: int, reason: str = "") -> bytes:
    """Return a close frame; `NO_STATUS` gives an empty one, which answers an empty one.

    The reason is cut to what fits. Raises ValueError for a code that must not be sent.
    """
    if code == NO_STATUS:
        return _encode_control(_CLOSE, b"")
    if code not in _SENDABLE_CODES:
        raise ValueError(f"close code {code} must not be sent (RFC 6455 section 7.4)")
    return _encode_control(_CLOSE, code.to_bytes(2, "big") + cut_reason(reason).encode())


def cut_reason(reason: str) -> str:
    """Return as much of `reason` as a close frame has room for, 123 bytes: one that says less is
    better than none."""
    return reason.encode()[:_REASON_MAX].decode(errors="ignore")


def _encode_control(opcode: int, payload: bytes) -> bytes:
    if len(payload) > _SHORT_MAX:
        raise ValueError(f"control frame of {len(payload)} bytes; at most {_SHORT_MAX}")
    return _encode(opcode, payload)


def _encode(opcode: int, payload: bytes) -> bytes:
    first = _FIN | opcode
    length = len(payload)
    if length <= _SHORT_MAX:
        return bytes((first, length)) + payload
    if length <= 0xFFFF:
        return _HEADER_2.pack(first, _LENGTH_IN_2, length) + payload
    return _HEADER_8.pack(first, _LENGTH_IN_8, length) + payload
