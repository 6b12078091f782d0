"""Children on a leash: they end with their parent, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hub.cli.leash import Leash
from tests.support.processes import is_alive, read_number, wait_until

CHILD = """
import os, pathlib, signal, subprocess, sys, time
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "parent" in sys.argv:
    subprocess.Popen([sys.executable, "-c", CHILD, sys.argv[2], "deaf"])
path = pathlib.Path(sys.argv[1])
path.with_suffix(".new").write_text(f"{os.getpid()}\\n")
path.with_suffix(".new").rename(path)
time.sleep(600)
"""
PARENT = """
import sys
from hub.cli.leash import Leash
leash = Leash([sys.executable, "-c", sys.argv[1], sys.argv[2]])
print(leash._process.pid, flush=True)
sys.stdin.read()
"""


def child(path: Path, *words: str) -> list[str]:
    return [sys.executable, "-c", f"CHILD = {CHILD!r}{CHILD}", str(path), *words]


def test_a_child_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """kill -9 of the parent, which can do nothing any more, ends the child."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD, str(tmp_path / "pid")],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    pid = read_number(tmp_path / "pid")
    assert is_alive(pid)
    parent.kill()
    parent.communicate()
    wait_until(lambda: not is_alive(pid), "the end of the child")


def test_a_child_ends_with_a_parent_that_was_gone_before_it_began(tmp_path: Path) -> None:
    """A parent that dies at once leaves nothing behind: there is no moment it dies unseen."""
    code = f"import os; from hub.cli.leash import Leash; Leash({child(tmp_path / 'pid')!r}, "
    code += "output=1); os._exit(0)"
    # Standard output is inherited by whatever lives, so its end is the end of all of them.
    output = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, timeout=20)
    assert output.returncode == 0


def test_stop_ends_the_child_and_gives_its_status(tmp_path: Path) -> None:
    """A child ended by SIGTERM is reported as such, and a second stop changes nothing."""
    leash = Leash(child(tmp_path / "pid"))
    pid = read_number(tmp_path / "pid")
    assert leash.poll() is None
    assert leash.stop() == -signal.SIGTERM
    assert not is_alive(pid)
    assert (leash.stop(), leash.poll()) == (-signal.SIGTERM, -signal.SIGTERM)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("raise SystemExit(7)", 7),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ],
)
def test_the_childs_own_end_is_seen(code: str, status: int) -> None:
    """The parent sees an exit status, or the signal that ended the child."""
    leash = Leash([sys.executable, "-c", code])
    wait_until(lambda: leash.poll() is not None, "the end of the child")
    assert leash.poll() == status


def test_a_child_that_is_deaf_to_sigterm_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the grace the child is killed, and so is what it started."""
    copy = tmp_path / "leash.py"
    source = Path(sys.modules[Leash.__module__].__file__ or "").read_text()
    copy.write_text(source.replace("GRACE_SECONDS = 10.0", "GRACE_SECONDS = 0.2"))
    monkeypatch.setattr("hub.cli.leash.__file__", str(copy))
    leash = Leash(child(tmp_path / "pid", str(tmp_path / "pid2"), "deaf", "parent"))
    pids = [read_number(tmp_path / "pid"), read_number(tmp_path / "pid2")]
    assert leash.stop() == -signal.SIGKILL
    wait_until(lambda: not any(map(is_alive, pids)), "the end of child and grandchild")


def test_what_a_child_started_ends_after_it(tmp_path: Path) -> None:
    """A child that dies leaves no process of its own behind."""
    code = f"import pathlib, subprocess; subprocess.Popen({child(tmp_path / 'pid')!r})\n"
    code += f"while not pathlib.Path({str(tmp_path / 'pid')!r}).exists(): pass"
    leash = Leash([sys.executable, "-c", code])
    pid = read_number(tmp_path / "pid")
    wait_until(lambda: leash.poll() is not None, "the end of the child")
    assert leash.poll() == 0
    wait_until(lambda: not is_alive(pid), "the end of the grandchild")


def test_a_child_ends_with_the_process_that_holds_it(tmp_path: Path) -> None:
    """The process between may be killed too: the parent clears up after it."""
    leash = Leash(child(tmp_path / "pid"))
    pid = read_number(tmp_path / "pid")
    os.kill(leash._process.pid, signal.SIGKILL)
    wait_until(lambda: leash.poll() is not None, "the end of the process between")
    wait_until(lambda: not is_alive(pid), "the end of the child")


@pytest.mark.skipif(sys.platform != "linux", reason="macOS cannot tie a child to its parent")
def test_a_child_ends_where_both_above_it_are_killed(tmp_path: Path) -> None:
    """kill -9 of the parent and of the process between, at once, used to leave the child."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD, str(tmp_path / "pid")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdout
    between = int(parent.stdout.readline())
    pid = read_number(tmp_path / "pid")
    for each in (parent.pid, between):
        os.kill(each, signal.SIGSTOP)
    for each in (parent.pid, between):
        os.kill(each, signal.SIGKILL)
    parent.communicate()
    wait_until(lambda: not is_alive(pid), "the end of the child")


def test_a_child_inherits_what_it_shall_keep_and_nothing_else(tmp_path: Path) -> None:
    """A lock can live as long as the child; the parent's other files stay its own."""
    with (tmp_path / "kept").open("w") as kept, (tmp_path / "other").open("w") as other:
        code = f"import os; os.write({kept.fileno()}, b'x'); os.fstat({other.fileno()})"
        leash = Leash([sys.executable, "-c", code], output=subprocess.DEVNULL, keep=[kept.fileno()])
        wait_until(lambda: leash.poll() is not None, "the end of the child")
    assert leash.poll() == 1
    assert (tmp_path / "kept").read_text() == "x"


def test_a_program_that_does_not_exist_is_an_end_with_a_status() -> None:
    """Nothing is left hanging where the child could not start."""
    leash = Leash(["/does/not/exist"], output=subprocess.DEVNULL)
    wait_until(lambda: leash.poll() is not None, "the end of the process between")
    assert leash.poll() == 1
