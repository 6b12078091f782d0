"""Which alerts follow from what the channels say. Pure: no I/O, and time is given.

Each rule makes an instance of each channel that it takes, and of each row of a table. `look` and
`happened` move the instances and say what is to be told; `take_changes` says what is to be
remembered of it, so that whoever evaluates next goes on from there. The two belong in one step:
what is told and what is remembered of it must be stored together.

The rules, besides those of `machine` and `measures`:

1. A channel that is stale, missing, or not known is UNKNOWN to every rule but those on staleness.
2. An instance that was well for long enough that nothing depends on it is forgotten.
3. What fires for a rule, or a channel, that the file has no more is resolved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from hub.protocol.channels import matches
from hub.protocol.streams import Kind
from producers.events import Alert
from producers.sources.alerts import telling
from producers.sources.alerts.conditions import Verdict
from producers.sources.alerts.machine import Course, Pace, Phase, Step, step
from producers.sources.alerts.measures import (
    SECOND_US,
    UNKNOWN,
    Found,
    Memory,
    count,
    measure,
    with_event,
)
from producers.sources.alerts.rules import AnyRule, Events, Rule, Staleness, hold_us
from producers.sources.alerts.watched import Look

BLIND_US: Final = 5 * SECOND_US
"""Who did not look for so long can't say what held meanwhile."""

_encode = msgspec.json.Encoder().encode


