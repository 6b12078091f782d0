"""What a claim is called with; what it is answered is in tests/broker/test_contract.py."""

from __future__ import annotations

import pytest

from hub.protocol import keys
from hub.protocol.claims import claim_call
from hub.protocol.errors import ChannelNameError


def test_a_claim_is_of_one_producer_and_one_body() -> None:
    """It lives with the producer's answers, and knows the body by a digest."""
    one, again, other = (claim_call("news", "p", body) for body in (b"1", b"1", b"2"))
    assert one == again
    assert one.keys == other.keys == (keys.answers("news", "p"),)
    assert one.args[0] != other.args[0]
    with pytest.raises(ChannelNameError):
        claim_call("No", "p", b"1")
