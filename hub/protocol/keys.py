"""The names under which a channel lives in Redis.

One hash tag a channel, so that all its keys share a cluster slot (Redis Cluster specification,
"Hash tags"). Channel names have no braces, so a name can't break out of its tag.
"""

from __future__ import annotations

from functools import lru_cache

PREFIX = "tapecast:"

NAMES_KEPT = 1_000
"""Channels whose names are kept made, since each publish needs them."""


def pubsub(channel: str) -> str:
    """The pub/sub name that the channel's envelopes are published on."""
    return f"{PREFIX}{{{channel}}}"


def meta(channel: str) -> str:
    """Hash: epoch, seq, tag, kind, lease (ms), until (us, server's clock), rows (of a table)."""
    return f"{pubsub(channel)}:meta"


def log(channel: str) -> str:
    """Stream of envelopes (field `e`), ids `<seq>-0`, trimmed to about the stream's `keep`."""
    return f"{pubsub(channel)}:log"


def state(channel: str) -> str:
    """String (value), hash of rows (table) or hash of key to digest and position (log); where
    commands travel, hash of a command's id to what a repetition is answered."""
    return f"{pubsub(channel)}:state"


def entry_keys(channel: str) -> str:
    """Sorted set of the keys of a log's entries by seq (of commands by time): the oldest are
    forgotten first."""
    return f"{pubsub(channel)}:keys"


def answers(channel: str, producer: str) -> str:
    """Hash: a ring of a producer's last publishes, n modulo its size to n and answer, and a digest
    of what was asked for under an idempotency key; expires when the producer is gone."""
    return f"{pubsub(channel)}:ids:{producer}"


@lru_cache(NAMES_KEPT)
def of_publish(channel: str, producer: str) -> tuple[str, str, str, str, str]:
    """What a producer's publishes to a channel touch, in the order of the script's KEYS."""
    return (
        meta(channel),
        log(channel),
        state(channel),
        entry_keys(channel),
        answers(channel, producer),
    )


# Of a channel that carries commands, besides.


def open_commands(channel: str) -> str:
    """Hash: the commands that have not ended, by id; see `command_scripts`."""
    return f"{pubsub(channel)}:open"


def waiting_commands(channel: str) -> str:
    """Sorted set of the ids that no worker has, in the order in which they are handed out."""
    return f"{pubsub(channel)}:waiting"


def due_commands(channel: str) -> str:
    """Sorted set of the open ids by when something becomes of them by itself (us)."""
    return f"{pubsub(channel)}:due"


def audit(channel: str) -> str:
    """Stream: every step of every command, who and when and from where; bounded."""
    return f"{pubsub(channel)}:audit"


# Of a log that rules publish alerts to, besides; `name` is that of the rules (see
# `producers.sources.alerts`).


def rules(channel: str, name: str) -> str:
    """Hash: what the rules remember, how far they saw each channel, and the last change of it."""
    return f"{pubsub(channel)}:rules:{name}"


def rules_lease(channel: str, name: str) -> str:
    """String: the token of who evaluates and delivers now; expires when that one died."""
    return f"{rules(channel, name)}:lease"


def sinks(channel: str, name: str) -> str:
    """Hash: up to where each sink has the log."""
    return f"{pubsub(channel)}:sinks:{name}"


COMMANDED = f"{PREFIX}{{commands}}:channels"
"""Set: the channels that commands were ever sent to."""

DENIED = f"{PREFIX}{{commands}}:denied"
"""Stream: commands by those who had no right to them; apart, so that they push out no others."""

PUSH_SUBSCRIPTIONS = f"{PREFIX}{{alerts}}:push"
"""Hash: the browsers that are told of alerts by Web Push, by id; see `push`."""


META_PATTERN = f"{PREFIX}{{*}}:meta"
"""What SCAN matches to list the channels."""


def channel_of_meta(key: str) -> str:
    """The channel whose meta key this is."""
    return key[len(PREFIX) + 1 : -len("}:meta")]


def channel_of_pubsub(name: bytes) -> str:
    """The channel whose pub/sub name this is."""
    return name[len(PREFIX) + 1 : -1].decode()