class Instance(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rule on one channel, or one row. fired: what was told when it fired."""

    course: Course = Course()
    memory: Memory = Memory()
    fired: Alert | None = None


class Told(NamedTuple):
    """What is to be published. key: names it, so that it is published once."""

    alert: Alert
    key: str


class Key(NamedTuple):
    """Which instance. row: "" where the channel is no table."""

    rule: str
    channel: str
    row: str = ""

    def __str__(self) -> str:
        return "|".join(self)


_NEW: Final = Instance()
_GONE: Final = object()
"""In place of a row that was deleted."""


class Engine:
    """rules: by name. remembered: what `take_changes` gave, as it is now."""

    def __init__(self, rules: Mapping[str, AnyRule], remembered: Mapping[str, bytes]) -> None:
        self._rules = rules
        self._instances: dict[tuple[str, str], dict[str, Instance]] = {}
        self._changed: set[Key] = set()
        self._looked: dict[str, int] = {}
        self._resumed: dict[str, int] = {}
        for text, instance in remembered.items():
            key = Key(*text.split("|", 2))
            decoded = msgspec.json.decode(instance, type=Instance)
            self._instances.setdefault(key[:2], {})[key.row] = decoded

    @property
    def channels(self) -> set[str]:
        """The channels that something is remembered of."""
        return {channel for _rule, channel in self._instances}

    def take_changes(self) -> dict[str, bytes | None]:
        """What is to be remembered from now on, None for what is to be forgotten."""
        changed, self._changed = self._changed, set()
        found = ((key, self._instances.get(key[:2], {}).get(key.row)) for key in changed)
        return {str(key): None if each is None else _encode(each) for key, each in found}

    def retire(self, now: int) -> list[Told]:
        """Resolve what the file has no rule for any more."""
        told: list[Told] = []
        for name, channel in list(self._instances):
            rule = self._rules.get(name)
            if rule is not None and matches(rule.channel, channel):
                continue
            for row, instance in self._instances.pop((name, channel)).items():
                key = Key(name, channel, row)
                self._changed.add(key)
                if instance.course.phase is Phase.FIRING and instance.fired is not None:
                    found = Found(None, "the rule is gone")
                    told.append(_resolved(instance, found, now))
        return told

    def happened(self, channel: str, event: str, look: Look, at: int) -> list[Told]:
        """Take one more entry of a log, which was published at that time."""
        for name, rule in self._taking(channel):
            if isinstance(rule, Events) and event in rule.events:
                key = Key(name, channel)
                instance = self._instance(key)
                memory = with_event(rule, instance.memory, at)
                self._keep(key, msgspec.structs.replace(instance, memory=memory))
        return self.look(look, at)

    def look(self, look: Look, now: int) -> list[Told]:
        """Take a channel as it is at that time."""
        channel = look.channel
        if now - self._looked.get(channel, 0) > BLIND_US:
            self._resumed[channel] = now
        self._looked[channel] = max(now, self._looked.get(channel, 0))
        told: list[Told] = []
        for name, rule in self._taking(channel):
            pace = _pace(rule)
            if isinstance(rule, Staleness):
                found, pace = self._staleness(rule, look, now, pace)
                told += self._move(Key(name, channel), rule, found, now, pace)
            elif not look.is_fresh or look.content is None:
                for row in list(self._instances.get((name, channel), ())):
                    told += self._move(Key(name, channel, row), rule, UNKNOWN, now, pace)
            elif look.kind in rule.kinds:
                for row, content in self._parts(name, look):
                    told += self._measure(Key(name, channel, row), rule, content, now, pace)
        return told

    def _taking(self, channel: str) -> Iterator[tuple[str, AnyRule]]:
        return (
            (name, rule) for name, rule in self._rules.items() if matches(rule.channel, channel)
        )

    def _parts(self, name: str, look: Look) -> list[tuple[str, Any]]:
        """What a rule measures of a channel, each by its row."""
        if look.kind is not Kind.TABLE:
            return [("", look.content)]
        rows = look.content
        known = self._instances.get((name, look.channel), {}).keys()
        changed = rows.keys() | known if look.changed is None else look.changed
        return [
            (row, rows.get(row, _GONE)) for row in sorted(changed) if row in rows or row in known
        ]

    def _measure(self, key: Key, rule: AnyRule, content: Any, now: int, pace: Pace) -> list[Told]:
        instance = self._instance(key)
        if isinstance(rule, Events):
            found, memory = count(rule, instance.memory, now)
        elif content is _GONE:
            gone = Found(None, "the row is gone")
            return self._move(key, rule, gone, now, pace, Verdict.GONE)
        else:
            found, memory = measure(rule, content, instance.memory, now)
        if memory != instance.memory:
            self._keep(key, msgspec.structs.replace(instance, memory=memory))
        return self._move(key, rule, found, now, pace)

    def _staleness(self, rule: Staleness, look: Look, now: int, pace: Pace) -> tuple[Found, Pace]:
        if look.silent_since is not None:
            # Nobody promised to keep it fresh. Nobody could, while Redis was away.
            since = max(look.silent_since, self._resumed[look.channel])
            is_silent = now - since >= pace.hold
            detail = telling.since("nothing was published", look.silent_since)
            return Found(is_silent, detail), msgspec.structs.replace(pace, hold=0)
        if look.kind is None:
            return Found(True, "nothing was ever published there"), pace
        detail = "it is kept fresh"
        if not look.is_fresh:
            detail = telling.since("nobody keeps it fresh", look.stale_since)
        return Found(not look.is_fresh, detail), pace

    def _move(
        self,
        key: Key,
        rule: AnyRule,
        found: Found,
        now: int,
        pace: Pace,
        verdict: Verdict | None = None,
    ) -> list[Told]:
        instance = self._instance(key)
        verdict = verdict or rule.condition.judge(found.value)
        course, said = step(instance.course, verdict, now, pace)
        moved = msgspec.structs.replace(instance, course=course)
        told: list[Told] = []
        match said:
            case Step.FIRED:
                alert = telling.fired(key, rule, found, course.incident)
                told = [Told(alert, f"{alert.incident}:firing")]
                moved = msgspec.structs.replace(moved, fired=alert)
            case Step.REPEATED:
                alert = telling.repeated(key, rule, found, course.incident)
                told = [Told(alert, f"{alert.incident}:firing:{course.told}")]
            case Step.RESOLVED:
                told = [_resolved(instance, found, now)]
                moved = msgspec.structs.replace(moved, fired=None)
        is_forgettable = (
            course.phase is Phase.OK
            and moved.memory == _NEW.memory
            and (not course.told or now - course.told >= pace.quiet)
        )
        self._keep(key, None if is_forgettable else moved)
        return told

    def _instance(self, key: Key) -> Instance:
        return self._instances.get(key[:2], {}).get(key.row, _NEW)

    def _keep(self, key: Key, instance: Instance | None) -> None:
        instances = self._instances.setdefault(key[:2], {})
        if instances.get(key.row) == instance:
            return
        self._changed.add(key)
        if instance is None:
            del instances[key.row]
        else:
            instances[key.row] = instance


def _pace(rule: Rule) -> Pace:
    repeat = rule.repeat_seconds
    return Pace(
        hold_us(rule),
        round(rule.quiet_seconds * SECOND_US),
        None if repeat is None else round(repeat * SECOND_US),
    )


def _resolved(instance: Instance, found: Found, now: int) -> Told:
    # What fires was told when it did.
    assert instance.fired is not None
    alert = telling.resolved(instance.fired, found, now - instance.course.incident)
    return Told(alert, f"{alert.incident}:resolved")
