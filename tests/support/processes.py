"""Whether processes live, without sleeping for a guess."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

DEADLINE_SECONDS = 20.0


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Return once `condition` holds; fail with `what` where it never does."""
    give_up_at = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < give_up_at, f"never happened: {what}"
        time.sleep(0.01)


def read_number(path: Path) -> int:
    """The number that a process writes to `path`, once it has."""
    wait_until(lambda: path.exists() and path.read_text().endswith("\n"), f"a number in {path}")
    return int(path.read_text())


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that ended and was not waited for does not."""
    if not Path("/proc/self").exists():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"
