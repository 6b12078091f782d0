"""Tests of hub.core.frame."""

from __future__ import annotations

import pytest

from hub.core.frame import JOINED_BYTES, Frame, joinable


def test_a_frame_is_spelled_by_nobody_at_first() -> None:
    """A new frame has its payload and that payload's length; spellings are its transports'."""
    frame = Frame(b"{}")
    assert (frame.payload, len(frame)) == (b"{}", 2)
    assert frame.wire is None
    assert frame.compressed is None
    assert frame.text is None
    assert frame.translated is None


@pytest.mark.parametrize(
    ("sizes", "runs"),
    [
        ([], []),
        ([1], [[1]]),
        ([1, 2, JOINED_BYTES - 3], [[1, 2, JOINED_BYTES - 3]]),
        ([1, 2, JOINED_BYTES - 2], [[1, 2], [JOINED_BYTES - 2]]),
        ([JOINED_BYTES + 1, 1, 1], [[JOINED_BYTES + 1], [1, 1]]),
        ([1, JOINED_BYTES + 1, 1], [[1], [JOINED_BYTES + 1], [1]]),
    ],
)
def test_frames_are_joined_up_to_a_bound(sizes: list[int], runs: list[list[int]]) -> None:
    """In order, none left out; a frame over the bound goes alone."""
    assert [[*map(len, run)] for run in joinable(Frame(b"x" * size) for size in sizes)] == runs
