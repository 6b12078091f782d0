"""Tests of hub.core.limits."""

from __future__ import annotations

from hub.core.feed import RING_BYTES
from hub.core.limits import Limits


def test_a_closed_client_can_be_caught_up() -> None:
    """Whoever was closed because too much waited missed at least that, and what the ring holds
    may come in one answer: both are within the bound for answers."""
    limits = Limits()
    assert limits.outbox_bytes + RING_BYTES < limits.answer_bytes
