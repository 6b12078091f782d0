"""Runs one source: reads it, publishes what it says, and keeps its channels' deadline.

The rules:

1. A polling source is called on an interval, at most `timeout` seconds long. Calls never overlap,
   and a late one skips those that it overran. A following source has its first batch within
   `START_SECONDS`. What a source gives is looked at before it is believed.
2. After a failure the source is left alone for a while: longer each time, with jitter, and as long
   as it asks for. A call that does not end when it is cancelled is a failure, not the worker's end.
3. While the source is well, its channels are renewed with a lease, those too that it had nothing
   new for. While it is not, they are not: dashboards must see them go stale.
4. How the source is doing stands on its health channel, merged with the health that the source
   reports itself. A channel that refuses what is published to it shows there too.
5. Publishing never holds up polling, since what waits conflates in the publisher's buffer. Only a
   following source, which could read ahead without an end, waits for its publishes.
6. `stop` ends reading at once and lets what is being published finish. Where a source's input has
   an end, what was read is published first, however long Redis is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Sequence
from typing import Any, Final

import msgspec

from producers.errors import (
    InputEnded,
    InvalidPayload,
    ProducerError,
    PublisherClosed,
    PublishRefused,
    SourceError,
    SourceGone,
)
from producers.events import (
    Component,
    Health,
    HealthState,
)
from producers.failures import detail_of, failure_of
from producers.pauses import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Pauses
from producers.publisher import Publisher
from producers.readings import MAX_AHEAD, Report, Result, checked, publish_reading
from producers.sources.base import (
    TIMEOUT_SECONDS,
    FollowingSource,
    PollingSource,
    Reading,
    Relayed,
    State,
)

logger = logging.getLogger(__name__)

RENEWAL_SECONDS: Final = 2.0
FINISH_SECONDS: Final = 5.0
START_SECONDS: Final = 30.0
CANCEL_SECONDS: Final = 1.0
"""How long a call that is cancelled may take to end."""

_WORST_LAST: Final = (HealthState.OK, HealthState.DEGRADED, HealthState.DOWN)
_WELL: Final = Component(state=HealthState.OK)


class Worker:
    """One source and one publisher, which the caller has opened.

    interval: seconds between calls of a polling source, and between renewals of a following one.
    timeout: seconds that one call of a polling source may take.
    first_pause, longest_pause: seconds, before jitter, that a failed source is left alone.
    start_timeout: seconds until the first batch of a following source.
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
        start_timeout: float = START_SECONDS,
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
        self._timeout = timeout if isinstance(source, PollingSource) else start_timeout
        self._pauses = Pauses(first_pause, longest_pause)
        self._report = report
        self._stopped = asyncio.Event()
        self._hanging: asyncio.Task[Sequence[Reading]] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._publishes: set[asyncio.Task[None]] = set()
        self._is_nameless = False
        self._ahead = asyncio.Semaphore(MAX_AHEAD)
        self._own_health = Health(state=HealthState.OK)
        self._source_component: Component | None = None
        self._refusals: dict[str, str] = {}

    def stop(self) -> None:
        """Make `run` return, as soon as what is being published has its answer."""
        self._stopped.set()

    async def run(self) -> None:
        """Read and publish until `stop` or the end of the source's input.

        Raises only what is a mistake in this package.
        """
        async with asyncio.TaskGroup() as group:
            self._group = group
            stopped = group.create_task(self._stopped.wait())
            # Not the group's, which could not end before a source that will not.
            reading = asyncio.create_task(self._read(), name="worker reads")
            await asyncio.wait([reading, stopped], return_when=asyncio.FIRST_COMPLETED)
            reading.cancel()
            ended, _ = await asyncio.wait([reading], timeout=FINISH_SECONDS)
            if not ended:
                logger.warning("the source does not end; it is left behind")
                self._stop_renewing()
            elif not reading.cancelled():
                reading.result()
                while self._publishes and not stopped.done():
                    await asyncio.wait(
                        [stopped, *self._publishes], return_when=asyncio.FIRST_COMPLETED
                    )
            if self._publishes:
                await asyncio.wait(self._publishes, timeout=FINISH_SECONDS)
            for left in [stopped, *self._publishes]:
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
        if self._hanging is not None:
            over, _ = await asyncio.wait([self._hanging], timeout=self._timeout)
            if not over:
                raise SourceError("a call that was cancelled goes on all the same")
            self._hanging = None
        call = asyncio.create_task(_poll_of(source), name="a call of the source")
        call.add_done_callback(_seen)
        try:
            done, _ = await asyncio.wait([call], timeout=self._timeout)
        except asyncio.CancelledError:
            call.cancel()
            await asyncio.wait([call], timeout=CANCEL_SECONDS)
            raise
        if not done:
            call.cancel()
            over, _ = await asyncio.wait([call], timeout=CANCEL_SECONDS)
            self._hanging = None if over else call
            raise TimeoutError
        if call.cancelled():
            # By something within the source, which is a failure like others.
            raise SourceError("it was cancelled from within")
        return checked(call.result())

    async def _follow(self, source: FollowingSource) -> None:
        while True:
            try:
                async with contextlib.aclosing(source.follow()) as batches:
                    async with asyncio.timeout(self._timeout):
                        batch = await anext(batches)
                    self._is_well()
                    self._renewing = self._group.create_task(self._keep_renewing())
                    try:
                        while True:
                            await self._publish_all(checked(batch))
                            batch = await anext(batches)
                    finally:
                        # Before it is closed, which may take as long as it likes.
                        self._stop_renewing()
            except InputEnded as ended:
                logger.info("the source ended: %s", ended)
                return
            except StopAsyncIteration:
                failure: Exception = SourceGone("the source ended")
            # As in `_poll`.
            except BaseException as error:
                failure = failure_of(error)
            await self._pause(failure)

    async def _publish_all(self, batch: Sequence[Reading]) -> None:
        begun = 0
        try:
            for reading in batch:
                await self._ahead.acquire()
                publish = self._start(self._publish(reading))
                publish.add_done_callback(lambda _: self._ahead.release())
                begun += 1
        finally:
            for reading in batch[begun:]:
                self._tell(reading, PublisherClosed(reading.channel, "the worker ended first"))

    async def _keep_renewing(self) -> None:
        while True:
            self._renew()
            await asyncio.sleep(self.lease_seconds / 3)

    def _stop_renewing(self) -> None:
        if self._renewing is not None:
            self._renewing.cancel()

    def _renew(self, besides: frozenset[str] | set[str] = frozenset()) -> None:
        # What was just published carries the lease already.
        for channel in self._channels():
            if channel not in besides:
                self._start(self._touch(channel))

    def _channels(self) -> tuple[str, ...]:
        """What to keep fresh now; nothing, where the source fails at saying it."""
        try:
            return tuple(self._source.channels)
        # As in `_poll`.
        except Exception as error:
            if not self._is_nameless:
                logger.error("the source failed at naming its channels", exc_info=error)
            self._is_nameless = True
            return ()

    def _is_well(self) -> None:
        if failures := self._pauses.is_well():
            logger.info("the source is well again after %d failures", failures)
        if self._source_component != _WELL:
            self._source_component = _WELL
            self._start(self._publish_health(self.lease_seconds))

    async def _pause(self, error: Exception) -> None:
        if isinstance(error, TimeoutError):
            error = SourceError(f"no answer within {self._timeout:g} s")
        known = isinstance(error, SourceError | OSError)
        detail = detail_of(error)
        logger.warning("the source failed: %s", detail, exc_info=None if known else error)
        pause = self._pauses.failed(error)
        self._source_component = Component(state=HealthState.DOWN, detail=detail)
        # That the source is down stays fresh until the next try is over.
        self._start(self._publish_health(pause.at_most + self._timeout + self.lease_seconds))
        await asyncio.sleep(pause.seconds)

    async def _publish(self, reading: Reading) -> None:
        if isinstance(reading, State) and isinstance(reading.payload, Health):
            self._own_health = reading.payload
            reading = State(reading.channel, self._merged_health())
        channel = reading.channel
        lease = self.lease_seconds if channel in self._channels() else None
        result: Result
        try:
            result = await publish_reading(self._publisher, reading, lease=lease)
            self._note_refusal(channel, None)
        except ProducerError as error:
            result = error
            # The publisher tells of a full buffer itself, and not once for each publish.
            if isinstance(error, PublishRefused | InvalidPayload):
                origin = f"{reading.origin}: " if isinstance(reading, Relayed) else ""
                self._note_refusal(channel, f"{origin}{error}")
        self._tell(reading, result)
        if self._report is not None:
            self._report(reading, result)

    def _tell(self, reading: Reading, result: Result) -> None:
        try:
            self._source.told(reading, result)
        # As in `_poll`; what was published is.
        except BaseException as error:
            failure = failure_of(error)
            why = "the source failed at hearing what became of a reading"
            logger.error(why, exc_info=failure)

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


async def _poll_of(source: PollingSource) -> Sequence[Reading]:
    # A coroutine of ours, whatever the source's own is.
    try:
        return await source.poll()
    except Exception:
        raise
    except BaseException as error:
        # A task that raises SystemExit takes the loop with it.
        raise failure_of(error) from error


def _seen(call: asyncio.Task[Sequence[Reading]]) -> None:
    if not call.cancelled():
        call.exception()
