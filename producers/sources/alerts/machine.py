"""Whether one thing that a rule watches is well, about to fire, or firing. Pure: time is given.

    ok -> pending -> firing -> ok

The rules:

1. What is met is pending at once. It fires when it was met at each look for the rule's `hold`, and
   its quiet time is over; until then it goes on waiting, so what lasts is told in the end.
2. Pending ends with any look that does not find it met, one that finds nothing known too: nobody
   can say that it held meanwhile.
3. Firing ends when it is over, or when what it was about is gone. Not known is neither: a number
   that is stale or missing neither fires nor clears.
4. What goes on firing is told again each `repeat`, as long as it is known.
5. Each firing is an incident of its own, named by the time at which it fired. Time that goes
   backwards, as a server's clock may, makes nothing happen sooner.
"""

from __future__ import annotations

import enum

import msgspec

from producers.sources.alerts.conditions import Verdict


class Phase(enum.StrEnum):
    OK = "ok"
    PENDING = "pending"
    FIRING = "firing"


class Step(enum.Enum):
    """What is to be told of a step."""

    FIRED = "fired"
    REPEATED = "repeated"
    RESOLVED = "resolved"


class Pace(msgspec.Struct, frozen=True):
    """The times of a rule, in microseconds. repeat: None for never."""

    hold: int = 0
    quiet: int = 0
    repeat: int | None = None


class Course(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where it stands. Times are in microseconds since the epoch, 0 for never.

    since: when it became pending; incident: when it fired, the last time; told: when it was last
    told that it fires.
    """

    phase: Phase = Phase.OK
    since: int = 0
    incident: int = 0
    told: int = 0


def step(course: Course, verdict: Verdict, now: int, pace: Pace) -> tuple[Course, Step | None]:
    """The course after one look, and what is to be told of it."""
    match course.phase, verdict:
        case ((Phase.OK | Phase.PENDING), Verdict.MET):
            return _waiting(course, now, pace)
        case Phase.PENDING, _:
            return msgspec.structs.replace(course, phase=Phase.OK, since=0), None
        case Phase.FIRING, (Verdict.OVER | Verdict.GONE):
            return msgspec.structs.replace(course, phase=Phase.OK, since=0), Step.RESOLVED
        case Phase.FIRING, (Verdict.MET | Verdict.BETWEEN):
            if pace.repeat is not None and now - course.told >= pace.repeat:
                return msgspec.structs.replace(course, told=now), Step.REPEATED
    return course, None


def _waiting(course: Course, now: int, pace: Pace) -> tuple[Course, Step | None]:
    since = course.since if course.phase is Phase.PENDING else now
    was_told = course.told > 0
    if now - since >= pace.hold and (not was_told or now - course.told >= pace.quiet):
        # Two incidents of one moment would have one name.
        incident = max(now, course.incident + 1)
        return Course(Phase.FIRING, since, incident, now), Step.FIRED
    return msgspec.structs.replace(course, phase=Phase.PENDING, since=since), None
