"""Log records as events of an agent: what `logging` says, on the dashboards too.

    logging.getLogger().addHandler(PublishingHandler(publisher))

The rules:

1. Logging never waits: a record is handed over, and no more than `max_waiting` may have no answer.
   What comes then is dropped, and how many were is told once there is room.
2. Logging never fails: a record that can't be published is dropped, and counted.
3. Logging never feeds itself: what the publisher's own thread and package log is left out.
"""

from __future__ import annotations

import concurrent.futures
import logging
import threading
from typing import Final

from producers.answers import Answer
from producers.errors import ProducerError
from producers.events import Event, Payload
from producers.sync import SyncPublisher

MAX_WAITING: Final = 1_000
MAX_TEXT: Final = 4_000
"""Characters of a record's text, and of its traceback's end."""

# This package, and what it stands on.
_OWN: Final = frozenset({"producers", "hub", "redis", "asyncio"})

_formatter = logging.Formatter()


class LogLine(Payload, frozen=True, kw_only=True):
    """A log record; `component` is the logger's name."""

    level: str
    component: str
    detail: str
    traceback: str | None = None


class PublishingHandler(logging.Handler):
    """Publishes records to a log: as event `error` from level ERROR on, as `log` below."""

    def __init__(
        self,
        publisher: SyncPublisher,
        *,
        channel: str = "agent",
        level: int = logging.WARNING,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        super().__init__(level)
        self.dropped = 0
        """Records that were not published."""
        self._publisher = publisher
        self._channel = channel
        self._max_waiting = max_waiting
        self._waiting = 0
        self._untold = 0
        self._counting = threading.Lock()
        # A filter is asked before the handler's lock is taken, which another thread may hold while
        # it waits for the publisher to open, and that for us.
        self.addFilter(self._is_foreign)

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record over."""
        with self._counting:
            if self._waiting >= self._max_waiting:
                self.dropped += 1
                self._untold += 1
                return
            untold, self._untold = self._untold, 0
        if untold:
            text = f"{untold} log records were dropped: too many waited for Redis"
            self._hand_over("log", LogLine(level="WARNING", component=__name__, detail=text))
        try:
            line = _line(record)
        # A record whose arguments don't suit its text; logging's own handlers do the same.
        except Exception:
            self._drop()
            self.handleError(record)
            return
        self._hand_over(Event.ERROR if record.levelno >= logging.ERROR else "log", line)

    def _is_foreign(self, record: logging.LogRecord) -> bool:
        own = record.name.partition(".")[0] in _OWN
        return not own and not self._publisher.is_own_thread()

    def _hand_over(self, event: str, line: LogLine) -> None:
        with self._counting:
            self._waiting += 1
        try:
            answer = self._publisher.hand_over(self._channel, event, line)
        except (ProducerError, RuntimeError):
            # Closed, forked, or not to be opened: nothing that logging could mend.
            self._done(None)
        else:
            answer.add_done_callback(self._done)

    def _done(self, answer: concurrent.futures.Future[Answer] | None) -> None:
        with self._counting:
            self._waiting -= 1
        if answer is None or answer.cancelled() or answer.exception() is not None:
            self._drop()

    def _drop(self) -> None:
        with self._counting:
            self.dropped += 1


def _line(record: logging.LogRecord) -> LogLine:
    traceback = None
    if record.exc_info:
        traceback = _text(_formatter.formatException(record.exc_info)[-MAX_TEXT:])
    return LogLine(
        level=record.levelname,
        component=_text(record.name),
        detail=_text(record.getMessage()[:MAX_TEXT]),
        traceback=traceback,
    )


def _text(text: str) -> str:
    """The same in characters that can be published."""
    return text.encode(errors="replace").decode()
