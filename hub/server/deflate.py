"""Compression of messages: the extension permessage-deflate (RFC 7692), without I/O.

The rules:

1. Neither side keeps a context: the answer to every offer says `server_no_context_takeover` and
   `client_no_context_takeover` (7.1.1), which an answer may also where the offer did not. So a
   message that was compressed once is right on every connection, and a connection holds no zlib
   object.
2. Messages are compressed with one window, so an offer that asks for a smaller one is declined.
   A client may use any window: the largest inflates them all.
3. An offer with a parameter that is unknown, twice there, or of a wrong value is declined, and the
   next one looked at (7.1). Where none is left, the connection goes without compression. A header
   that is no list of offers fails the handshake (RFC 6455 section 9.1).
4. A message is inflated as it comes, and to one byte above its bound at most.
5. What comes must be one whole DEFLATE stream. `websockets`, which is more lenient, passes on what
   it got of one that ends early, and drops what follows a final block.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache

from websockets.exceptions import NegotiationError
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.headers import build_extension, parse_extension

LEVEL = 1
WINDOW_BITS = 12
MEMORY_LEVEL = 5
"""What compresses well enough for the least time, by benchmarks/compression.py. On frames of rows
that are alike a larger window gains nothing, and takes eight times the memory meanwhile."""

_REMEMBERED_OFFERS = 64
_REMEMBERED_CHARACTERS = 256

_SYNC_TAIL = b"\x00\x00\xff\xff"
"""The end of every message, which is left out on the wire (7.2.1)."""
_FINAL_BLOCK = b"\x03\x00"
"""An empty one: it ends a stream only where the block before it was whole."""
_END = _SYNC_TAIL + _FINAL_BLOCK

_TERMS = ServerPerMessageDeflateFactory(
    server_no_context_takeover=True,
    client_no_context_takeover=True,
    server_max_window_bits=WINDOW_BITS,
)


class InflateError(Exception):
    """A message is no whole DEFLATE stream."""


def negotiate(values: Sequence[str]) -> str | None:
    """Answer the values of Sec-WebSocket-Extensions with one: the first offer that suits.

    None where none does. Raises InvalidHeaderFormat for what is no list of offers.
    """
    if not values:
        return None
    offers = ", ".join(values)
    # Browsers of one kind all say the same.
    return _recall(offers) if len(offers) <= _REMEMBERED_CHARACTERS else _choose(offers)


def _choose(offers: str) -> str | None:
    for name, parameters in parse_extension(offers):
        if name != _TERMS.name:
            continue
        try:
            answer, agreed = _TERMS.process_request_params(parameters, ())
        except NegotiationError:
            continue
        if agreed.local_max_window_bits == WINDOW_BITS:
            return build_extension([(name, answer)])
    return None


_recall = lru_cache(maxsize=_REMEMBERED_OFFERS)(_choose)


def deflate(payload: bytes) -> bytes:
    """Compress a whole message."""
    stream = zlib.compressobj(LEVEL, zlib.DEFLATED, -WINDOW_BITS, MEMORY_LEVEL)
    return (stream.compress(payload) + stream.flush(zlib.Z_SYNC_FLUSH))[: -len(_SYNC_TAIL)]


class Inflater:
    """Inflates one message, frame by frame."""

    __slots__ = ("_stream",)

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)

    def inflate(self, payload: bytes, room: int, *, last: bool) -> bytes:
        """Return what the message's next frame holds, but at most `room` + 1 bytes: so many say
        that it holds more than `room`, and the message is not to be inflated further.

        Raises InflateError.
        """
        stream = self._stream
        try:
            inflated = stream.decompress(payload, room + 1)
            if len(inflated) <= room and last and not stream.eof:
                inflated += stream.decompress(_END, room + 1 - len(inflated))
                # The tail may end a final block too.
                is_sound: bool = stream.eof and stream.unused_data in (b"", _FINAL_BLOCK)
            else:
                # What follows a final block: nothing, or the padding of 7.2.3.5.
                is_sound = stream.unused_data in (b"", b"\x00")
        except zlib.error as error:
            raise InflateError(str(error)) from None
        if not is_sound and len(inflated) <= room:
            raise InflateError("not one whole DEFLATE stream")
        return inflated
