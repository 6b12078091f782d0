"""What a sink is: something that an alert is delivered to, outside of Tapecast.

A sink decides nothing: which alerts it gets, in which order, and what becomes of one that fails is
the business of `delivery`. It gets one at a time, and the same one again where it is not known
whether it was delivered; so it hands `Notice.id` on, for whoever gets both.

A kind of sink is its options, which stand in the TOML file below `[sources.alerts.sinks.NAME]`
with the kind that `kinds` lists them under, and what their `make` makes.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from producers.events import Alert, Severity


class Notice(msgspec.Struct, frozen=True):
    """An alert that was published.

    id: unique and the same each time it is delivered; letters, digits, '_', '-', 64 at most.
    channel: the log that it stands in; at_us: when it was published, in microseconds.
    """

    id: str
    channel: str
    alert: Alert
    at_us: int


class Surroundings(msgspec.Struct, frozen=True):
    """What a sink may need besides its options: secrets are in `environ` (see `credentials`)."""

    environ: Mapping[str, str]
    redis_url: str


class Sink(abc.ABC):
    """Where alerts are delivered. name: as in the file."""

    name: str

    @abc.abstractmethod
    async def deliver(self, notice: Notice) -> None:
        """Return when whoever gets it has it; raises SinkError.

        Cancelled where it takes longer than `SinkOptions.timeout_seconds`.
        """

    async def close(self) -> None:  # noqa: B027 - most hold nothing
        """Let go of what it holds; nothing is delivered any more."""


class SinkOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands in the file for every kind of sink.

    severity: the least that it gets.
    timeout_seconds: how long one delivery may take.
    max_age_seconds: an alert that could not be delivered for so long is given up.
    """

    severity: Severity = Severity.INFO
    timeout_seconds: Annotated[float, Meta(gt=0, le=25)] = 10.0
    max_age_seconds: Annotated[float, Meta(gt=0)] = 86_400.0

    def make(self, name: str, surroundings: Surroundings) -> Sink:
        """The sink, which opens nothing before its first delivery; raises ValueError or BadSettings
        that says what is missing."""
        raise NotImplementedError
