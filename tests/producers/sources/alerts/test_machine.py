"""producers/sources/alerts/machine.py: ok, pending, firing, and what is told of it."""

from __future__ import annotations

from typing import TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from producers.sources.alerts.conditions import Verdict
from producers.sources.alerts.machine import Course, Pace, Phase, Step, step

VERDICTS = st.sampled_from(Verdict)
LOOKS = st.lists(st.tuples(VERDICTS, st.integers(0, 20)), max_size=60)
PACES = st.builds(
    Pace, st.integers(0, 30), st.integers(0, 60), st.none() | st.integers(1, 40)
)  # fmt: skip
BEGIN = 1_000


Look: TypeAlias = tuple[Verdict, int]
"""What was seen, and how long after the look before."""


def run(looks: list[Look], pace: Pace) -> list[tuple[int, Verdict, Course, Step | None]]:
    """The course after each look, with its time and what was told."""
    course, now, seen = Course(), BEGIN, []
    for verdict, later in looks:
        now += later
        course, told = step(course, verdict, now, pace)
        seen.append((now, verdict, course, told))
    return seen


def told(looks: list[Look], pace: Pace) -> list[tuple[int, Step]]:
    """What was told, and when after the beginning."""
    return [(now - BEGIN, said) for now, _, _, said in run(looks, pace) if said is not None]


def test_it_fires_once_and_resolves_once() -> None:
    """Fired when it is met, told no more, and resolved when it is over; between is neither."""
    looks = [
        (Verdict.OVER, 1), (Verdict.MET, 1), (Verdict.MET, 1), (Verdict.BETWEEN, 1),
        (Verdict.OVER, 1), (Verdict.OVER, 1),
    ]  # fmt: skip
    assert told(looks, Pace()) == [(2, Step.FIRED), (5, Step.RESOLVED)]


def test_it_has_to_hold() -> None:
    """It fires at the first look after it held for long enough, without a break."""
    pace = Pace(hold=10)
    met, between = (Verdict.MET, 5), (Verdict.BETWEEN, 5)
    assert told([met, met, met], pace) == [(15, Step.FIRED)]
    assert told([met, met, between, met, met], pace) == []
    # Nobody can say that it held while nothing was known.
    assert told([met, met, (Verdict.UNKNOWN, 5), met, met], pace) == []


def test_what_comes_back_soon_is_told_later() -> None:
    """Within the quiet time nothing fires; what still holds at its end does."""
    met, over = (Verdict.MET, 1), (Verdict.OVER, 1)
    pace = Pace(quiet=10)
    assert told([met, over, met, over], pace) == [(1, Step.FIRED), (2, Step.RESOLVED)]
    looks = [met, over, met, (Verdict.MET, 8)]
    assert told(looks, pace) == [(1, Step.FIRED), (2, Step.RESOLVED), (11, Step.FIRED)]


def test_what_lasts_is_told_again() -> None:
    """Each `repeat`, while it is known."""
    looks = [(Verdict.MET, 5)] * 5 + [(Verdict.UNKNOWN, 20), (Verdict.BETWEEN, 1)]
    assert told(looks, Pace(repeat=10)) == [
        (5, Step.FIRED), (15, Step.REPEATED), (25, Step.REPEATED), (46, Step.REPEATED),
    ]  # fmt: skip


@given(LOOKS, PACES)
def test_firing_and_resolving_take_turns(looks: list[Look], pace: Pace) -> None:
    """Whatever is seen: an incident fires once and ends once, and is repeated only in between."""
    is_firing, incidents = False, set()
    for _, _, course, said in run(looks, pace):
        if said is Step.FIRED:
            assert not is_firing
            assert course.incident not in incidents
            incidents.add(course.incident)
        elif said is not None:
            assert is_firing
        is_firing = course.phase is Phase.FIRING
        assert is_firing is (said in (Step.FIRED, Step.REPEATED) or (said is None and is_firing))


@given(LOOKS, PACES)
def test_nothing_is_guessed(looks: list[Look], pace: Pace) -> None:
    """What is not known tells nothing, and what fires fires on a look that found it met."""
    before = Course()
    for _, verdict, course, said in run(looks, pace):
        if verdict is Verdict.UNKNOWN:
            assert said is None
            assert (course.phase is Phase.FIRING) is (before.phase is Phase.FIRING)
        if said is Step.FIRED:
            assert verdict is Verdict.MET
        if said is Step.RESOLVED:
            assert verdict in (Verdict.OVER, Verdict.GONE)
        before = course


@given(LOOKS, PACES)
def test_times_are_kept(looks: list[Look], pace: Pace) -> None:
    """What fires held for long enough, and not within the quiet time of the last that was told."""
    last_told, held_since = None, None
    for now, verdict, _, said in run(looks, pace):
        if verdict is not Verdict.MET:
            held_since = None
        elif held_since is None:
            held_since = now
        if said is Step.FIRED:
            assert held_since is not None
            assert now - held_since >= pace.hold
            assert last_told is None or now - last_told >= pace.quiet
        if said is Step.REPEATED:
            assert last_told is not None
            assert pace.repeat is not None
            assert now - last_told >= pace.repeat
        if said in (Step.FIRED, Step.REPEATED):
            last_told = now


@given(LOOKS, PACES)
def test_the_same_look_tells_nothing_twice(looks: list[Look], pace: Pace) -> None:
    """So whoever takes over may look again at what was seen."""
    for now, verdict, course, _ in run(looks, pace):
        again, said = step(course, verdict, now, pace)
        assert said is None
        assert again == course
