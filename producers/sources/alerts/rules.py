"""The rules of the TOML file: what each watches, and when it fires.

    [sources.alerts.rules.day-drawdown]
    watch = "drawdown"
    channel = "portfolio:*"
    limit = 5                   # per cent below the peak of the day
    clear = 3                   # over when it is less than that

What a rule looks at is a struct below, by the word in `watch`; `measures` says how it is measured.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

import msgspec
from msgspec import Meta

from hub.protocol.channels import check_channel, check_event, check_pattern, matches
from hub.protocol.errors import ProtocolError
from hub.protocol.streams import Kind, Stream, stream_options
from producers.events import Severity
from producers.sources.alerts.conditions import Condition, Value, number

Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=30 * 86_400)]
Window: TypeAlias = Literal["hour", "day", "week", "start"]

MAX_COUNT: Final = 1_000
_NAME: Final = re.compile(r"[a-z0-9_.-]{1,64}")
_REFERENCE: Final = re.compile(r"\{(\w*)\}")
_REFERENCES: Final = ("rule", "channel", "row", "place", "value", "limit")
# More digits than a float of TOML keeps for sure.
_FLOAT_DIGITS: Final = 15


class Rule(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="watch"
):
    """What every rule has.

    channel: a name, or a pattern for each channel that it takes.
    title: what people read; `{channel}`, `{row}`, `{place}` (both), `{value}`, `{limit}` and
        `{rule}` are filled in.
    for_seconds: how long it must hold before it fires.
    quiet_seconds: how long after it fired the same does not fire again.
    repeat_seconds: how often it is told again while it lasts; never where there is none.
    sinks: which get it, by name; all where there is none.
    """

    channel: str
    severity: Severity = Severity.WARNING
    title: str = ""
    for_seconds: Seconds = 0.0
    quiet_seconds: Seconds = 0.0
    repeat_seconds: Annotated[float, Meta(ge=1, le=30 * 86_400)] | None = None
    sinks: list[str] | None = None

    def __post_init__(self) -> None:
        _checked(check_pattern, self.channel)
        for found in _REFERENCE.findall(self.title):
            if found not in _REFERENCES:
                names = ", ".join(f"{{{name}}}" for name in _REFERENCES)
                raise ValueError(f"title: expected {names} alone, got {{{found}}}")
        self.condition.judge(None)

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of channel that it can watch."""
        return frozenset({Kind.VALUE})

    @property
    def condition(self) -> Condition:
        """When it is met; raises ValueError where its limits contradict."""
        raise NotImplementedError

    @property
    def said(self) -> str:
        """What it watches, for people, with the limit."""
        raise NotImplementedError

    @property
    def digits(self) -> int:
        """How many digits after the point its value is told with."""
        return 8

    @property
    def default_title(self) -> str:
        """Its title where it has none of its own."""
        raise NotImplementedError

    def titled(self, **known: str) -> str:
        """The title with what it refers to in its place."""
        return _REFERENCE.sub(lambda found: known[found[1]], self.title or self.default_title)


class Drawdown(Rule, frozen=True, kw_only=True, tag="drawdown"):
    """How many per cent equity is below its peak.

    window: since when the peak counts, in UTC; "start" is the first look ever.
    field: where equity stands in the value.
    """

    limit: Decimal
    clear: Decimal | None = None
    window: Window = "day"
    field: str = "equity"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.limit <= 100:
            raise ValueError(f"limit: expected more than 0 and at most 100, got {self.limit}")

    @property
    def condition(self) -> Condition:
        return Condition(">=", self.limit, self.clear)

    @property
    def said(self) -> str:
        since = (
            "since it was first looked at" if self.window == "start" else f"of the {self.window}"
        )
        return f"{self.field} {self.limit}% or more below its peak {since}"

    @property
    def digits(self) -> int:
        return 2

    @property
    def default_title(self) -> str:
        return "{place}: drawdown of {value}%"


class Exposure(Rule, frozen=True, kw_only=True, tag="exposure"):
    """How much is at risk: an amount, or per cent of equity.

    of: "amount", or "equity" for a limit in per cent of it.
    """

    limit: Decimal
    clear: Decimal | None = None
    of: Literal["amount", "equity"] = "amount"
    field: str = "exposure"
    equity_field: str = "equity"

    @property
    def condition(self) -> Condition:
        return Condition(">", self.limit, self.clear)

    @property
    def said(self) -> str:
        share = f"% of {self.equity_field}" if self.of == "equity" else ""
        return f"{self.field} above {self.limit}{share}"

    @property
    def digits(self) -> int:
        return 2 if self.of == "equity" else 8

    @property
    def default_title(self) -> str:
        return "{place}: exposure of {value}" + ("% of equity" if self.of == "equity" else "")


class Field(Rule, frozen=True, kw_only=True, tag="field"):
    """A field of a value, or of each row of a table, against a limit.

    field: its path, `totals.losses`; op: `>`, `>=`, `<`, `<=`, `==` or `!=`.
    """

    field: Annotated[str, Meta(min_length=1)]
    op: str
    limit: bool | int | float | str
    clear: Decimal | None = None

    @property
    def kinds(self) -> frozenset[Kind]:
        return frozenset({Kind.VALUE, Kind.TABLE})

    @property
    def condition(self) -> Condition:
        return Condition(self.op, _limit(self.limit), self.clear)

    @property
    def said(self) -> str:
        return f"{self.field} {self.op} {self.limit}"

    @property
    def default_title(self) -> str:
        return f"{{place}}: {self.field} is {{value}}"


