"""The committed budget, and what is said where a figure does not keep to it.

A figure above its budget fails, and so does one far below it: a budget that nobody fills lets the
next regression pass. Counts are the same on every run. They differ a little between versions of
Python, so another version than the one that recorded the budget is given more room.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from tests.budget.figures import Figure

LEDGER = Path(__file__).with_name("budget.json")
RENEW = "python -m tests.budget --write"

ABOVE = 0.02
BELOW = 0.10
OTHER_PYTHON = 0.15
BYTES = 0.10
"""Bytes depend on when a dict grows, so they have this room at the least."""


class Budget(msgspec.Struct, frozen=True):
    """python: the version that it was recorded with, to the minor. script_calls: of Redis by the
    publish script, for each kind of publish; no room is given to them."""

    python: str
    figures: dict[str, Figure]
    script_calls: dict[str, float]


def this_python() -> str:
    """The running version, to the minor."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def read(path: Path = LEDGER) -> Budget:
    """The budget that is committed."""
    return msgspec.json.decode(path.read_bytes(), type=Budget)


def write(
    figures: Mapping[str, Figure], script_calls: Mapping[str, float], path: Path = LEDGER
) -> None:
    """Record figures as the budget from now on."""
    budget = Budget(this_python(), dict(figures), dict(script_calls))
    path.write_bytes(msgspec.json.format(msgspec.json.encode(budget)) + b"\n")


def faults(
    measured: Mapping[str, Figure], budget: Budget, python: str | None = None
) -> Iterator[str]:
    """A line for each figure that is not within the budget."""
    other = budget.python != (python or this_python())
    for name, figure in measured.items():
        allowed = budget.figures[name]
        for unit in figure.__struct_fields__:
            got, expected = getattr(figure, unit), getattr(allowed, unit)
            if got is None or expected is None:
                continue
            room = BYTES if unit == "allocated_bytes" else 0.0
            above = max(room, OTHER_PYTHON if other else ABOVE)
            below = max(room, OTHER_PYTHON if other else BELOW)
            what = f"{name}: expected {expected:g} {unit}, got {got:g}"
            # A twentieth of a call is the rounding of a slope; a few bytes are a list's growth.
            least = 8 if unit == "allocated_bytes" else 0.05
            if got > expected * (1 + above) + least:
                yield f"{what}. Make it cheaper, or say in the commit why not, and run {RENEW}"
            elif got < expected * (1 - below) - least:
                yield f"{what}, which is better. Keep it so: run {RENEW}"
