"""Child processes that never outlive their parent, even when that is killed with -9.

The rule: a process stands between parent and child, and holds the reading end of a pipe whose
writing end only the parent has. However the parent ends, the operating system closes that end;
the process between reads the end of the pipe and ends the child, politely first. There is no
moment at which the parent can die unseen: a pipe closed before it is read reads as closed. Works
the same on Linux and macOS, and from any thread. Only where both are killed with -9 at once nobody
is left to end the child; there Linux does it, which can tie a child to the process between.

This file is both sides: `Leash` is the parent's, and run as a program (by its path, on the
standard library alone, so that it starts in milliseconds) it is the process between.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import IO

GRACE_SECONDS = 10.0
"""How long a child may take to end after SIGTERM, before SIGKILL."""
PR_SET_PDEATHSIG = 1
"""Of prctl(2): the signal that this process gets when its parent ends."""


class Leash:
    """A running child and the pipe that it hangs on.

    The child and all it starts form a session of their own, so Ctrl-C reaches the parent alone,
    which decides in which order things end.

    keep: descriptors that the child inherits, such as a lock that lives as long as the child.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        output: int | IO[bytes] | None = None,
        keep: Sequence[int] = (),
    ) -> None:
        self._cleared = False
        # Closed on exec: no other child of this process can keep the pipe open.
        holder_end, self._own_end = os.pipe()
        keep_list = ",".join(map(str, keep))
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, str(holder_end), keep_list, *command],
                env=None if env is None else dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=None if output is None else subprocess.STDOUT,
                pass_fds=(holder_end, *keep),
                start_new_session=True,
            )
        except BaseException:
            os.close(self._own_end)
            raise
        finally:
            os.close(holder_end)

    def poll(self) -> int | None:
        """The child's exit status, or None while it runs; negative for a signal's number."""
        return None if self._process.poll() is None else self._clear_up()

    def let_go(self) -> None:
        """Tell the child to end, and do not wait for it. May be called again."""
        if self._own_end >= 0:
            os.close(self._own_end)
            self._own_end = -1

    def stop(self) -> int:
        """End the child, wait until it is gone, and return its exit status."""
        self.let_go()
        self._process.wait()
        return self._clear_up()

    def _clear_up(self) -> int:
        self.let_go()
        status = self._process.returncode
        if status == -signal.SIGKILL and not self._cleared:
            # The process between may have been killed itself, and the child lives on in its group.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        # Once only: the number of a group whose members are gone may be given to another.
        self._cleared = True
        return status


def main(holder_end: int, keep: Sequence[int], command: Sequence[str]) -> int:
    """Run `command` until it ends or the pipe's other end closes; return its exit status."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    asked: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, note)
    # A signal without a handler would not wake the select below.
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)

    child = subprocess.Popen(command, pass_fds=keep, preexec_fn=_tie())
    for descriptor in keep:
        os.close(descriptor)
    kill_at: float | None = None
    while child.poll() is None:
        watched = [wake_read] if kill_at is not None else [wake_read, holder_end]
        timeout = None if kill_at is None else max(0.0, kill_at - time.monotonic())
        ready, _, _ = select.select(watched, [], [], timeout)
        if wake_read in ready:
            os.read(wake_read, 4096)
        if kill_at is None and (holder_end in ready or asked):
            child.terminate()
            kill_at = time.monotonic() + GRACE_SECONDS
        elif kill_at is not None and time.monotonic() >= kill_at:
            os.killpg(0, signal.SIGKILL)  # the child, all it started, and this process
    # What the child started may still run; this process has the signal's handler and stays.
    os.killpg(0, signal.SIGTERM)
    return child.returncode


def _tie() -> Callable[[], None] | None:
    """What a child calls to be killed with its parent, where the system can do that."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def tie() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before it was tied to
            os.kill(os.getpid(), signal.SIGKILL)

    return tie


if __name__ == "__main__":
    kept = [int(number) for number in sys.argv[2].split(",") if number]
    status = main(int(sys.argv[1]), kept, sys.argv[3:])
    if status < 0:
        # End by the same signal, so that the parent sees what happened to the child.
        with contextlib.suppress(OSError):  # SIGKILL has no handler to reset
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)
