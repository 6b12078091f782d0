"""The grammar of channel names, event names and patterns."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.protocol.channels import (
    MAX_CHANNEL_BYTES,
    check_channel,
    check_event,
    check_pattern,
    matches,
    stream_of,
)
from hub.protocol.errors import ChannelNameError

PART = st.text(string.ascii_lowercase + string.digits + "_.-", min_size=1, max_size=12)
CHANNEL = st.lists(PART, min_size=1, max_size=4).map(":".join)


@given(CHANNEL)
def test_names_of_the_grammar_are_channels(name: str) -> None:
    """Parts of the allowed characters, joined by colons, name a channel and its stream."""
    assert check_channel(name) is name
    assert stream_of(name) == name.split(":")[0]


@given(st.text(max_size=300))
def test_any_other_text_is_refused(name: str) -> None:
    """A text is a channel by the grammar alone, read here without a regular expression."""
    allowed = set(string.ascii_lowercase + string.digits + "_.-")
    good = len(name) <= 255 and all(part and set(part) <= allowed for part in name.split(":"))
    if good:
        check_channel(name)
    else:
        with pytest.raises(ChannelNameError):
            check_channel(name)


@pytest.mark.parametrize(
    "name",
    ["", ":", "a:", ":a", "a::b", "A", "a b", "a\n", "a{b}", "ä", "a*", "a/b", "x" * 256],
)
def test_wrong_names_are_refused_with_what_was_expected(name: str) -> None:
    """The error says what a name looks like, and shows at most the beginning of a long one."""
    with pytest.raises(ChannelNameError, match="expected a channel name") as refusal:
        check_channel(name)
    assert len(refusal.value.message) < 300


def test_the_longest_name_is_allowed() -> None:
    """A name may have 255 bytes and no more."""
    assert check_channel("x" * MAX_CHANNEL_BYTES)


@pytest.mark.parametrize("name", ["a", "decision_made", "agent.pause", "A:b-c", "x" * 64])
def test_events_may_use_upper_case(name: str) -> None:
    """Events are letters, digits and a few signs."""
    assert check_event(name) == name


@pytest.mark.parametrize("name", ["", "a b", "a\n", "é", '"', "x" * 65])
def test_wrong_events_are_refused(name: str) -> None:
    """What would not survive in an envelope's head is no event."""
    with pytest.raises(ChannelNameError, match="expected an event name"):
        check_event(name)


@pytest.mark.parametrize("pattern", ["*", "positions", "positions:acct-7", "positions:*", "a:b:*"])
def test_patterns_are_names_with_a_star_at_the_end(pattern: str) -> None:
    """A pattern is a channel, all channels, or all below a name."""
    assert check_pattern(pattern) == pattern


@pytest.mark.parametrize(
    "pattern", ["", "**", "*:a", "a*", "a:*:b", ":*", "A:*", "a:**", "x" * 256 + ":*"]
)
def test_wrong_patterns_are_refused(pattern: str) -> None:
    """A star anywhere else would promise what matching does not do."""
    with pytest.raises(ChannelNameError, match="expected a channel pattern"):
        check_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "channel", "taken"),
    [
        ("*", "positions", True),
        ("*", "positions:acct-7", True),
        ("positions", "positions", True),
        ("positions", "positions:acct-7", False),
        ("positions:*", "positions:acct-7", True),
        ("positions:*", "positions:desk:acct-7", True),
        ("positions:*", "positions", False),
        ("positions:*", "positions-old:acct-7", False),
        ("positions:desk:*", "positions:acct-7", False),
    ],
)
def test_patterns_take_what_they_say(pattern: str, channel: str, taken: bool) -> None:
    """A pattern of a name and a star takes what is below the name, and not the name."""
    assert matches(pattern, channel) is taken


@given(CHANNEL, CHANNEL)
def test_a_name_takes_itself_and_its_star_what_is_below(name: str, below: str) -> None:
    """Every name is a pattern for itself, and with a star for every name below it."""
    assert matches(name, name)
    assert matches(f"{name}:*", f"{name}:{below}")
    assert not matches(f"{name}:*", name)
