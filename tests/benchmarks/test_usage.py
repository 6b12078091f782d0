"""What a process uses, with those that it started."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.usage import descendants, kernel_bytes, usage

SPIN = """
import sys, time
while time.process_time() < 0.05:
    pass
print(flush=True)
sys.stdin.read()
"""


def test_descendants_count() -> None:
    """CPU time and memory of a grandchild are the grandparent's too."""
    shell = ["sh", "-c", f"'{sys.executable}' -c '{SPIN}'; true"]
    with subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        family = descendants(process.pid)
        used = usage(process.pid)
        process.communicate()
    assert len(family) == 1
    assert used.cpu_seconds >= 0.05
    assert used.rss_bytes > used.pss_bytes > 0
    assert usage(os.getpid()).rss_bytes > 0


def test_the_kernel_keeps_something() -> None:
    """Slabs are counted in bytes."""
    assert kernel_bytes() > 1024**2
