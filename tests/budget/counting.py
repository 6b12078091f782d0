"""Counts what a piece of code does: the same on every run, however busy the machine is."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any

import msgspec


class Counts(msgspec.Struct, frozen=True):
    """Calls of functions in Python and in C; what the interpreter calls by itself is in neither."""

    python_calls: float
    c_calls: float

    def per(self, fewer: Counts, times: int) -> Counts:
        """What one of `times` more takes, where `fewer` did without them."""
        return Counts(
            (self.python_calls - fewer.python_calls) / times,
            (self.c_calls - fewer.c_calls) / times,
        )


class Memory(msgspec.Struct, frozen=True):
    """Bytes that Python allocated: those still held afterwards, and the most held meanwhile."""

    held: int
    peak: int


def count(run: Callable[[], object]) -> Counts:
    """Run once, and count the calls in this thread."""
    calls = {"call": 0, "c_call": 0}

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event in calls:
            calls[event] += 1

    gc.collect()
    gc.disable()
    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
        gc.enable()
    # The last of them ends the counting.
    return Counts(calls["call"], calls["c_call"] - 1)


def weigh(run: Callable[[], object]) -> Memory:
    """Run once, and see what it allocates."""
    gc.collect()
    tracemalloc.start()
    try:
        run()
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return Memory(held, peak)
