"""Runs one source: reads it, publishes what it says, and keeps its channels' deadline.

The rules:

1. A polling source is called on an interval, at most `timeout` seconds long. Calls never overlap,
   and a late one skips those that it overran.
2. After a failure the source is left alone for a while: longer each time, with jitter.
3. While the source is well, its channels are renewed with a lease, those too that it had nothing
   new for. While it is not, they are not: dashboards must see them go stale.
4. How the source is doing stands on its health channel, merged with the health that the source
   reports itself. A channel that refuses what is published to it shows there too.
5. Publishing never holds up polling, since what waits conflates in the publisher's buffer. Only a
   following source, which could read ahead without an end, waits for its publishes.
6. `stop` ends reading at once and lets what is being published finish.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from hub.protocol.publication import Receipt
from producers.errors import InvalidPayload, ProducerError, PublishRefused, SourceError, SourceGone
from producers.events import Alert, Component, Health, HealthState, Severity
from producers.publisher import Publisher
from producers.sender import Answer
from producers.sources.base import (
    TIMEOUT_SECONDS,
    Decided,
    FollowingSource,
    Happened,
    PollingSource,
    Positions,
    Reading,
    State,
    Trouble,
)

logger = logging.getLogger(__name__)

Outcome: TypeAlias = Answer | ProducerError
Report: TypeAlias = Callable[[Reading, Outcome], None]
"""Told of every reading and what became of its publish."""

RENEWAL_SECONDS: Final = 2.0
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 30.0
FINISH_SECONDS: Final = 5.0
MAX_AHEAD: Final = 256
"""How many publishes of a following source may be unanswered."""

_WORST_LAST: Final = (HealthState.OK, HealthState.DEGRADED, HealthState.DOWN)
_WELL: Final = Component(state=HealthState.OK)


class Worker:
    """One source and one publisher, which the caller has opened.

    interval: seconds between calls of a polling source, and between renewals of a following one.
    timeout: seconds that one call of a polling source may take.
    first_pause, longest_pause: seconds, before jitter, that a failed source is left alone.
    """

    def __init__(
        self,
        source: PollingSource | FollowingSource,
        publisher: Publisher,
        *,
        interval: float | None = None,
        timeout: float = TIMEOUT_SECONDS,
        first_pause: float = FIRST_PAUSE_SECONDS,
        longest_pause: float = LONGEST_PAUSE_SECONDS,
        report: Report | None = None,
    ) -> None:
        if interval is None:
            interval = RENEWAL_SECONDS
            if isinstance(source, PollingSource):
                interval = source.interval_seconds
        self.lease_seconds = max(3 * interval, interval + timeout)
        """How long the channels are fresh after the last sign of the source."""
        self._source = source
        self._publisher = publisher
        self._interval = interval
        self._timeout = timeout
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._report = report
        self._stopped = asyncio.Event()
        self._publishes: set[asyncio.Task[None]] = set()
        self._ahead = asyncio.Semaphore(MAX_AHEAD)
        self._failures = 0
        self._own_health = Health(state=HealthState.OK)
        self._source_component: Component | None = None
        self._refusals: dict[str, str] = {}

    def stop(self) -> None:
        """Make `run` return, as soon as what is being published has its answer."""
        self._stopped.set()

    async def run(self) -> None:
        """Read and publish until `stop`. Raises only what is a mistake in this package."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            reading = group.create_task(self._read(), name="worker reads")
            await self._stopped.wait()
            reading.cancel()
            await asyncio.wait([reading])
            if self._publishes:
                await asyncio.wait(self._publishes, timeout=FINISH_SECONDS)
            for left in self._publishes:
                left.cancel()

    async def _read(self) -> None:
        if isinstance(self._source, PollingSource):
            await self._poll(self._source)
        else:
            await self._follow(self._source)

    async def _poll(self, source: PollingSource) -> None:
        now = asyncio.get_running_loop().time
        due = now()
        while True:
            try:
                readings = await self._ask(source)
            # A source is somebody else's code: whatever it raises is its failure, not ours.
            except Exception as error:
                await self._pause(error)
                due = now()
                continue
            self._is_well()
            for reading in readings:
                self._start(self._publish(reading))
            self._renew(besides={reading.channel for reading in readings})
            # The next time of the grid that is still to come.
            overrun = max(0.0, now() - due)
            due += self._interval * (1 + overrun // self._interval)
            await asyncio.sleep(due - now())

    async def _ask(self, source: PollingSource) -> Sequence[Reading]:
        task = asyncio.current_task()
        assert task is not None
        try:
            async with asyncio.timeout(self._timeout):
                return _checked(await source.poll())
        except asyncio.CancelledError:
            # Of this worker, or of something within the source, which is a failure like others.
            if task.cancelling():
                raise
            raise SourceError("its call was cancelled from within") from None

    async def _follow(self, source: FollowingSource) -> None:
        while True:
            renewing: asyncio.Task[None] | None = None
            try:
                async with contextlib.aclosing(source.follow()) as batches:
                    async for batch in batches:
                        if renewing is None:
                            self._is_well()
                            renewing = self._group.create_task(self._keep_renewing())
                        for reading in _checked(batch):
                            await self._ahead.acquire()
                            publish = self._start(self._publish(reading))
                            publish.add_done_callback(lambda _: self._ahead.release())
                failure: Exception = SourceGone("the source ended")
            # As in `_poll`.
            except Exception as error:
                failure = error
            finally:
                if renewing is not None:
                    renewing.cancel()
            await self._pause(failure)

    async def _keep_renewing(self) -> None:
        while True:
            self._renew()
            await asyncio.sleep(self.lease_seconds / 3)

    def _renew(self, besides: frozenset[str] | set[str] = frozenset()) -> None:
        # What was just published carries the lease already.
        for channel in self._source.channels:
            if channel not in besides:
                self._start(self._touch(channel))

    def _is_well(self) -> None:
        if self._failures:
            logger.info("the source is well again after %d failures", self._failures)
        self._failures = 0
        if self._source_component != _WELL:
            self._source_component = _WELL
            self._start(self._publish_health(self.lease_seconds))

    async def _pause(self, error: Exception) -> None:
        if isinstance(error, TimeoutError):
            error = SourceError(f"no answer within {self._timeout:g} s")
        known = isinstance(error, SourceError | OSError)
        logger.warning("the source failed: %s", error, exc_info=None if known else error)
        longest = min(self._longest_pause, self._first_pause * 2 ** min(self._failures, 16))
        self._failures += 1
        detail = str(error) or type(error).__name__
        self._source_component = Component(state=HealthState.DOWN, detail=detail)
        # That the source is down stays fresh until the next try is over.
        self._start(self._publish_health(longest + self._timeout + self.lease_seconds))
        await asyncio.sleep(longest * random.uniform(0.5, 1))

    async def _publish(self, reading: Reading) -> None:
        if isinstance(reading, State) and isinstance(reading.payload, Health):
            self._own_health = reading.payload
            reading = State(reading.channel, self._merged_health())
        channel = reading.channel
        lease = self.lease_seconds if channel in self._source.channels else None
        outcome: Outcome
        try:
            outcome = await publish_reading(self._publisher, reading, lease=lease)
            self._note_refusal(channel, None)
        except ProducerError as error:
            outcome = error
            # The publisher tells of a full buffer itself, and not once for each publish.
            if isinstance(error, PublishRefused | InvalidPayload):
                self._note_refusal(channel, str(error))
        if self._report is not None:
            self._report(reading, outcome)

    async def _touch(self, channel: str) -> None:
        with contextlib.suppress(ProducerError):
            await self._publisher.touch(channel, lease=self.lease_seconds)

    async def _publish_health(self, lease: float) -> None:
        # Nothing could be said about a health channel that can't be published to.
        with contextlib.suppress(ProducerError):
            await self._publisher.health(
                self._merged_health(), channel=self._source.health_channel, lease=lease
            )

    def _note_refusal(self, channel: str, why: str | None) -> None:
        before = self._refusals.get(channel)
        if why is None:
            self._refusals.pop(channel, None)
        else:
            self._refusals[channel] = why
            # A source that is asked twice a second would be refused as often.
            if before != why:
                logger.warning("%s", why)
        if before != why and channel != self._source.health_channel:
            self._start(self._publish_health(self.lease_seconds))

    def _merged_health(self) -> Health:
        components = dict(self._own_health.components)
        if self._source_component is not None:
            components["source"] = self._source_component
        if self._refusals:
            detail = "; ".join(why for _channel, why in sorted(self._refusals.items()))
            components["publish"] = Component(state=HealthState.DEGRADED, detail=detail)
        states = [self._own_health.state, *(each.state for each in components.values())]
        return msgspec.structs.replace(
            self._own_health, state=max(states, key=_WORST_LAST.index), components=components
        )

    def _start(self, publish: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._group.create_task(publish)
        self._publishes.add(task)
        task.add_done_callback(self._publishes.discard)
        return task


def _checked(readings: object) -> Sequence[Reading]:
    """What a source gave, if it is readings; raises SourceError."""
    if not isinstance(readings, list | tuple):
        raise SourceError(f"expected a list of readings, got {readings!r:.80}")
    for reading in readings:
        if not isinstance(reading, Reading) or not isinstance(reading.channel, str):
            raise SourceError(f"expected a reading, got {reading!r:.80}")
    return readings


async def publish_reading(
    publisher: Publisher, reading: Reading, *, lease: float | None = None
) -> Answer:
    """Publish what a source said, each thing in its own way."""
    channel = reading.channel
    match reading:
        case State(payload=payload):
            return await publisher.state(channel, payload, lease=lease)
        case Positions(rows=rows):
            return await publisher.positions(rows, channel=channel, lease=lease)
        case Decided(decision=decision):
            return await publisher.decision(decision, channel=channel, lease=lease)
        case Happened(event=event, payload=payload, key=key):
            return await publisher.publish(channel, event, payload, key=key, lease=lease)
        case Trouble(title=title, detail=detail, key=key):
            alert = Alert(severity=Severity.WARNING, title=title, detail=detail)
            return await publisher.alert(alert, channel=channel, key=key)


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
        outcome: Outcome
        try:
            outcome = await publish_reading(publisher, reading)
        except ProducerError as error:
            logger.warning("%s", error)
            outcome = error
        finally:
            ahead.release()
        counts[_name_of(reading, outcome)] += 1
        if report is not None:
            report(reading, outcome)

    readings = _checked(await source.read_once())
    async with asyncio.TaskGroup() as group:
        for reading in readings:
            await ahead.acquire()
            group.create_task(publish(reading))
    return counts


def _name_of(reading: Reading, outcome: Outcome) -> str:
    if isinstance(reading, Trouble):
        return "broken"
    if isinstance(outcome, ProducerError):
        return "refused"
    return "published" if is_news(outcome) else "unchanged"


def is_news(outcome: Outcome) -> bool:
    """Whether a publish travelled."""
    return isinstance(outcome, Receipt) and not outcome.unchanged
