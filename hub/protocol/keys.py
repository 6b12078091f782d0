"""The names under which a channel lives in Redis.

One hash tag a channel, so that all its keys share a cluster slot (Redis Cluster specification,
"Hash tags"). Channel names have no braces, so a name can't break out of its tag.
"""

from __future__ import annotations

PREFIX = "tapecast:"


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
    """String (value), hash of rows (table) or hash of key to digest and position (log)."""
    return f"{pubsub(channel)}:state"


def entry_keys(channel: str) -> str:
    """Sorted set of the keys of a log's entries by seq: the oldest are forgotten first."""
    return f"{pubsub(channel)}:keys"


def answers(channel: str, producer: str) -> str:
    """Hash: a ring of a producer's last publishes, n modulo its size to n and answer; expires when
    the producer is gone."""
    return f"{pubsub(channel)}:ids:{producer}"


META_PATTERN = f"{PREFIX}{{*}}:meta"
"""What SCAN matches to list the channels."""


def channel_of_meta(key: str) -> str:
    """The channel whose meta key this is."""
    return key[len(PREFIX) + 1 : -len("}:meta")]


def channel_of_pubsub(name: bytes) -> str:
    """The channel whose pub/sub name this is."""
    return name[len(PREFIX) + 1 : -1].decode()
