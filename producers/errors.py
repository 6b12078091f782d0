"""What can go wrong for a producer.

ProducerError
├── InvalidPayload      a value that may not be published (also a ValueError)
├── PublishError
│   ├── PublishRefused  Redis has it, and said no: another kind, a payload too large
│   ├── PublisherClosed the publisher ended before Redis answered
│   └── BufferFull      what a source said was given up: too much waits for Redis
├── SpoolError          the file for outages can't be used
│   └── SpoolInUse      another publisher has it
├── CommandError
│   ├── CommandFailed   what a handler raises: the command can't be done
│   ├── CommandLost     somebody else ended it meanwhile, or may have it now
│   └── CommandsRefused Redis does not let this user take commands
└── SourceError
    ├── SourceGone      what a source reads from is not there (any more)
    ├── SourceBusy      it asked to be left alone for a while
    │   └── SinkError       an alert could not be delivered
    ├── InputEnded      a source with an end has come to it
    └── BrokenFile      a file that holds no decision
"""

from __future__ import annotations


class ProducerError(Exception):
    """Anything this package raises on purpose."""


class InvalidPayload(ProducerError, ValueError):
    """A value that may not be published; nothing was sent."""

    def __init__(self, where: str, expected: str, got: object) -> None:
        super().__init__(f"{where}: expected {expected}, got {_short(got)}")
        self.where = where
        self.expected = expected
        self.got = got


class PublishError(ProducerError):
    """A publish that has no position."""

    def __init__(self, channel: str, why: str) -> None:
        super().__init__(f"{channel}: {why}")
        self.channel = channel
        self.why = why


class PublishRefused(PublishError):
    """Redis was asked and refused; the same publish would be refused again."""


class BufferFull(PublishError):
    """A reading that was given up; of the publisher itself it is an answer, and no error."""


class PublisherClosed(PublishError):
    """The publisher ended first. The publish may have happened, if it was in flight."""


class SpoolError(ProducerError):
    """The spool can't be opened as it is; the text names the file and what to do."""


class SpoolInUse(SpoolError):
    """Another publisher has the spool: each needs a file of its own."""


class RedisAway(ProducerError):
    """Redis does not answer, told to who asked for just that; a publish waits instead."""


class CommandError(ProducerError):
    """Something about a command to this agent."""


class CommandFailed(CommandError):
    """Raised by a handler that can't do what it was asked; the text is the reason."""


class CommandLost(CommandError):
    """The command is this worker's no more: it was away for too long, or overtaken."""


class CommandsRefused(CommandError):
    """Redis has no commands for this user, and will not have any later."""


class SourceError(ProducerError):
    """A source could not be read; the worker tries again later."""


class SourceGone(SourceError):
    """What the source reads from is not there."""


class SourceBusy(SourceError):
    """The source asked to be left alone, for `seconds` at least: a rate limit was reached."""

    def __init__(self, why: str, seconds: float) -> None:
        super().__init__(why)
        self.seconds = seconds


class SinkError(SourceBusy):
    """An alert could not be delivered. It is tried again, after `seconds` at least; one whose
    failure `is_lasting` is given up, since the same would be refused again."""

    def __init__(self, why: str, *, seconds: float = 0.0, is_lasting: bool = False) -> None:
        super().__init__(why, seconds)
        self.is_lasting = is_lasting


class InputEnded(SourceError):
    """Nothing more will come of a source that has an end; no failure, and not tried again."""


class BrokenFile(SourceError):
    """A file that holds no decision: half written, or not one at all."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name = name
        self.why = why


def _short(value: object, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}..."
