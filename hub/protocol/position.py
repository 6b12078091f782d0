"""Where in a channel's history something stands."""

from __future__ import annotations

from hashlib import sha1
from typing import Annotated

import msgspec

MAX_SEQ = 2**53 - 1
"""The largest whole number that every JSON reader keeps exact (RFC 8259 section 6)."""


class Position(msgspec.Struct, frozen=True, gc=False):
    """`seq` counts a channel's accepted publishes, `epoch` names the history that it counts in,
    `tag` chains the entry to the one before it. An empty channel stands at seq 0 with tag ""."""

    epoch: str
    seq: Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQ)]
    tag: str


def chain_tag(prev_tag: str, epoch: str, seq: int, event: str, ts: int, data: bytes) -> str:
    """The tag of an entry that follows one tagged `prev_tag`; "" precedes the first.

    The publish script computes the same, so whoever holds an entry and its predecessor's tag can
    prove that nothing lies between them and that neither was replaced. It guards against forks and
    rollbacks, not against an adversary with write access to the broker.
    """
    head = f"{prev_tag} {epoch} {seq} {event} {ts} ".encode()
    return sha1(head + data, usedforsecurity=False).hexdigest()[:8]
