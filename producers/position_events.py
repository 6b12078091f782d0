"""What happened between two full lists of positions: opened, updated, closed.

Rows are compared as they were published. A position counts as updated when something else changed
than the marks that the market moves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from producers.events import MARKS, Event


class PositionEvent(NamedTuple):
    """One event for the agent's log; `row` is the position as it was last."""

    event: Event
    position_id: str
    row: Any


def position_events(
    before: Mapping[str, bytes], after: Mapping[str, bytes]
) -> Iterator[PositionEvent]:
    """The events that lead from one list to the next: what closed first, then the new list's."""
    for key in sorted(before.keys() - after.keys()):
        yield PositionEvent(Event.POSITION_CLOSED, key, _decode(before[key]))
    for key, row in after.items():
        if key not in before:
            yield PositionEvent(Event.POSITION_OPENED, key, _decode(row))
        elif before[key] != row and _without_marks(before[key]) != _without_marks(row):
            yield PositionEvent(Event.POSITION_UPDATED, key, _decode(row))


def _without_marks(row: bytes) -> Any:
    decoded = _decode(row)
    if not isinstance(decoded, dict):
        return decoded
    return {field: value for field, value in decoded.items() if field not in MARKS}


_decode = msgspec.json.Decoder().decode
