"""The grammar of channel names, event names and patterns.

A channel is `stream` or `stream:key`: parts of lower case ASCII letters, digits, `_`, `-` and `.`,
joined by `:`, 255 bytes at most. A pattern is a channel name, `*` for all of them, or a name whose
last part is `*`: `positions:*` takes `positions:acct-7` and `positions:desk:acct-7`, but not
`positions` itself.
"""

from __future__ import annotations

import re

from hub.protocol.errors import ChannelNameError

MAX_CHANNEL_BYTES = 255

_CHANNEL = re.compile(r"[a-z0-9_.-]+(?::[a-z0-9_.-]+)*")
_EVENT = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def check_channel(name: str) -> str:
    """Return `name`, or raise ChannelNameError that says what a name looks like."""
    if len(name) <= MAX_CHANNEL_BYTES and _CHANNEL.fullmatch(name):
        return name
    raise ChannelNameError(
        "expected a channel name (lower case letters, digits, '_', '-', '.', parts joined by ':', "
        f"at most {MAX_CHANNEL_BYTES} bytes), got {_shown(name)}"
    )


def check_event(name: str) -> str:
    """Return `name`, or raise ChannelNameError that says what an event's name looks like."""
    if _EVENT.fullmatch(name):
        return name
    raise ChannelNameError(
        "expected an event name (letters, digits, '_', '-', '.', ':', at most 64 bytes), "
        f"got {_shown(name)}"
    )


def check_pattern(pattern: str) -> str:
    """Return `pattern`, or raise ChannelNameError that says what a pattern looks like."""
    prefix = pattern.removesuffix(":*")
    if pattern == "*" or (len(prefix) <= MAX_CHANNEL_BYTES and _CHANNEL.fullmatch(prefix)):
        return pattern
    raise ChannelNameError(
        f"expected a channel pattern (a channel name, 'name:*' or '*'), got {_shown(pattern)}"
    )


def matches(pattern: str, channel: str) -> bool:
    """Whether a well-formed pattern takes a well-formed channel name."""
    if pattern == "*":
        return True
    if pattern.endswith(":*"):
        return channel.startswith(pattern[:-1])
    return channel == pattern


def stream_of(channel: str) -> str:
    """The stream a channel belongs to: the first part of its name."""
    return channel.partition(":")[0]


def _shown(name: str) -> str:
    return repr(name) if len(name) <= 80 else f"{name[:80]!r}... ({len(name)} characters)"
