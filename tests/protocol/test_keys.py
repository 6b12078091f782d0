"""The names under which a channel lives in Redis."""

from __future__ import annotations

import pytest

from hub.protocol import keys

CHANNEL = "positions:acct-7"


def test_all_keys_of_a_channel_share_a_slot() -> None:
    """Every key of a channel has the channel's name, and nothing else, as its hash tag."""
    names = [
        keys.meta(CHANNEL),
        keys.log(CHANNEL),
        keys.state(CHANNEL),
        keys.entry_keys(CHANNEL),
        keys.answers(CHANNEL, "agent-1"),
        keys.pubsub(CHANNEL),
    ]
    assert len(set(names)) == len(names)
    for name in names:
        assert name.startswith("tapecast:")
        assert name[name.index("{") + 1 : name.index("}")] == CHANNEL


@pytest.mark.parametrize("channel", ["a", CHANNEL, "meta", "a:meta"])
def test_names_lead_back_to_their_channel(channel: str) -> None:
    """A channel is found again from its meta key and from its pub/sub name."""
    assert keys.channel_of_meta(keys.meta(channel)) == channel
    assert keys.channel_of_pubsub(keys.pubsub(channel).encode()) == channel
    assert keys.meta("*") == keys.META_PATTERN
