"""What the hub and its producers know of a channel before its first publish."""

from __future__ import annotations

import enum
from collections.abc import Mapping

import msgspec

from hub.protocol.channels import stream_of


class Kind(enum.StrEnum):
    """What a channel carries; snapshot, resume and conflation follow from it."""

    VALUE = "value"
    """The last value counts: portfolio, status, health."""
    TABLE = "table"
    """Rows by key, upserted and deleted: positions."""
    LOG = "log"
    """Every entry counts: decisions, agent events, alerts."""


MAX_HISTORY = 300


class Stream(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options that all channels of one stream share.

    kind: what its channels carry.
    history: entries in the snapshot of a log, 1 to 300.
    keep: entries that the broker keeps for resumes, at least.
    keys_keep: keys of log entries that are remembered, so that one key is published once.
    deadline_seconds: stale after so long without a publish, where no producer set a lease;
        None: never stale by itself.
    """

    kind: Kind = Kind.LOG
    history: int = 50
    keep: int = 10_000
    keys_keep: int = 100_000
    deadline_seconds: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.history <= MAX_HISTORY:
            raise ValueError(f"history: expected 1 to {MAX_HISTORY} entries, got {self.history}")
        if self.keep < self.history:
            raise ValueError(
                f"keep: expected at least history ({self.history}) entries, got {self.keep}"
            )
        if self.keys_keep < 1:
            raise ValueError(f"keys_keep: expected at least 1 key, got {self.keys_keep}")
        if self.deadline_seconds is not None and not self.deadline_seconds > 0:
            raise ValueError(f"deadline_seconds: expected more than 0, got {self.deadline_seconds}")


UNCONFIGURED = Stream()
"""A stream that nobody configured is a log: nothing published to it is ever conflated away."""

KNOWN: Mapping[str, Stream] = {
    "portfolio": Stream(Kind.VALUE),
    "positions": Stream(Kind.TABLE),
    "decisions": Stream(Kind.LOG),
    "agent": Stream(Kind.LOG),
    "status": Stream(Kind.VALUE),
    "health": Stream(Kind.VALUE),
    "alerts": Stream(Kind.LOG),
    # Stale where no agent listens, from the start.
    "commands": Stream(Kind.LOG, deadline_seconds=5.0),
}
"""The streams known from the start; configuration adds to them and overrides them."""


def stream_options(channel: str, streams: Mapping[str, Stream] = KNOWN) -> Stream:
    """The options of the stream that `channel` belongs to."""
    return streams.get(stream_of(channel), UNCONFIGURED)
