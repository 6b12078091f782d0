"""Tests of hub.core.wheel."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub.core.wheel import Wheel

SLOT = 0.05
ROUNDING = 1e-9


@given(
    start=st.floats(0, 1e6),
    deadlines=st.lists(st.floats(-1, 20), max_size=20),
    steps=st.lists(st.floats(0, 3), max_size=30),
)
def test_no_item_is_early_and_none_later_than_a_slot(
    start: float, deadlines: list[float], steps: list[float]
) -> None:
    """Each item comes up once: not before its deadline, and by the end of a slot after it, or
    after it was added where that was later."""
    wheel: Wheel[float] = Wheel(SLOT, start)
    waiting = [start + deadline for deadline in deadlines]
    for deadline in waiting:
        wheel.add(deadline, deadline)
    now = start
    for step in steps:
        now += step
        due = wheel.advance(now)
        assert all(deadline <= now for deadline in due)
        for deadline in due:
            waiting.remove(deadline)
        assert all(max(deadline, start) + SLOT + ROUNDING > now for deadline in waiting)
        assert len(wheel) == len(waiting)


def test_items_come_in_the_order_of_their_slots() -> None:
    """A wheel that was not looked at for long brings up the earliest deadline first."""
    wheel: Wheel[str] = Wheel(SLOT, 0.0)
    wheel.add("later", 9.0)
    wheel.add("sooner", 1.0)
    assert wheel.advance(10.0) == ["sooner", "later"]


def test_a_clock_that_stands_still_brings_nothing_up() -> None:
    """To advance to the same time again, or to an earlier one, changes nothing."""
    wheel: Wheel[str] = Wheel(SLOT, 5.0)
    wheel.add("item", 5.2)
    assert wheel.advance(5.0) == wheel.advance(4.0) == []
    assert wheel.advance(5.3) == ["item"]


def test_a_crowded_wheel_is_turned_slot_by_slot() -> None:
    """Where more slots are taken than have passed, those that passed come up, in order."""
    wheel: Wheel[int] = Wheel(SLOT, 0.0)
    for number in range(10):
        wheel.add(number, number * SLOT + SLOT / 2)
    assert wheel.advance(2 * SLOT) == [0, 1]
    assert len(wheel) == 8
