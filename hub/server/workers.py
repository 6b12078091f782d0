"""Several workers on one port: started together, replaced when they die, drained together.

Each worker is a process with a listening socket of its own on the shared port (SO_REUSEPORT), a
broker link of its own and feeds of its own; the kernel spreads new connections over them.
"""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import threading
import time
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import NamedTuple

import msgspec

from hub.server.board import Board
from hub.server.settings import Settings
from hub.server.worker import configure_logging, listen, serve_worker

logger = logging.getLogger(__name__)

HEALTHY_SECONDS = 5.0
MAX_EARLY_DEATHS = 5
LAST_SECONDS = 3.0
"""What a worker may take beyond its drain, and beyond what uvicorn gives to requests after it."""


def supervise(settings: Settings, reserved: socket.socket) -> int:
    """Run `settings.workers` workers until SIGTERM or SIGINT; returns the exit status.

    `reserved` is bound to the port and does not listen: it keeps the port while workers change.
    A worker that dies is replaced; when workers keep dying young, the rest is ended and 1 returned.
    A worker that does not end when it is asked to is killed.
    """
    settings = msgspec.structs.replace(settings, port=reserved.getsockname()[1])
    return _Supervisor(settings).run()


class _Worker(NamedTuple):
    """A running worker. number: its place on the board, which its replacement takes over."""

    number: int
    process: SpawnProcess
    started_at: float


class _Supervisor:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._context = multiprocessing.get_context("spawn")
        self._board = Board.shared(settings.workers)
        self._workers: list[_Worker] = []
        self._early_deaths = 0
        self._ending = False

    def run(self) -> int:
        before = {sig: signal.signal(sig, self._end) for sig in (signal.SIGTERM, signal.SIGINT)}
        try:
            for number in range(self._settings.workers):
                self._start(number, announce=number == 0)
            while self._workers:
                sentinels = [worker.process.sentinel for worker in self._workers]
                multiprocessing.connection.wait(sentinels)
                self._reap()
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)
        return 1 if self._early_deaths >= MAX_EARLY_DEATHS else 0

    def _start(self, number: int, *, announce: bool = False) -> None:
        if self._ending:
            return
        # A daemon is ended by multiprocessing when this process ends in order.
        args = (self._settings, self._board.of(number), announce)
        process = self._context.Process(target=_work, args=args, daemon=True)
        process.start()
        self._workers.append(_Worker(number, process, time.monotonic()))
        if self._ending:
            # The signal came between the two, and went past this one.
            process.terminate()

    def _end(self, sig: int, frame: FrameType | None) -> None:
        if not self._ending:
            self._ending = True
            # A thread, as a signal ends no wait for the workers.
            seconds = 2 * self._settings.drain_seconds + LAST_SECONDS
            timer = threading.Timer(seconds, self._kill)
            timer.daemon = True
            timer.start()
        for worker in self._workers:
            worker.process.terminate()

    def _kill(self) -> None:
        for worker in list(self._workers):
            logger.error("worker %s did not end; killing it", worker.process.pid)
            worker.process.kill()

    def _reap(self) -> None:
        for worker in [worker for worker in self._workers if not worker.process.is_alive()]:
            self._workers.remove(worker)
            self._board.vacate(worker.number)
            if not self._ending:
                self._replace(worker)

    def _replace(self, dead: _Worker) -> None:
        lived = time.monotonic() - dead.started_at
        self._early_deaths = self._early_deaths + 1 if lived < HEALTHY_SECONDS else 0
        pid, status = dead.process.pid, dead.process.exitcode
        logger.error("worker %s ended with %s after %.1f s", pid, status, lived)
        if self._early_deaths >= MAX_EARLY_DEATHS:
            logger.error("workers keep dying; giving up")
            self._end(signal.SIGTERM, None)
        else:
            self._start(dead.number)


def _work(settings: Settings, board: Board, announce: bool) -> None:
    configure_logging()
    threading.Thread(target=_end_with_supervisor, daemon=True).start()
    serve_worker(settings, listen(settings), board, announce=announce)


def _end_with_supervisor() -> None:
    """Drain when the supervisor is gone: killed, it tells nobody, and the port would stay held."""
    supervisor = multiprocessing.parent_process()
    assert supervisor is not None
    supervisor.join()
    os.kill(os.getpid(), signal.SIGTERM)
