"""A source of several parts, each of which fails by itself: a balance goes on while fills fail.

The rules:

1. A part is followed as a source is, but for its own channels alone. Its first batch says that it
   is well, and has to come within `START_SECONDS`.
2. A part that fails is a component of the health that is down, with the reason; it is followed
   again after a pause. The others go on.
3. A channel is kept fresh while every part that publishes to it is well.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import traceback
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from producers.errors import SourceError
from producers.events import Component, Health, HealthState
from producers.failures import detail_of, failure_of
from producers.pauses import Pauses
from producers.sources.base import Reading, State

logger = logging.getLogger(__name__)

START_SECONDS: Final = 30.0
MAX_WAITING: Final = 64
"""Batches that wait for the worker; a part that has more waits too."""

TOGETHER_SECONDS: Final = 0.1
"""How long what happens is collected before it is read."""

_WELL: Final = Component(state=HealthState.OK)


Follow: TypeAlias = Callable[[], AsyncGenerator[Sequence[Reading]]]
"""Followed as a source is; called again after each failure."""


class Part(NamedTuple):
    """One part: what it is called on the health channel, where it publishes, and its readings."""

    name: str
    channels: tuple[str, ...]
    follow: Follow


class News:
    """Something happened: the reason for a part to read now, and not when its interval is over."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def tell(self) -> None:
        """Have `wait` return."""
        self._event.set()

    def take(self) -> bool:
        """Whether something was told since the last time, which is done with now."""
        told = self._event.is_set()
        self._event.clear()
        return told

    async def wait(self, seconds: float) -> None:
        """Return when something was told, or after so long."""
        # What happens comes with its neighbours.
        together = min(TOGETHER_SECONDS, seconds)
        await asyncio.sleep(together)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds - together):
                await self._event.wait()


class Parts:
    """Parts that are followed side by side.

    shown: what of an error's text may be shown: all but secrets.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        health_channel: str,
        *,
        shown: Callable[[str], str] = str,
        pauses: Callable[[], Pauses] = Pauses,
    ) -> None:
        self._parts = parts
        self._health_channel = health_channel
        self._shown = shown
        self._pauses = pauses
        self._components: dict[str, Component] = {}

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels whose parts are well, and that of the health."""
        unwell = {
            channel
            for part in self._parts
            if self._components.get(part.name) != _WELL
            for channel in part.channels
        }
        every = dict.fromkeys(channel for part in self._parts for channel in part.channels)
        return (*(channel for channel in every if channel not in unwell), self._health_channel)

    async def follow(self) -> AsyncGenerator[Sequence[Reading]]:
        """What the parts say, and how they are."""
        self._components.clear()
        batches: asyncio.Queue[Sequence[Reading]] = asyncio.Queue(MAX_WAITING)
        tasks = [
            asyncio.create_task(self._run(part, batches), name=f"part {part.name}")
            for part in self._parts
        ]
        try:
            yield []
            while True:
                yield await batches.get()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, part: Part, batches: asyncio.Queue[Sequence[Reading]]) -> None:
        pauses = self._pauses()
        while True:
            try:
                async with contextlib.aclosing(part.follow()) as following:
                    async with asyncio.timeout(START_SECONDS):
                        first = await anext(following, None)
                    if first is not None:
                        pauses.is_well()
                        await batches.put([*first, *self._noted(part, _WELL)])
                    async for batch in following:
                        await batches.put(batch)
                failure: Exception = SourceError("it ended")
            except TimeoutError as error:
                failure = SourceError(str(error) or "no answer in time")
            # A platform's library may raise anything; what it raises is the part's failure.
            except BaseException as error:
                failure = failure_of(error)
            pause = pauses.failed(failure)
            detail = detail_of(failure, self._shown)
            logger.warning("%s failed: %s", part.name, detail)
            if not isinstance(failure, SourceError | OSError):
                where = "".join(traceback.format_exception(failure))
                logger.warning("%s", self._shown(where))
            await batches.put(self._noted(part, Component(state=HealthState.DOWN, detail=detail)))
            await asyncio.sleep(pause.seconds)

    def _noted(self, part: Part, component: Component) -> Sequence[Reading]:
        """The health with a part's own in it, where that is news."""
        if self._components.get(part.name) == component:
            return []
        self._components[part.name] = component
        states = [each.state for each in self._components.values()]
        worst = HealthState.DOWN if HealthState.DOWN in states else HealthState.OK
        health = Health(state=worst, components=dict(self._components))
        return [State(self._health_channel, health)]
