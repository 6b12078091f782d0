"""What a source is: something a producer reads from, and says what it saw as readings.

A source decides nothing about Redis. It says what is the case now; that only changes travel, that
a decision travels once and that a channel's deadline is kept is the business of the publisher and
the worker. Whether it is asked or tells by itself makes two contracts:

- `PollingSource.poll()` is called on an interval, with a time limit, and is cancelled there.
- `FollowingSource.follow()` is iterated once and yields batches when there is something to say.

Both may raise `SourceError` (or fail otherwise): the worker reports it, waits and tries again, not
before the time that a `SourceBusy` names. A following source whose input has an end raises
`InputEnded` there.
Sources are found by the entry point group `tapecast.sources`; a name there is a sub-command of
`tapecast produce`, with the source's own options. What stands in the table `[sources.NAME]` of the
TOML file is the default of the option of that name.
"""

from __future__ import annotations

import abc
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

import click
import msgspec

from producers.events import AgentStatus, Decision, Health, Payload, Portfolio
from producers.events import TradingPosition as Row

if TYPE_CHECKING:
    from producers.handlers import Handlers
    from producers.readings import Result

ENTRY_POINT_GROUP = "tapecast.sources"
TIMEOUT_SECONDS = 3.0
"""How long one call of a polling source may take, where nobody says otherwise."""


MAX_LEASE_SECONDS = 366 * 86_400.0
"""The longest lease that somebody may ask for from outside."""


class State(msgspec.Struct, frozen=True):
    """The one current value of a channel: a portfolio, an agent's status, its health."""

    channel: str
    payload: Portfolio | AgentStatus | Health


class Positions(msgspec.Struct, frozen=True):
    """All positions that are open; a position that is missing here is closed."""

    channel: str
    rows: tuple[Row, ...]


class Decided(msgspec.Struct, frozen=True):
    """A decision as it stands now; the same one again is no news."""

    channel: str
    decision: Decision


class Happened(msgspec.Struct, frozen=True):
    """An event for a log. With a `key` it is published once, also after a restart."""

    channel: str
    event: str
    payload: Payload
    key: str = ""


class Relayed(msgspec.Struct, frozen=True):
    """What somebody else wrote, handed on as it is: JSON for a channel of any kind.

    lease: seconds until the channel is stale, where its writer says so.
    origin: where it came from, for whoever has to mend it.
    """

    channel: str
    event: str
    data: msgspec.Raw
    key: str = ""
    lease: float | None = None
    origin: str = ""


class Trouble(msgspec.Struct, frozen=True):
    """Something that can't be read while the rest can; told once for each `key`."""

    channel: str
    title: str
    detail: str
    key: str


Reading: TypeAlias = State | Positions | Decided | Happened | Relayed | Trouble


class Source(abc.ABC):
    """What both kinds of source have: a description, options and channels."""

    summary: ClassVar[str]
    """The help text of its sub-command, examples included."""
    options: ClassVar[Sequence[click.Parameter]] = ()
    """What the sub-command takes, besides what all of them take."""
    tables: ClassVar[frozenset[str]] = frozenset()
    """What may stand in its table of the TOML file besides its options; `from_options` gets it."""

    @classmethod
    @abc.abstractmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """Make the source from the values of its `options`; may raise click.UsageError.

        `options["name"]` is what it is called: as its entry point, unless `--as` says otherwise.
        `options["streams"]` are the options of the streams, by name; `options["redis_url"]` is
        where it publishes to.
        """

    @property
    @abc.abstractmethod
    def channels(self) -> tuple[str, ...]:
        """The channels whose deadline the worker keeps while the source is well."""

    @property
    @abc.abstractmethod
    def health_channel(self) -> str:
        """Where the worker reports how the source is doing."""

    def told(self, reading: Reading, result: Result) -> None:  # noqa: B027 - most need not know
        """Hear what became of a reading, in the order of the answers; must not block."""

    agent: str | None = None
    """Whose commands it obeys, where it obeys any; None for those of the agent without a name."""

    def handlers(self) -> Handlers | None:
        """What it does for the commands to its agent; None for a source that is no agent."""
        return None


class PollingSource(Source):
    """A source that is asked."""

    interval_seconds: float = 1.0
    """How often, where nobody says otherwise."""

    @abc.abstractmethod
    async def poll(self) -> Sequence[Reading]:
        """What is the case now, in the order in which it is to be published."""


class FollowingSource(Source):
    """A source that tells by itself."""

    @abc.abstractmethod
    def follow(self) -> AsyncGenerator[Sequence[Reading]]:
        """What is the case, then every change, in batches and without an end.

        The first batch, which may be empty, says that nothing will be missed from now on, and is
        waited for as long as a failure takes to show. From then on the worker keeps the deadline of
        the channels though nothing comes: a source that can't tell silence from a broken link must
        find out, and raise. Closing the generator stops it.
        """

    @property
    def failed(self) -> bool:
        """Whether something of an input that has ended could not be published."""
        return False

    async def read_once(self) -> Sequence[Reading]:
        """What is the case now. A source that has this is offered `--once`."""
        raise NotImplementedError
