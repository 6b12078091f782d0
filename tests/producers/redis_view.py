"""What stands in Redis, seen from outside the publisher."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from redis import Redis

from hub.protocol import keys
from hub.protocol.envelope import Envelope, decode_envelope
from hub.protocol.position import Position
from tests.support.valkey import Valkey

DEADLINE_SECONDS = 20.0


async def eventually(condition: Callable[[], bool], what: str) -> None:
    """Return once `condition` holds; fail with `what` where it never does."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not condition():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"never happened: {what}") from None


def envelopes(valkey: Valkey, channel: str) -> list[Envelope]:
    """All entries of a channel, proved to be one chain without a hole or a repetition."""
    with Redis.from_url(valkey.url) as redis:
        entries: Any = redis.xrange(keys.log(channel))
    found = [decode_envelope(channel, fields[b"e"]) for _id, fields in entries]
    if found:
        at = Position(found[0].position.epoch, 0, "")
        for envelope in found:
            assert envelope.follows(at), f"{channel}: {envelope.position} does not follow {at}"
            at = envelope.position
    return found


def history(valkey: Valkey, channel: str) -> list[tuple[str, Any]]:
    """The events and data of all entries of a channel."""
    return [(each.event, json.loads(each.data)) for each in envelopes(valkey, channel)]


def meta(valkey: Valkey, channel: str) -> dict[str, str]:
    """What a channel's meta key says."""
    with Redis.from_url(valkey.url, decode_responses=True) as redis:
        found: Any = redis.hgetall(keys.meta(channel))
    return dict(found)


def command(valkey: Valkey, *words: str) -> Any:
    """Send one command by a link of its own."""
    with Redis.from_url(valkey.url) as redis:
        return redis.execute_command(*words)
