"""Which hub a client's command talks to."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import click
import pytest

from hub.cli.embedded import make_private_folder
from hub.cli.target import Target, find_target, leave_target
from hub.protocol.addresses import DEFAULT_URL, private_folder

DEMO = Target("http://127.0.0.1:8123", "demo-token", os.getpid())


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A user's environment, with a private folder."""
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    make_private_folder(Path(private_folder(environ, os.getuid())))
    return environ


def test_what_is_given_goes_first(environ: dict[str, str]) -> None:
    """The option before the environment before the default, whether a demo runs or not."""
    leave_target(DEMO, environ)
    environ["TAPECAST_TOKEN"] = "t"
    assert find_target(None, environ) == Target(DEFAULT_URL, "t")
    environ["TAPECAST_URL"] = "http://b"
    assert find_target(None, environ) == Target("http://b", "t")
    assert find_target("http://a", environ) == Target("http://a", "t")


def test_a_running_demo_needs_nothing_copied(environ: dict[str, str]) -> None:
    """Its own URL and token are used, also where the URL is spelled out."""
    path = leave_target(DEMO, environ)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert find_target(None, environ) == DEMO
    assert find_target(DEMO.url, environ) == DEMO


def test_a_demos_token_is_shown_to_no_other_hub(environ: dict[str, str]) -> None:
    """Another URL without a token is an error, not a reason to send the demo's."""
    leave_target(DEMO, environ)
    with pytest.raises(click.UsageError, match="TAPECAST_TOKEN"):
        find_target("http://another", environ)
    with pytest.raises(click.UsageError):
        find_target(None, {**environ, "TAPECAST_URL": "http://another"})


def _nothing(path: Path) -> None:
    path.unlink()


def _damaged(path: Path) -> None:
    path.write_text("{")


def _open_folder(path: Path) -> None:
    path.parent.chmod(0o755)


@pytest.mark.parametrize("spoil", [_nothing, _damaged, _open_folder])
def test_what_a_demo_left_must_be_whole_and_private(
    environ: Mapping[str, str], spoil: object
) -> None:
    """Somebody else may have put it there, to get to see what is published or sent."""
    assert callable(spoil)
    spoil(leave_target(DEMO, environ))
    with pytest.raises(click.UsageError):
        find_target(None, environ)


def test_a_demo_that_was_killed_is_forgotten(environ: Mapping[str, str]) -> None:
    """Its file is still there, and its process is not."""
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    leave_target(Target(DEMO.url, DEMO.token, gone.pid), environ)
    with pytest.raises(click.UsageError):
        find_target(None, environ)
    leave_target(DEMO, environ)
    assert find_target(None, environ) == DEMO


def test_a_token_shows_in_no_repr() -> None:
    """What rich or a log shows of it is where, not with what."""
    assert DEMO.token not in str(DEMO.__rich_repr__())