class Events(Rule, frozen=True, kw_only=True, tag="events"):
    """How many events of these names a log had within a time; it is over when there was none."""

    events: Annotated[list[str], Meta(min_length=1)]
    count: Annotated[int, Meta(ge=1, le=MAX_COUNT)] = 1
    within_seconds: Annotated[float, Meta(gt=0, le=30 * 86_400)] = 60.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for event in self.events:
            _checked(check_event, event)

    @property
    def kinds(self) -> frozenset[Kind]:
        return frozenset({Kind.LOG})

    @property
    def condition(self) -> Condition:
        return Condition(">=", Decimal(self.count), Decimal(1))

    @property
    def said(self) -> str:
        return f"{self.count} or more of {', '.join(self.events)} within {self.within_seconds:g} s"

    @property
    def default_title(self) -> str:
        names = ", ".join(self.events)
        return f"{{place}}: {names}" if self.count == 1 else f"{{place}}: {{value}} x {names}"


class Staleness(Rule, frozen=True, kw_only=True, tag="staleness"):
    """A channel that nobody keeps fresh, or that is not there, for so long.

    One without a lease or a deadline is never stale by itself; there, a publish keeps it fresh.
    """

    seconds: Annotated[float, Meta(gt=0, le=30 * 86_400)]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.for_seconds:
            raise ValueError("for_seconds: expected none, since seconds says it")

    @property
    def kinds(self) -> frozenset[Kind]:
        return frozenset(Kind)

    @property
    def condition(self) -> Condition:
        # Whether it is stale; for how long is the time that it has to hold.
        return Condition("==", True)

    @property
    def said(self) -> str:
        missing = "" if self.channel.endswith("*") else ", or not there"
        return f"stale for {self.seconds:g} s{missing}"

    @property
    def default_title(self) -> str:
        return "{place} is stale"


AnyRule: TypeAlias = Drawdown | Exposure | Field | Events | Staleness

WATCHED: Final = tuple(str(each.__struct_config__.tag) for each in get_args(AnyRule))
"""What `watch` may say."""


def hold_us(rule: Rule) -> int:
    """How long a rule must hold before it fires, in microseconds."""
    seconds = rule.for_seconds
    if isinstance(rule, Staleness):
        seconds = rule.seconds
    return round(seconds * 1_000_000)


def read_rules(table: Any, alerts: str, streams: Mapping[str, Stream]) -> dict[str, AnyRule]:
    """The rules of the file, by name; raises ValueError that names the rule.

    alerts: the channel that they publish to, which they can't watch.
    """
    rules: dict[str, AnyRule] = {}
    for name, given in (table if isinstance(table, dict) else {}).items():
        try:
            if not _NAME.fullmatch(name):
                raise ValueError("expected a name of letters, digits, '_', '-' and '.'")
            watch = given.get("watch") if isinstance(given, dict) else None
            if watch not in WATCHED:
                raise ValueError(f"watch: expected one of {', '.join(WATCHED)}, got {watch!r}")
            rule: AnyRule = msgspec.convert(given, AnyRule)
            _check_fit(rule, alerts, streams)
            rules[name] = rule
        except ValueError as error:
            raise ValueError(f"rules.{name}: {error}") from None
    return rules


def _check_fit(rule: Rule, alerts: str, streams: Mapping[str, Stream]) -> None:
    if rule.channel == "*":
        # All but their own.
        if len(rule.kinds) < len(Kind):
            raise ValueError("channel: expected the name of a stream, got *")
        return
    if matches(rule.channel, alerts):
        raise ValueError(f"channel: expected another than {alerts}, where its own alerts stand")
    kind = stream_options(rule.channel, streams).kind
    if kind not in rule.kinds:
        fit = " or ".join(sorted(rule.kinds))
        raise ValueError(f"channel: expected a {fit}, got {rule.channel}, which is a {kind}")


def _limit(given: bool | int | float | str) -> Value:
    if isinstance(given, float):
        exact = Decimal(repr(given))
        if not exact.is_finite() or len(exact.as_tuple().digits) > _FLOAT_DIGITS:
            raise ValueError(
                f"limit: expected at most {_FLOAT_DIGITS} digits, got {given!r}; "
                "more of them go between quotes"
            )
        return exact
    found = number(given)
    if found is not None:
        return found
    if isinstance(given, bool | str):
        return given
    raise ValueError(f"limit: expected a number that an amount may be, got {given}")


def _checked(check: Any, name: str) -> None:
    try:
        check(name)
    except ProtocolError as error:
        raise ValueError(str(error)) from None


def is_pattern(channel: str) -> bool:
    """Whether it names more than one channel."""
    return channel.endswith("*")


def watched_channel(rule: Rule) -> str | None:
    """The one channel that a rule watches, None for a pattern."""
    return None if is_pattern(rule.channel) else check_channel(rule.channel)
