"""The kinds of sink, by what `kind` says in the TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from producers.settings import BadSettings
from producers.sources.alerts.sinks.base import Sink, SinkOptions, Surroundings
from producers.sources.alerts.sinks.email import EmailOptions
from producers.sources.alerts.sinks.web_push import WebPushOptions
from producers.sources.alerts.sinks.webhook import WebhookOptions

KINDS: Final[Mapping[str, type[SinkOptions]]] = {
    "webhook": WebhookOptions,
    "email": EmailOptions,
    "web-push": WebPushOptions,
}


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


def make(name: str, options: SinkOptions, surroundings: Surroundings) -> Sink:
    """The sink of that name; raises ValueError that names it."""
    try:
        return options.make(name, surroundings)
    except (BadSettings, ValueError) as error:
        raise ValueError(f"sinks.{name}: {error}") from None


def kind_of(options: SinkOptions) -> str:
    """What `kind` says for these options."""
    return next(kind for kind, each in KINDS.items() if type(options) is each)
