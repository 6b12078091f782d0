"""Tests of hub.core.frame."""

from __future__ import annotations

from hub.core.frame import Frame


def test_a_frame_is_spelled_by_nobody_at_first() -> None:
    """A new frame has its payload and that payload's length; spellings are its transports'."""
    frame = Frame(b"{}")
    assert (frame.payload, len(frame)) == (b"{}", 2)
    assert frame.wire is None
    assert frame.text is None
