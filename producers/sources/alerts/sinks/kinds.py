"""The kinds of sink, by what `kind` says in the TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from producers.sources.alerts.sinks.base import SinkOptions

KINDS: Final[Mapping[str, type[SinkOptions]]] = {}


def read_sinks(table: Any) -> dict[str, SinkOptions]:
    """The options of the sinks of the file, by name; raises ValueError that names the sink."""
    sinks: dict[str, SinkOptions] = {}
    for name, given in (table if isinstance(table, dict) else {}).items():
        options = dict(given) if isinstance(given, dict) else {}
        kind = options.pop("kind", None)
        try:
            if kind not in KINDS:
                raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
            sinks[name] = msgspec.convert(options, KINDS[kind])
        except ValueError as error:
            raise ValueError(f"sinks.{name}: {error}") from None
    return sinks
