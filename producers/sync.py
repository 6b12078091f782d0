"""What a producer that is not asynchronous writes with: `Publisher`, from any thread.

    publisher = SyncPublisher("redis://127.0.0.1:6379/0", name="desk-7", spool="desk-7.spool")
    answer = publisher.decision(decision)

The calls are those of `Publisher`, and answer when those would. A daemon thread owns the event
loop and the publisher; it starts with the first call, or with `open`. When the program ends, what
has no answer is waited for as long as `Timing.drain_seconds` says, and spooled then; `close`, or a
`with` block, does so earlier. A program that is ended by a signal has to see to that itself.

A process that forks makes its publisher afterwards: the child is refused the one that was in use.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import functools
import os
import threading
from collections import Counter
from collections.abc import Callable, Collection, Coroutine
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar, Unpack

from producers.answers import Answer
from producers.errors import PublisherClosed
from producers.publisher import Options, Publisher
from producers.sync_commands import SyncCommands

P = ParamSpec("P")
T = TypeVar("T")

# Beyond the two drains: for last words, and for links and files to be closed.
_LAST_SECONDS: Final = 5.0


def _blocking(
    method: Callable[Concatenate[Publisher, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[SyncPublisher, P], T]:
    """A method of Publisher as one of SyncPublisher, which returns what that would."""

    @functools.wraps(method)
    def blocking(self: SyncPublisher, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.call(method, *args, **kwargs)

    return blocking


class SyncPublisher:
    """The arguments are those of `Publisher`. Every method may be called from any thread."""

    def __init__(self, url: str, **options: Unpack[Options]) -> None:
        self.name = options.get("name", "producer")
        self._publisher = Publisher(url, **options)
        # Reentrant, as a handler of signals may publish in the middle of a call.
        self._gate = threading.RLock()
        self._takes_calls = False
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._loop: asyncio.AbstractEventLoop
        self._end: asyncio.Event
        self._opened: concurrent.futures.Future[None] = concurrent.futures.Future()
        self.workers: set[SyncCommands] = set()
        """Who takes commands by its thread, and is to end before it."""

    @property
    def counts(self) -> Counter[str]:
        """As `Publisher.counts`."""
        return Counter(self._publisher.counts)

    @property
    def is_away(self) -> bool:
        """As `Publisher.is_away`."""
        return self._publisher.is_away

    publish = _blocking(Publisher.publish)
    touch = _blocking(Publisher.touch)
    portfolio = _blocking(Publisher.portfolio)
    status = _blocking(Publisher.status)
    health = _blocking(Publisher.health)
    state = _blocking(Publisher.state)
    decision = _blocking(Publisher.decision)
    alert = _blocking(Publisher.alert)
    agent_event = _blocking(Publisher.agent_event)
    positions = _blocking(Publisher.positions)
    flush = _blocking(Publisher.flush)
    ping = _blocking(Publisher.ping)

    def commands(
        self, *, agent: str | None = None, idempotent: Collection[str] = (), accept: bool = True
    ) -> SyncCommands:
        """The commands to an agent, on a link of their own: see `producers.sync_commands`."""
        return SyncCommands(
            self, self._publisher.commands(agent=agent, idempotent=idempotent, accept=accept)
        )

    def hand_over(
        self, channel: str, event: str, data: object, *, key: str = ""
    ) -> concurrent.futures.Future[Answer]:
        """Publish without waiting for anything; the future gets Redis's answer, or the error."""
        return self.start(Publisher.publish, channel, event, data, key=key, wait=True)

    def call(
        self,
        method: Callable[Concatenate[Publisher, P], Coroutine[Any, Any, T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Call a method of `Publisher`, or a function of one, and return what it returns.

        Raises what it raises, PublisherClosed, and what `open` raises.
        """
        self._enter()
        # No future of `concurrent.futures`: its lock is the waiting thread's while that begins to
        # wait. A handler of a signal that comes then, and publishes, would wait for the publisher's
        # thread, and that for the lock.
        ended = threading.Lock()
        ended.acquire()
        tasks: list[asyncio.Task[T]] = []

        def begin() -> None:
            task = self._loop.create_task(call)
            tasks.append(task)
            task.add_done_callback(end)

        def end(task: asyncio.Task[T]) -> None:
            # Whoever was interrupted while waiting doesn't ask for the error any more.
            if not task.cancelled():
                task.exception()
            ended.release()

        with self._gate:
            self._check_takes_calls()
            call = method(self._publisher, *args, **kwargs)
            self._loop.call_soon_threadsafe(begin)
        ended.acquire()
        try:
            return tasks[0].result()
        except asyncio.CancelledError:
            raise PublisherClosed(self.name, "the publisher was closed meanwhile") from None

    def start(
        self,
        method: Callable[Concatenate[Publisher, P], Coroutine[Any, Any, T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> concurrent.futures.Future[T]:
        """The same without waiting: the future gets what is returned or raised."""
        self._enter()
        with self._gate:
            self._check_takes_calls()
            call = method(self._publisher, *args, **kwargs)
            return asyncio.run_coroutine_threadsafe(call, self._loop)

    def _enter(self) -> None:
        if self.is_own_thread():
            raise RuntimeError("expected a call from another thread than the publisher's own")
        self.open()

    def _check_takes_calls(self) -> None:
        if not self._takes_calls:
            raise PublisherClosed(self.name, "the publisher is closed")

    def open(self) -> None:
        """Start the thread, if it was not started; raises SpoolInUse and SpoolError."""
        if self._thread is None:
            with self._gate:
                if self._thread is None:
                    self._begin()
        if self._pid != os.getpid():
            text = "made before this process was forked; make a publisher of its own in it"
            raise PublisherClosed(self.name, text)
        self._opened.result()

    def close(self) -> None:
        """End: commands that were begun have `drain_seconds`, then publishes that have no answer;
        what has none then is spooled."""
        if self._thread is None or self._pid != os.getpid():
            return
        atexit.unregister(self.close)
        if self._opened.exception() is None:
            with self._gate:
                if self._takes_calls:
                    self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(2 * self._publisher.timing.drain_seconds + _LAST_SECONDS)

    def is_own_thread(self) -> bool:
        """Whether this is the thread that the publisher lives in."""
        return threading.current_thread() is self._thread

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._thread = threading.Thread(
            target=self._run, name=f"publisher {self.name}", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError as error:
            # At the end of the interpreter there are no new threads.
            self._thread = None
            raise PublisherClosed(self.name, str(error)) from error
        atexit.register(self.close)

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        # Whoever opened it is told: there is nobody else in this thread.
        except Exception as error:
            if self._opened.done():
                raise
            self._opened.set_exception(error)

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        try:
            async with self._publisher:
                self._takes_calls = True
                self._opened.set_result(None)
                await self._end.wait()
                while self.workers:
                    seconds = self._publisher.timing.drain_seconds
                    await asyncio.gather(*[worker.end(seconds) for worker in self.workers])
        finally:
            with self._gate:
                self._takes_calls = False
            # A call that came just before is a task after this, and ends as all tasks do. Left to
            # the end of the loop, it would never be answered.
            await asyncio.sleep(0)
