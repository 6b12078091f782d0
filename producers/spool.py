"""What waits for Redis, on disk: a publisher that is killed goes on with it when it starts again.

The rules:

1. A spool is a journal of what waits in memory, not a queue of its own: the bounds, the order and
   what conflates are the buffer's. One SQLite file a publisher, which holds it for itself.
2. A publish is spooled with its id when the transaction that has it is committed, and synced to the
   disk: what is answered `spooled` outlives a killed process and a power cut. Many share one.
3. What Redis answered is forgotten, without a sync: a row that comes back after a power cut is
   known to Redis by its id.
4. A full disk, or a file that broke, costs the answer `spooled` and no more: publishing goes on,
   and every second it is tried again.

All calls of SQLite are made in a thread of the spool's own: the event loop never waits for a disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, TypeAlias, cast

from producers.answers import Ticket
from producers.buffer import Waiting
from producers.errors import SpoolError
from producers.spool_file import commit, decode_row, encode_row, open_file, set_aside

logger = logging.getLogger(__name__)

MAX_BYTES: Final = 256 * 1024 * 1024
RETRY_SECONDS: Final = 1.0

Told: TypeAlias = Callable[[bool], None]
"""Told whether a publish is on disk."""


@dataclass(slots=True)
class _Batch:
    """What one transaction writes: rows by number, numbers to forget, and who is to be told."""

    rows: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    forgotten: set[int] = field(default_factory=set)
    told: list[Told] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.rows or self.forgotten)


class Spool:
    """A file for one publisher, which opens and closes it.

    path: the file; its folder must exist. Only this user may read it.
    always: every publish is spooled before it is answered, not only while Redis is away.
    max_bytes: the file grows no larger; beyond it, it is as with a full disk.
    """

    def __init__(
        self, path: Path | str, *, always: bool = False, max_bytes: int = MAX_BYTES
    ) -> None:
        self.path = Path(path)
        self.always = always
        self._max_bytes = max_bytes
        self._next = _Batch()
        self._numbers = count(1)
        # Rows that a transaction has, or had: what never was in one need not be deleted.
        self._written: set[int] = set()
        self._news = asyncio.Event()
        self._closing = asyncio.Event()
        self._failing = False
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._task: asyncio.Task[None] | None = None
        self._db: sqlite3.Connection | None = None

    @property
    def is_failing(self) -> bool:
        """Whether the disk took nothing the last time."""
        return self._failing

    async def open(self) -> list[Waiting[Ticket]]:
        """Take the file; what an earlier run left in it, oldest first.

        A damaged file is set aside and told of. Raises SpoolInUse and SpoolError.
        """
        # Not an executor: those take nothing more once the interpreter ends, and then is when the
        # last publishes are spooled.
        threading.Thread(target=_work, args=(self._jobs,), name="spool", daemon=True).start()
        try:
            left = await self._in_thread(self._open)
        except SpoolError:
            self._jobs.put(None)
            raise
        self._numbers = count(max(self._written, default=0) + 1)
        self._task = asyncio.create_task(self._run(), name=f"spool {self.path.name}")
        self._task.add_done_callback(self._ended)
        if left:
            logger.info("%s: %d publishes of an earlier run", self.path, len(left))
        return cast(list[Waiting[Ticket]], left)

    def put(self, waiting: Waiting[Ticket], told: Told) -> None:
        """Write a publish as it is now, and tell once it is on disk, or that it can't be.

        A publish that is put again takes the place of what was written of it.
        """
        if not waiting.row:
            waiting.row = next(self._numbers)
        self._next.rows[waiting.row] = encode_row(waiting)
        if self._failing:
            told(False)
            return
        self._next.told.append(told)
        self._news.set()

    def forget(self, waiting: Waiting[Ticket]) -> None:
        """Delete a publish that needs no more keeping."""
        if not waiting.row:
            return
        self._next.rows.pop(waiting.row, None)
        if waiting.row in self._written:
            self._written.discard(waiting.row)
            self._next.forgotten.add(waiting.row)
            self._news.set()

    async def close(self) -> None:
        """Write what is left to write, and let the file go."""
        self._closing.set()
        self._news.set()
        if self._task is not None:
            await asyncio.wait([self._task])
        db = self._db
        if db is not None:
            with contextlib.suppress(sqlite3.Error):
                await self._in_thread(db.close)
        self._jobs.put(None)

    async def _run(self) -> None:
        while self._next or not self._closing.is_set():
            if not self._next:
                self._news.clear()
                await self._news.wait()
                continue
            batch, self._next = self._next, _Batch()
            self._written.update(batch.rows)
            assert self._db is not None
            try:
                rows, forgotten = list(batch.rows.values()), sorted(batch.forgotten)
                await self._in_thread(partial(commit, self._db, rows, forgotten))
            except sqlite3.Error as error:
                self._failed(batch, error)
                if self._closing.is_set():
                    return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_SECONDS):
                        await self._closing.wait()
                continue
            if self._failing:
                self._failing = False
                logger.warning("%s: takes publishes again", self.path)
            for told in batch.told:
                told(True)

    def _failed(self, batch: _Batch, error: sqlite3.Error) -> None:
        if not self._failing:
            self._failing = True
            logger.error(
                "%s: can't be written (%s); publishes wait in memory alone, and are lost where "
                "this process is killed. Tried again every second.",
                self.path,
                error,
            )
        newer = self._next
        for number, row in batch.rows.items():
            if number not in newer.forgotten:
                newer.rows.setdefault(number, row)
        newer.forgotten |= batch.forgotten
        told, newer.told = batch.told + newer.told, []
        for tell in told:
            tell(False)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the spool failed", exc_info=error)
        # Whoever puts something now is told at once.
        self._failing = True

    def _open(self) -> list[Waiting[Ticket]]:
        try:
            self._db, rows = open_file(self.path, self._max_bytes)
        except sqlite3.DatabaseError as error:
            kept = set_aside(self.path)
            logger.error(
                "%s is damaged (%s): what it held is not published. It is kept as %s, and a new "
                "one is begun.",
                self.path,
                error,
                kept,
            )
            self._db, rows = open_file(self.path, self._max_bytes)
        self._written.update(row[0] for row in rows)
        return [waiting for row in rows if (waiting := decode_row(self.path, row)) is not None]

    def _in_thread(self, function: Callable[[], Any]) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()

        def job() -> None:
            result: Any = None
            error: Exception | None = None
            try:
                result = function()
            # Whatever it is, it is raised where the result is awaited.
            except Exception as raised:
                error = raised
            # The loop may have ended without waiting.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_settle, future, result, error)

        self._jobs.put(job)
        return future


def _work(jobs: SimpleQueue[Callable[[], None] | None]) -> None:
    while (job := jobs.get()) is not None:
        job()


def _settle(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
