"""What old dashboards are told: `{"event": ..., "data": {...}}`, with the fields of `data` repeated
beside it.

The old dashboard hands the whole frame to its hooks, which look for the fields there; others look
into `data`. `event` and `data` are what they are, whatever a field is called.
"""

from __future__ import annotations

from typing import Any, Final

from hub.core.frame import Frame
from hub.protocol.codes import AUTH_TIMEOUT, FORBIDDEN, UNAUTHORIZED, Code
from hub.server.legacy.shapes import encode

NAMES: Final = ("event", "data")

REFUSED: Final = 4001
"""The close code that old dashboards know: after it they ask for another token, and do not come
back by themselves. They do after any other."""

_REFUSALS: Final = (UNAUTHORIZED, AUTH_TIMEOUT, FORBIDDEN)


def close_number(code: Code) -> int:
    """The close code that an old dashboard is told for one of the hub's."""
    return REFUSED if code in _REFUSALS else code.number


def encode_event(event: str, data: Any) -> bytes:
    """The text of one frame."""
    encoded = encode(data)
    named = b'{"event":%b,"data":%b' % (encode(event), encoded)
    if isinstance(data, dict):
        if not data.keys().isdisjoint(NAMES):
            data = {name: value for name, value in data.items() if name not in NAMES}
            encoded = encode(data)
        if data:
            return named + b"," + encoded[1:]
    return named + b"}"


def own(event: str, data: Any) -> Frame:
    """A frame that needs no translation."""
    frame = Frame(encode_event(event, data))
    frame.translated = (frame,)
    return frame


def error(message: str, **fields: object) -> Frame:
    """Something that the dashboard should show."""
    return own("error", {"message": message, **fields})
