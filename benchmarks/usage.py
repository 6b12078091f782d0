"""What a process and those that it started use, as Linux counts it.

Memory is the processes' own: the kernel's socket buffers are not in it, for any server.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, fields
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_CPUCLOCK_SCHED = 2  # include/linux/posix-timers.h
_SETTLED_SECONDS = 1.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Usage:
    """Resident and proportional memory in bytes, CPU time in seconds since the start.

    `cpu_seconds` is exact; its parts, user and system, are to a tick, usually 10 ms.
    """

    rss_bytes: int
    pss_bytes: int
    user_seconds: float
    system_seconds: float
    cpu_seconds: float


def usage(pid: int) -> Usage:
    """What the process uses now, and its descendants."""
    family = [_usage_of_one(member) for member in [pid, *descendants(pid)]]
    return Usage(
        **{field.name: sum(getattr(one, field.name) for one in family) for field in fields(Usage)}
    )


def descendants(pid: int) -> list[int]:
    """The processes that this one started, those that they started, and so on."""
    children = [
        int(child)
        for thread in Path(f"/proc/{pid}/task").glob("*/children")
        for child in thread.read_text().split()
    ]
    return children + [other for child in children for other in descendants(child)]


def _usage_of_one(pid: int) -> Usage:
    memory = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, kilobytes = line.split()[:2]
        memory[name] = int(kilobytes) * 1024
    # The command's name, in parentheses, may hold spaces: count from behind it (proc(5)).
    numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return Usage(
        rss_bytes=memory["Rss:"],
        pss_bytes=memory["Pss:"],
        user_seconds=int(numbers[11]) / _TICKS_PER_SECOND,
        system_seconds=int(numbers[12]) / _TICKS_PER_SECOND,
        # The clock of another process, as clock_getcpuclockid(3) would give its number.
        cpu_seconds=time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED),
    )


def settled_usage(pid: int, limit_seconds: float = 15.0) -> Usage:
    """What the process uses once its resident memory stood still for a second, or at the limit."""
    now = time.monotonic()
    give_up_at = now + limit_seconds
    last, since = usage(pid), now
    while now < give_up_at and now - since < _SETTLED_SECONDS:
        time.sleep(_POLL_SECONDS)
        now = time.monotonic()
        current = usage(pid)
        if current.rss_bytes != last.rss_bytes:
            since = now
        last = current
    return last


def kernel_bytes() -> int:
    """What the kernel keeps in slabs, for all processes: sockets, files and their like."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("Slab:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("/proc/meminfo has no line for slabs")
