"""Holds what senders heard and what agents did against what is promised of commands. No I/O.

It imports nothing of the hub, so that a mistake there is not made here again. The rules, for each
command that a hub has answered for:

1. Its sender hears one end: done, failed or expired, and no step after it.
2. It is done after it was accepted, and expired where it never was.
3. It was accepted once; where it may be done again, once for each attempt that its worker began.
4. The agents did it once at most, and not at all where it was never accepted or expired; where it
   may be done again, once for each acceptance at most. What is done was done.
5. Nobody hears of a command that nobody sent.

What breaks a rule is a breach: a line of text that says which command, and how.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

ACCEPTED: Final = "command.accepted"
DONE: Final = "command.done"
FAILED: Final = "command.failed"
EXPIRED: Final = "command.expired"
ENDS: Final = frozenset({DONE, FAILED, EXPIRED})


class Sent(NamedTuple):
    """A command that a hub answered for. again: whether it may be done again."""

    sender: str
    again: bool


class Heard(NamedTuple):
    """A step, as a sender heard it."""

    id: str
    event: str
    attempt: int


def breaches_of(
    sent: Mapping[str, Sent],
    heard: Mapping[str, Sequence[Heard]],
    effects: Mapping[str, int],
) -> list[str]:
    """What was not as promised. heard: by sender, in order. effects: how often agents did each."""
    steps: dict[str, list[Heard]] = {id: [] for id in sent}
    found: list[str] = []
    for sender, told in heard.items():
        for step in told:
            if step.id not in sent:
                found.append(f"{step.id}: {sender} heard {step.event}, and nobody sent it")
            elif sent[step.id].sender == sender:
                steps[step.id].append(step)
    found += [f"{id}: done by an agent, and nobody sent it" for id in effects.keys() - sent.keys()]
    for id, told in steps.items():
        found += [f"{id}: {why}" for why in _breaches(sent[id], told, effects.get(id, 0))]
    return found


def _breaches(sent: Sent, told: Sequence[Heard], effects: int) -> list[str]:
    found: list[str] = []
    events = [step.event for step in told]
    ends = [event for event in events if event in ENDS]
    if len(ends) != 1:
        found.append(f"expected one end, its sender heard {ends}")
    elif events[-1] != ends[0]:
        found.append(f"expected nothing after {ends[0]}, heard {events}")
    attempts = Counter(step.attempt for step in told if step.event == ACCEPTED)
    accepted = len(attempts)
    if any(times > 1 for times in attempts.values()):
        found.append(f"expected each attempt to be accepted once, heard {events}")
    if accepted > 1 and not sent.again:
        found.append(f"expected one acceptance, heard {accepted}")
    if DONE in ends and not accepted:
        found.append("done, and never accepted")
    if EXPIRED in ends and accepted:
        found.append("expired, and was accepted before")
    if effects > accepted:
        found.append(f"the agents did it {effects} times, accepted {accepted} times")
    if effects > 1 and not sent.again:
        found.append(f"expected it to be done once, the agents did it {effects} times")
    if DONE in ends and not effects:
        found.append("done, and no agent did it")
    return found


def ends_of(sent: Mapping[str, Sent], heard: Mapping[str, Sequence[Heard]]) -> Counter[str]:
    """How many commands came to which end."""
    return Counter(
        step.event
        for sender, told in heard.items()
        for step in told
        if step.event in ENDS and step.id in sent and sent[step.id].sender == sender
    )
