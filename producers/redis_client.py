"""redis-py's client, as every link of a producer has it."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff


def make_client(url: str, *, name: str, connect_seconds: float) -> Redis:
    """A client that tries everything once: when to try again is its link's to decide.

    name: for people who list Redis's clients.
    """
    # Every one of these has another default somewhere, so all of them stand here.
    client: Redis = Redis.from_url(
        url,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        # With one of its own, redis-py sends from a task of its own: after all that is waiting to
        # run, so that Redis idles while callers prepare what they send next.
        socket_timeout=None,
        socket_connect_timeout=connect_seconds,
        health_check_interval=0,
        client_name=name,
    )
    return client
