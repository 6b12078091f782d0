"""What can be wrong with what travels.

ProtocolError              carries a row of `codes`; safe to tell the peer
├── ChannelNameError       a name or pattern outside the grammar
├── CommandError           a client's command that cannot be carried out
├── PayloadError           data that must not be published
├── KindMismatchError      a publish of another kind than the channel's
└── EnvelopeError          bytes from the broker that are no envelope
"""

from __future__ import annotations

from hub.protocol import codes
from hub.protocol.codes import Code


class ProtocolError(Exception):
    """A breach of the protocol by whoever sent the bytes; `code` says which rule."""

    code: Code = codes.BAD_REQUEST

    def __init__(self, message: str, *, code: Code | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class ChannelNameError(ProtocolError):
    """A channel name or pattern that the grammar does not allow."""


class CommandError(ProtocolError):
    """A client's command that was understood as one, and cannot be carried out.

    `id` is the command's own, or None where it could not be read.
    """

    def __init__(self, message: str, *, id: int | None = None, code: Code | None = None) -> None:
        super().__init__(message, code=code)
        self.id = id


class PayloadError(ProtocolError):
    """Data that must not be published: no JSON, too large, too deep, or money that is no number."""

    code = codes.INVALID_DATA


class KindMismatchError(ProtocolError):
    """A publish of one kind to a channel that was recorded as another."""

    code = codes.KIND_MISMATCH


class EnvelopeError(ProtocolError):
    """Bytes on a channel's pub/sub name or stream that no publish script wrote."""
