"""What a source said, looked at and published: each kind of reading in its own way."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import msgspec

from producers.answers import Answer, Outcome
from producers.errors import BufferFull, ProducerError, SourceError
from producers.events import (
    AgentStatus,
    Alert,
    Decision,
    Health,
    Payload,
    Portfolio,
    Severity,
    TradingPosition,
)
from producers.publisher import Publisher
from producers.sources.base import (
    Decided,
    FollowingSource,
    Happened,
    Positions,
    Reading,
    Relayed,
    State,
    Trouble,
)

logger = logging.getLogger(__name__)

MAX_AHEAD: Final = 256
"""How many publishes of a following source may be unanswered."""

Result: TypeAlias = Answer | ProducerError
Report: TypeAlias = Callable[[Reading, Result], None]
"""Told of every reading and what became of its publish."""


def checked(readings: object) -> Sequence[Reading]:
    """What a source gave, if it is readings; raises SourceError."""
    if not isinstance(readings, list | tuple):
        raise SourceError(f"expected a list of readings, got {readings!r:.80}")
    for reading in readings:
        if not _is_reading(reading):
            raise SourceError(f"expected a reading, got {reading!r:.80}")
    return readings


def _is_reading(reading: object) -> bool:
    """Whether every field is of its type; what a payload promises, it has checked itself."""
    match reading:
        case State(channel=str(), payload=Portfolio() | AgentStatus() | Health()):
            return True
        case Positions(channel=str(), rows=rows):
            return isinstance(rows, tuple | list) and all(
                isinstance(row, TradingPosition) for row in rows
            )
        case Decided(channel=str(), decision=Decision()):
            return True
        case Happened(channel=str(), event=str(), payload=Payload(), key=str()):
            return True
        case Relayed(channel=str(), event=str(), data=msgspec.Raw(), key=str(), lease=lease):
            return lease is None or (isinstance(lease, float | int) and 0 <= lease < math.inf)
        case Trouble(channel=str(), title=str(), detail=str(), key=str()):
            return True
    return False


async def publish_reading(
    publisher: Publisher, reading: Reading, *, lease: float | None = None
) -> Answer:
    """Publish what a source said, and wait until it is stored.

    Raises what the publisher raises, and BufferFull where it gave the publish up.
    """
    answer = await _publish(publisher, reading, lease)
    if answer.outcome is Outcome.GIVEN_UP:
        raise BufferFull(reading.channel, "given up: too much waits for Redis")
    return answer


async def _publish(publisher: Publisher, reading: Reading, lease: float | None) -> Answer:
    """Each thing in its own way."""
    channel = reading.channel
    match reading:
        case State(payload=payload):
            return await publisher.state(channel, payload, lease=lease, wait=True)
        case Positions(rows=rows):
            return await publisher.positions(rows, channel=channel, lease=lease, wait=True)
        case Decided(decision=decision):
            return await publisher.decision(decision, channel=channel, lease=lease, wait=True)
        case Happened(event=event, payload=payload, key=key):
            return await publisher.publish(channel, event, payload, key=key, lease=lease, wait=True)
        case Relayed(event=event, data=data, key=key, lease=own):
            own = lease if own is None else own
            return await publisher.publish(channel, event, data, key=key, lease=own, wait=True)
        case Trouble(title=title, detail=detail, key=key):
            alert = Alert(severity=Severity.WARNING, title=title, detail=detail)
            return await publisher.alert(alert, channel=channel, key=key, wait=True)


async def publish_once(
    source: FollowingSource, publisher: Publisher, *, report: Report | None = None
) -> Counter[str]:
    """Publish what a source holds now.

    Counts readings as published, unchanged, refused or, for what the source could not read,
    broken. Raises what the source raises.
    """
    counts: Counter[str] = Counter()
    ahead = asyncio.Semaphore(MAX_AHEAD)

    async def publish(reading: Reading) -> None:
        result: Result
        try:
            result = await publish_reading(publisher, reading)
        except ProducerError as error:
            logger.warning("%s", error)
            result = error
        finally:
            ahead.release()
        counts[_name_of(reading, result)] += 1
        if report is not None:
            report(reading, result)

    readings = checked(await source.read_once())
    async with asyncio.TaskGroup() as group:
        for reading in readings:
            await ahead.acquire()
            group.create_task(publish(reading))
    return counts


def _name_of(reading: Reading, result: Result) -> str:
    if isinstance(reading, Trouble):
        return "broken"
    if isinstance(result, ProducerError):
        return "refused"
    return "published" if is_news(result) else "unchanged"


def is_news(result: Result) -> bool:
    """Whether a publish travelled."""
    return isinstance(result, Answer) and result.is_news
