"""Places within a decoded JSON value, by name: `strategy.order.action`, `fills.0.price`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def look_up(value: Any, path: str) -> Any:
    """What stands at a path, None where nothing does."""
    # A name with a dot in it goes before a path.
    if isinstance(value, Mapping) and path in value:
        return value[path]
    for part in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value
