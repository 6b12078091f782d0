"""What can be wrong with what travels."""

from __future__ import annotations

import pytest

from hub.protocol import codes, errors
from hub.protocol.errors import CommandError, ProtocolError


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("ChannelNameError", codes.BAD_REQUEST),
        ("CommandError", codes.BAD_REQUEST),
        ("PayloadError", codes.INVALID_DATA),
        ("KindMismatchError", codes.KIND_MISMATCH),
        ("EnvelopeError", codes.BAD_REQUEST),
    ],
)
def test_errors_carry_their_code(name: str, code: codes.Code) -> None:
    """Each error says what to tell the peer, and with which code."""
    error = getattr(errors, name)("expected this, got that")
    assert isinstance(error, ProtocolError)
    assert error.code is code
    assert error.message == str(error) == "expected this, got that"


def test_a_code_can_be_more_precise() -> None:
    """One refusal may choose another row of the table than its class."""
    error = CommandError("no such method", id=7, code=codes.NOT_FOUND)
    assert (error.id, error.code) == (7, codes.NOT_FOUND)
    assert CommandError("what").code is codes.BAD_REQUEST
