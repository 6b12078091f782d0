"""What the workers of one hub tell one another: a row of numbers each, in memory that they share.

Rules:
1. A row has one writer at a time: the worker whose it is, and the supervisor once that has died.
   Everybody reads every row.
2. A number is written by one aligned store of eight bytes, so that nobody reads half of one. Two
   numbers of a row may be of different moments.
3. Counts never fall. A worker begins with the counts in its row, those of the worker that it
   replaces, so that their sums stay right and nobody has to keep the counts of the dead.
"""

from __future__ import annotations

import ctypes
import os
from multiprocessing.sharedctypes import RawArray
from typing import Self

from hub.server.metrics import Gauges, Metrics, Worker

_PID, _REPORTED_AT, _GAUGES = 0, 1, 2
_COUNTS = _GAUGES + len(Gauges._fields)
_WIDTH = _COUNTS + Metrics.SIZE


class Board:
    """The rows of all workers, as the worker of this number sees them. Handed to each worker when
    it is started; the memory is gone with the last who has it, however they end."""

    def __init__(self, cells: ctypes.Array[ctypes.c_double], number: int = 0) -> None:
        self._cells = cells
        self._number = number

    @classmethod
    def alone(cls) -> Self:
        """A board of one worker, which no other process sees."""
        return cls((ctypes.c_double * _WIDTH)())

    @classmethod
    def shared(cls, workers: int) -> Self:
        """A board that spawned processes see too."""
        return cls(RawArray(ctypes.c_double, workers * _WIDTH))

    def of(self, number: int) -> Board:
        """The same board as another worker sees it; they count from 0."""
        return Board(self._cells, number)

    def report(self, metrics: Metrics, gauges: Gauges, now: float) -> None:
        """Write this worker's row. now: monotonic seconds, the same clock in every process."""
        at = self._number * _WIDTH
        row: list[ctypes.c_double | float] = [now, *gauges, *metrics.numbers()]
        self._cells[at + _REPORTED_AT : at + _WIDTH] = row
        # Last: a row is read once it has a process.
        self._cells[at + _PID] = os.getpid()

    def vacate(self, number: int) -> None:
        """The worker has died: forget the process, and keep its counts for the next."""
        self._cells[number * _WIDTH + _PID] = 0

    def counts(self) -> list[float]:
        """The numbers in this worker's row that count, for `Metrics.add`."""
        return self._rows()[self._number][_COUNTS:]

    def totals(self) -> Metrics:
        """What all workers count together."""
        totals = Metrics()
        for row in self._rows():
            totals.add(row[_COUNTS:])
        return totals

    def workers(self) -> dict[int, Worker]:
        """Each worker that lives and has reported, by its number."""
        return {
            number: Worker(int(row[_PID]), row[_REPORTED_AT], Gauges(*row[_GAUGES:_COUNTS]))
            for number, row in enumerate(self._rows())
            if row[_PID]
        }

    def others(self) -> dict[int, Worker]:
        """The same without this one."""
        return {at: worker for at, worker in self.workers().items() if at != self._number}

    def _rows(self) -> list[list[float]]:
        cells = self._cells[:]
        return [cells[at : at + _WIDTH] for at in range(0, len(cells), _WIDTH)]
