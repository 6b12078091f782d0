"""The checker of commands bites: each fault that it looks for is seeded, and seen."""

from __future__ import annotations

import pytest

from tests.exact.endings import (
    ACCEPTED,
    DONE,
    EXPIRED,
    FAILED,
    Heard,
    Sent,
    breaches_of,
    ends_of,
)

ONCE, AGAIN = Sent("ann", again=False), Sent("ann", again=True)


def told(*events: str | tuple[str, int], id: str = "c1") -> list[Heard]:
    """Steps of one command; with an attempt where it is not the first."""
    return [Heard(id, e, 1) if isinstance(e, str) else Heard(id, *e) for e in events]


@pytest.mark.parametrize(
    ("sent", "steps", "effects"),
    [
        (ONCE, told(ACCEPTED, DONE), 1),
        (ONCE, told(ACCEPTED, FAILED), 1),
        (ONCE, told(ACCEPTED, FAILED), 0),
        (ONCE, told(FAILED), 0),
        (ONCE, told(EXPIRED), 0),
        (AGAIN, told(ACCEPTED, (ACCEPTED, 2), DONE), 2),
        (AGAIN, told(ACCEPTED, (ACCEPTED, 2), DONE), 1),
        (AGAIN, told(ACCEPTED, (ACCEPTED, 3), FAILED), 0),
    ],
)
def test_what_may_happen_is_no_breach(sent: Sent, steps: list[Heard], effects: int) -> None:
    """Each way that a command may go."""
    assert breaches_of({"c1": sent}, {"ann": steps}, {"c1": effects}) == []


@pytest.mark.parametrize(
    ("sent", "steps", "effects", "breach"),
    [
        (ONCE, [], 0, "expected one end"),
        (ONCE, told(ACCEPTED), 1, "expected one end"),
        (ONCE, told(ACCEPTED, DONE, DONE), 1, "expected one end"),
        (ONCE, told(ACCEPTED, FAILED, DONE), 1, "expected one end"),
        (ONCE, told(DONE, ACCEPTED), 1, "expected nothing after"),
        (ONCE, told(ACCEPTED, ACCEPTED, DONE), 1, "each attempt to be accepted once"),
        (ONCE, told(ACCEPTED, (ACCEPTED, 2), DONE), 1, "expected one acceptance"),
        (ONCE, told(DONE), 0, "done, and never accepted"),
        (ONCE, told(ACCEPTED, EXPIRED), 0, "expired, and was accepted before"),
        (ONCE, told(EXPIRED), 1, "the agents did it 1 times, accepted 0"),
        (ONCE, told(FAILED), 1, "the agents did it 1 times, accepted 0"),
        (ONCE, told(ACCEPTED, DONE), 2, "expected it to be done once"),
        (ONCE, told(ACCEPTED, DONE), 0, "done, and no agent did it"),
        (AGAIN, told(ACCEPTED, (ACCEPTED, 2), DONE), 3, "the agents did it 3 times"),
    ],
)
def test_each_fault_is_seen(sent: Sent, steps: list[Heard], effects: int, breach: str) -> None:
    """And named, with the command."""
    found = breaches_of({"c1": sent}, {"ann": steps}, {"c1": effects})
    assert any(line.startswith("c1: ") and breach in line for line in found), found


def test_each_sender_hears_of_its_own() -> None:
    """What another heard counts for nothing."""
    [breach] = breaches_of({"c1": ONCE}, {"bob": told(ACCEPTED, DONE)}, {"c1": 0})
    assert "expected one end, its sender heard []" in breach


def test_what_nobody_sent_is_seen() -> None:
    """Heard or done."""
    found = breaches_of({}, {"ann": told(EXPIRED)}, {"c2": 1})
    assert found == [
        "c1: ann heard command.expired, and nobody sent it",
        "c2: done by an agent, and nobody sent it",
    ]


def test_ends_are_counted() -> None:
    """By their event, as their own sender heard them."""
    heard = {"ann": [*told(ACCEPTED, DONE), *told(EXPIRED, id="c2")], "bob": told(DONE)}
    assert ends_of({"c1": ONCE, "c2": ONCE}, heard) == {DONE: 1, EXPIRED: 1}
