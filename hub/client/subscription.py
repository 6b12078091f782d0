"""One channel as an asynchronous iterator of frames."""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import Self

from hub.client.errors import ClientError, Closed
from hub.client.frames import Frame, Snapshot, Update
from hub.client.session import Session
from hub.client.tracker import Tracker
from hub.protocol.position import Position
from hub.protocol.streams import Kind


class Subscription:
    """Yields a channel's frames in order and without a hole, for one consumer.

    A snapshot or a recovery comes first. What can't be had is announced by a Reset, and a snapshot
    follows. Where the consumer is slower than the channel, at most `queue_frames` frames or about
    `queue_bytes` bytes wait for it; then the subscription rests until they are taken, and resumes
    from there: the hub conflates a value or a table, and repeats the entries of a log.

    The iteration ends when the subscription or its client is closed, and raises ClientError where
    the hub refuses for good. Leaving an `async for` ends nothing; `close` or `async with` does.
    """

    def __init__(
        self, session: Session, tracker: Tracker, *, queue_frames: int, queue_bytes: int
    ) -> None:
        self._session = session
        self._tracker = tracker
        self._max_frames = queue_frames
        self._max_bytes = queue_bytes
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._full = False
        self._ended = False
        self._error: ClientError | None = None
        self._ready = asyncio.Event()
        self._position = tracker.position

    @property
    def channel(self) -> str:
        """The channel's name."""
        return self._tracker.channel

    @property
    def kind(self) -> Kind | None:
        """The channel's kind, None before the hub has said it; after a Reset it may be another."""
        return self._tracker.kind

    @property
    def position(self) -> Position | None:
        """Where the last frame that was taken stands: what to subscribe with later as `since`."""
        return self._position

    def close(self) -> None:
        """Follow the channel no longer; the iteration ends after what waits."""
        self._session.unsubscribe(self._tracker)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Frame:
        while not self._frames:
            if self._ended:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            if self._full:
                self._full = False
                self._session.resume(self._tracker)
            self._ready.clear()
            await self._ready.wait()
        frame = self._frames.popleft()
        if isinstance(frame, Snapshot | Update):
            self._bytes -= len(frame.text)
            self._position = frame.position or self._position
        return frame

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # The session's sink

    def deliver(self, frame: Frame) -> bool:
        """Queue a frame; False where the queue is full now."""
        self._frames.append(frame)
        if isinstance(frame, Snapshot | Update):
            self._bytes += len(frame.text)
        self._ready.set()
        self._full = len(self._frames) >= self._max_frames or self._bytes >= self._max_bytes
        return not self._full

    def end(self, error: ClientError | None) -> None:
        """No frame comes any more."""
        self._ended = True
        self._error = None if isinstance(error, Closed) else error
        self._ready.set()
