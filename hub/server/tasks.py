"""Tasks with an owner that notices their death."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from functools import partial
from typing import Any

logger = logging.getLogger(__name__)


class Tasks:
    """The tasks of one owner. One that ends with an exception is logged, and the others go on.

    failed: those that are missed from then on, which readiness looks at.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self.failed: list[str] = []

    def start(
        self, work: Coroutine[Any, Any, Any], name: str, *, vital: bool = True
    ) -> asyncio.Task[Any]:
        """Run `work` until it ends, or until `stop`.

        vital: nothing takes its place when it fails. One that is started anew for whoever comes
        next is not: one broken channel must not send new connections away from every replica.
        """
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, vital=vital))
        return task

    def _ended(self, task: asyncio.Task[Any], *, vital: bool) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            if vital:
                self.failed.append(task.get_name())
            logger.error("task %s failed", task.get_name(), exc_info=error)

    async def stop(self) -> None:
        """Cancel all tasks and wait for their ends."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
