"""How patient the Redis broker is."""

from __future__ import annotations

import msgspec


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """All in seconds.

    connect_seconds: for a link to be made.
    command_seconds: for a command, or a batch of them, from the wish to the last answer.
    subscribe_seconds: for a subscription's confirmation.
    ping_seconds: so long a silent pub/sub link is believed to be alive; then it is asked.
    pong_seconds: so long it may take to answer.
    retry_least_seconds, retry_most_seconds: what the pause before a new link is drawn below
        (full jitter), at first and after many failures.
    probe_seconds: between two delivery probes; probe_deadline_seconds: for one to come back.
    """

    connect_seconds: float = 3.0
    command_seconds: float = 3.0
    subscribe_seconds: float = 5.0
    ping_seconds: float = 3.0
    pong_seconds: float = 3.0
    retry_least_seconds: float = 0.05
    retry_most_seconds: float = 2.0
    probe_seconds: float = 1.0
    probe_deadline_seconds: float = 3.0
