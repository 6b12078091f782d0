"""What a process uses, as Linux counts it.

Memory is the process's own: the kernel's socket buffers are not in it, for any server.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
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
    """What the process uses now."""
    memory = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, kilobytes = line.split()[:2]
        memory[name] = int(kilobytes) * 1024
    # The command's name, in parentheses, may hold spaces: count from behind it (proc(5)).
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return Usage(
        rss_bytes=memory["Rss:"],
        pss_bytes=memory["Pss:"],
        user_seconds=int(fields[11]) / _TICKS_PER_SECOND,
        system_seconds=int(fields[12]) / _TICKS_PER_SECOND,
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
