"""All that one client wants of the hub, on whichever connection it has. No I/O.

Rules:
1. Nothing is sent before the hub's welcome. Then each subscription is asked for from its position,
   and each unanswered request is sent again; a publish carries its own id, so that the hub answers
   the second as it did the first.
2. A subscription whose application is too slow is given up at the hub and asked for again from its
   position when the application has caught up: it delays no other, and loses nothing.
3. A refusal that the code's table calls worth repeating is repeated after a while; any other ends
   the request or subscription with an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol, TypeAlias

import msgspec

from hub.client.errors import ClientError, Refused, refused
from hub.client.frames import (
    Answer,
    Denial,
    Frame,
    Heartbeat,
    ResetNotice,
    Snapshot,
    StateChanged,
    SubscribeResult,
    Update,
    Welcome,
    decode_frame,
)
from hub.client.tracker import Stage, Tracker
from hub.protocol import codes

MAX_COMMAND_BYTES = 64 * 1024
"""What a hub takes as one text frame, where its settings were left as they are."""

_encode = msgspec.json.encode
_decode_subscribed = msgspec.json.Decoder(SubscribeResult).decode

Later: TypeAlias = Callable[[int, Callable[[], None]], None]
"""Runs a function after a delay that suits so many failures in a row."""


class Sink(Protocol):
    """Where a subscription's frames go."""

    def deliver(self, frame: Frame) -> bool:
        """Take a frame; False where there is no room for more until `Session.resume`."""

    def end(self, error: ClientError | None) -> None:
        """No frame comes any more; `error` says why, None where the application wanted it."""


class Request:
    """A command that is answered once: by the result's JSON, or by an error.

    It is pending until then, over any number of connections.
    """

    __slots__ = ("attempts", "id", "method", "on_error", "on_result", "params")

    def __init__(
        self,
        method: str,
        params: Mapping[str, Any],
        on_result: Callable[[bytes], None],
        on_error: Callable[[ClientError], None],
    ) -> None:
        self.method = method
        self.params = params
        self.on_result = on_result
        self.on_error = on_error
        self.attempts = 0
        self.id: int | None = None


class _Subscribed:
    __slots__ = ("attempts", "id", "paused", "sink", "tracker")

    def __init__(self, tracker: Tracker, sink: Sink) -> None:
        self.tracker = tracker
        self.sink = sink
        self.attempts = 0
        self.id: int | None = None
        self.paused = False


