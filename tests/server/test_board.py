from __future__ import annotations

import multiprocessing
import os
from multiprocessing.context import SpawnProcess

from hub.server.board import Board
from hub.server.metrics import Gauges, Metrics, Worker

GAUGES = Gauges(3, 2, 1, delivering=True, draining=False, failed_tasks=0)


def counting(delivered: int) -> Metrics:
    """Metrics with something in them."""
    metrics = Metrics()
    metrics.delivered = delivered
    return metrics


def report(board: Board) -> None:
    """What a worker of a test does, in its own process."""
    metrics = counting(30)
    metrics.add(board.counts())
    board.report(metrics, GAUGES, 7.0)


def reported_by_another_process(board: Board) -> SpawnProcess:
    """A process that has written its row and ended."""
    process = multiprocessing.get_context("spawn").Process(target=report, args=(board,))
    process.start()
    process.join()
    assert process.exitcode == 0
    return process


def test_a_worker_that_never_reported_is_not_there() -> None:
    """An empty row is no worker, and counts nothing."""
    board = Board.shared(2)
    assert board.workers() == {}
    assert board.totals().numbers() == Metrics().numbers()


def test_each_worker_sees_all() -> None:
    """What one process writes another reads: counts add up, the rest is each one's own."""
    board = Board.shared(2)
    board.report(counting(12), GAUGES._replace(connections=5), 8.0)
    process = reported_by_another_process(board.of(1))
    assert process.pid is not None
    other = Worker(process.pid, 7.0, GAUGES)
    assert board.workers() == {
        0: Worker(os.getpid(), 8.0, GAUGES._replace(connections=5)),
        1: other,
    }
    assert board.others() == {1: other}
    assert board.totals().delivered == 42


def test_a_replaced_worker_takes_no_count_with_it() -> None:
    """Totals stay while a dead worker's place is empty, and its replacement goes on from there."""
    board = Board.shared(2)
    board.report(counting(12), GAUGES, 8.0)
    reported_by_another_process(board.of(1))
    board.vacate(1)
    assert set(board.workers()) == {0}
    assert board.totals().delivered == 42
    reported_by_another_process(board.of(1))
    assert set(board.workers()) == {0, 1}
    assert board.totals().delivered == 72


def test_a_board_of_one() -> None:
    """A worker without siblings has a board all the same."""
    board = Board.alone()
    board.report(counting(12), GAUGES, 8.0)
    assert set(board.workers()) == {0}
    assert board.others() == {}
    assert board.totals().delivered == 12
