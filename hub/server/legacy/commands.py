"""What old dashboards say: `{"event": "ping"}`, or `{"action": ..., "payload": {...}}`.

What there is to do becomes a command of the protocol, under the rights of the session like any
other; anything else is answered here. Nothing is passed on as it came: what a dashboard says must
not be a command by accident.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from hub.core.frame import Frame
from hub.server.legacy import frames

PING: Final = b'{"id":0,"method":"ping"}'
FOLLOWING: Final = 1
COMPLETING: Final = 2
"""The ids of subscribes; the second one's where the agent's status may be told before the channel
is up, and then lacks what it shows of it."""
NO_COMMAND: Final = b"not a JSON object"
"""What the session hears of a text that is none: it counts those, and closes at the fifth."""


class Command(NamedTuple):
    """For the session to obey; the dialect translates its reply."""

    text: bytes


class Start(NamedTuple):
    """For the agent: `start_ack` says that it was done."""

    payload: dict[str, Any]


class Answer(NamedTuple):
    """What to say, with nothing done."""

    frame: Frame


Reaction: TypeAlias = Command | Start | Answer


class _Said(msgspec.Struct, frozen=True):
    event: Any = None
    action: Any = None
    payload: Any = None


_decode = msgspec.json.Decoder(_Said).decode


def react(text: bytes) -> Reaction:
    """What one text frame leads to; never raises."""
    try:
        said = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Command(NO_COMMAND)
    action = said.event if said.action is None else said.action
    do = ACTIONS.get(action) if isinstance(action, str) else None
    if do is None:
        expected = ", ".join(ACTIONS)
        message = f"expected an action (one of {expected}), got {action!r:.80}"
        return Answer(frames.error(message))
    return do(said.payload)


def subscribe(id: int, channel: str, interval_ms: int) -> bytes:
    """Follow a channel on behalf of a dashboard, which does not know that there are channels."""
    params = {"channel": channel, "interval_ms": interval_ms}
    return msgspec.json.encode({"id": id, "method": "subscribe", "params": params})


def _ping(payload: Any) -> Reaction:
    return Command(PING)


def _start(payload: Any) -> Reaction:
    if not isinstance(payload, dict | None):
        return Answer(frames.error(f"start: expected an object as payload, got {payload!r:.80}"))
    return Start(payload or {})


ACTIONS: Final[Mapping[str, Callable[[Any], Reaction]]] = {"ping": _ping, "start": _start}
