"""hub/protocol/lines.py: what is read in pieces, as lines."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hub.protocol.lines import Lines, Numbered


def split(pieces: list[bytes], max_bytes: int = 100) -> list[Numbered]:
    """All lines of what is received in these pieces."""
    lines = Lines(max_bytes)
    found = [line for piece in pieces for line in lines.receive(piece)]
    return found + lines.end()


def test_lines_are_numbered() -> None:
    """Blank lines count and are left out; the last one needs no end."""
    assert split([b"a\n\n  \nb\r\nc"]) == [(1, b"a"), (4, b"b\r"), (5, b"c")]
    assert split([b"a\n"]) == [(1, b"a")]
    assert split([]) == []


@given(st.text("ab\n \r").map(str.encode), st.lists(st.integers(0, 50)))
def test_pieces_make_no_difference(text: bytes, cuts: list[int]) -> None:
    """Wherever the pieces end, the lines are those of the whole."""
    at = [0, *sorted(cuts), len(text)]
    pieces = [text[begin:end] for begin, end in pairwise(at)]
    assert split(pieces) == split([text])


def test_a_line_without_an_end_is_bounded() -> None:
    """It comes one byte longer than it may be, and fills no memory."""
    lines = Lines(10)
    for _ in range(1000):
        assert lines.receive(b"x" * 10) == []
    [(number, line)] = lines.receive(b"\n")
    assert number == 1
    assert 10 < len(line) <= 21
    assert lines.receive(b"y\n") == [(2, b"y")]