class Session:
    """Subscriptions and requests of one client.

    wake: called when there is something to send. later: see `Later`.
    """

    def __init__(self, *, wake: Callable[[], None], later: Later) -> None:
        self._wake = wake
        self._later = later
        self._last_id = 0
        self._subscriptions: dict[str, _Subscribed] = {}
        self._requests: dict[Request, None] = {}
        self._asked: dict[int, Request | _Subscribed] = {}
        self._outgoing: list[bytes] = []
        self.welcome: Welcome | None = None
        """The welcome of the connection there is; None while there is none."""

    # What the application wants

    def subscribe(self, tracker: Tracker, sink: Sink) -> None:
        """Follow a channel. Raises ValueError where it is followed already."""
        if tracker.channel in self._subscriptions:
            raise ValueError(f"expected one subscription a channel, got two of {tracker.channel}")
        subscribed = self._subscriptions[tracker.channel] = _Subscribed(tracker, sink)
        self._ask(subscribed)

    def unsubscribe(self, tracker: Tracker) -> None:
        """Follow a channel no longer; nothing happens where it was not followed."""
        subscribed = self._find(tracker)
        if subscribed is not None:
            del self._subscriptions[tracker.channel]
            self._give_up(subscribed)
            subscribed.sink.end(None)

    def resume(self, tracker: Tracker) -> None:
        """There is room again in the sink of a subscription that had none."""
        subscribed = self._find(tracker)
        if subscribed is not None:
            subscribed.paused = False
            self._ask(subscribed)

    def request(self, request: Request) -> None:
        """Send a command until it is answered, over as many connections as that takes.

        Raises Refused where no hub would take a command of this size.
        """
        size = len(_command(self._last_id, request.method, request.params))
        if size > MAX_COMMAND_BYTES:
            raise Refused(
                codes.TOO_LARGE.number,
                f"expected a {request.method} of at most {MAX_COMMAND_BYTES} bytes, got {size}",
            )
        self._requests[request] = None
        self._send_request(request)

    def forget(self, request: Request) -> None:
        """Nobody waits for this request any more."""
        self._requests.pop(request, None)
        self._forget_id(request)

    # What the connection does

    def take_outgoing(self) -> list[bytes]:
        """The text frames to send now, in order."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def closed(self) -> None:
        """The connection is gone; what was not answered waits for the next one."""
        self.welcome = None
        self._outgoing.clear()
        for asked in list(self._asked.values()):
            self._forget_id(asked)
        for subscribed in self._subscriptions.values():
            subscribed.tracker.rest()

    def end(self, error: ClientError) -> None:
        """There will be no other connection: end every subscription and request."""
        self.closed()
        subscriptions, self._subscriptions = self._subscriptions, {}
        requests, self._requests = self._requests, {}
        for subscribed in subscriptions.values():
            subscribed.sink.end(error)
        for request in requests:
            request.on_error(error)

    def receive(self, text: bytes) -> None:
        """Take one text frame. Raises msgspec.DecodeError for what no hub sends."""
        frame = decode_frame(text)
        match frame:
            case Update() | Snapshot() | StateChanged() | ResetNotice():
                subscribed = self._subscriptions.get(frame.channel)
                if subscribed is not None:
                    self._deliver(subscribed, subscribed.tracker.receive(frame))
            case Heartbeat():
                self._compare(frame.heads)
            case Answer():
                self._answered(frame)
            case Denial():
                self._denied(frame)
            case Welcome():
                self.welcome = frame
                for subscribed in list(self._subscriptions.values()):
                    self._ask(subscribed)
                for request in self._requests:
                    self._send_request(request)

    def _compare(self, heads: Mapping[str, int]) -> None:
        for channel, head in heads.items():
            subscribed = self._subscriptions.get(channel)
            if subscribed is not None:
                subscribed.tracker.heartbeat(head)
                self._mend(subscribed)

    def _answered(self, answer: Answer) -> None:
        asked = self._asked.get(answer.id)
        if asked is None:
            return
        self._forget_id(asked)
        if isinstance(asked, Request):
            del self._requests[asked]
            asked.on_result(answer.result)
        else:
            asked.attempts = 0
            result = _decode_subscribed(answer.result)
            self._deliver(asked, asked.tracker.answer(result))

    def _denied(self, denial: Denial) -> None:
        asked = None if denial.id is None else self._asked.get(denial.id)
        if asked is None:
            return
        self._forget_id(asked)
        error = refused(denial.code, denial.message)
        if codes.should_reconnect(denial.code):
            asked.attempts += 1
            if isinstance(asked, _Subscribed):
                asked.tracker.rest()
            self._later(asked.attempts, partial(self._repeat, asked))
        elif isinstance(asked, Request):
            del self._requests[asked]
            asked.on_error(error)
        else:
            del self._subscriptions[asked.tracker.channel]
            asked.sink.end(error)

    def _repeat(self, asked: Request | _Subscribed) -> None:
        if isinstance(asked, Request):
            self._send_request(asked)
        elif self._find(asked.tracker) is asked:
            self._ask(asked)

    def _deliver(self, subscribed: _Subscribed, frames: list[Frame]) -> None:
        room = True
        for frame in frames:
            room = subscribed.sink.deliver(frame)
        if not room:
            subscribed.paused = True
            self._give_up(subscribed)
        self._mend(subscribed)

    # What is sent

    def _find(self, tracker: Tracker) -> _Subscribed | None:
        subscribed = self._subscriptions.get(tracker.channel)
        return subscribed if subscribed is not None and subscribed.tracker is tracker else None

    def _mend(self, subscribed: _Subscribed) -> None:
        if subscribed.tracker.stage is Stage.HOLE:
            self._ask(subscribed)

    def _ask(self, subscribed: _Subscribed) -> None:
        tracker = subscribed.tracker
        waiting = tracker.stage is Stage.IDLE or tracker.stage is Stage.HOLE
        if self.welcome is None or subscribed.paused or not waiting:
            return
        params: dict[str, Any] = {"channel": tracker.channel}
        since = tracker.ask()
        if since is not None:
            params["since"] = since
        if tracker.interval_ms:
            params["interval_ms"] = tracker.interval_ms
        self._send(subscribed, "subscribe", params)

    def _give_up(self, subscribed: _Subscribed) -> None:
        self._forget_id(subscribed)
        if subscribed.tracker.stage is not Stage.IDLE:
            subscribed.tracker.rest()
            self._send(None, "unsubscribe", {"channel": subscribed.tracker.channel})

    def _send_request(self, request: Request) -> None:
        if self.welcome is not None and request in self._requests and request.id is None:
            self._send(request, request.method, request.params)

    def _send(
        self, asked: Request | _Subscribed | None, method: str, params: Mapping[str, Any]
    ) -> None:
        self._last_id += 1
        if asked is not None:
            asked.id = self._last_id
            self._asked[asked.id] = asked
        self._outgoing.append(_command(self._last_id, method, params))
        self._wake()

    def _forget_id(self, asked: Request | _Subscribed) -> None:
        if asked.id is not None:
            self._asked.pop(asked.id, None)
            asked.id = None


def _command(id: int, method: str, params: Mapping[str, Any]) -> bytes:
    return _encode({"id": id, "method": method, "params": params})
