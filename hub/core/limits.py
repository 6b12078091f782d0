"""The bounds and deadlines that the core decides by."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True):
    """One set for all connections of a hub.

    auth_seconds: from accept to a token. heartbeat_seconds: between heartbeats.
    stall_seconds: a transport that takes nothing for so long is aborted.
    outbox_bytes, outbox_frames, outbox_seconds: what may wait for one connection, and for how long.
    answer_bytes: what may wait beside that because the client itself asked for it by subscribing.
    max_subscriptions: of one connection. max_publishes: of one connection, unanswered.
    max_strikes: text frames that are no JSON object before the connection closes.
    """

    auth_seconds: float = 5.0
    heartbeat_seconds: float = 5.0
    stall_seconds: float = 10.0
    outbox_bytes: int = 1024 * 1024
    outbox_frames: int = 20_000
    outbox_seconds: float = 10.0
    answer_bytes: int = 8 * 1024 * 1024
    max_subscriptions: int = 1_000
    max_publishes: int = 64
    max_strikes: int = 5
