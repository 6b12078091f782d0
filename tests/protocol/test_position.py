"""The chain of tags."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.protocol.position import MAX_SEQ, Position, chain_tag
from tests.support.vectors import vectors

FIELDS = {
    "prev_tag": st.sampled_from(["", "0a1b2c3d", "ffffffff"]),
    "epoch": st.sampled_from(["e1", "e2"]),
    "seq": st.integers(1, 3),
    "event": st.sampled_from(["set", "unset"]),
    "ts": st.integers(0, 3),
    "data": st.sampled_from([b"1", b"2", b'""']),
}


@pytest.mark.parametrize("chain", vectors("envelopes")["chains"], ids=lambda chain: chain["name"])
def test_tags_are_those_of_the_vectors(chain: dict[str, Any]) -> None:
    """Each entry's tag is the hash of its predecessor's and of itself."""
    prev = ""
    for entry in chain["entries"]:
        assert entry["prev_tag"] == prev
        prev = chain_tag(
            prev,
            chain["epoch"],
            entry["seq"],
            entry["event"],
            entry["ts"],
            entry["data"].encode(),
        )
        assert prev == entry["tag"]


@given(st.fixed_dictionaries(FIELDS), st.fixed_dictionaries(FIELDS))
def test_a_tag_tells_entries_apart(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Two entries that differ in anything have different tags."""
    assert (chain_tag(**one) == chain_tag(**other)) is (one == other)


@pytest.mark.parametrize("seq", [-1, MAX_SEQ + 1])
def test_a_seq_from_outside_is_bounded(seq: int) -> None:
    """A seq that no channel can have is refused where a position is read."""
    text = msgspec.json.encode({"epoch": "e", "seq": seq, "tag": ""})
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Position)
