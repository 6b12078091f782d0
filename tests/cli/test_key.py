"""`tapecast key`."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hub.cli.key import key
from hub.server.auth import Authenticator, AuthError
from hub.server.settings import Settings

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tapecast" / "keys.json"


def call(path: Path, *arguments: str) -> Result:
    return CliRunner(env={"TAPECAST_KEYS_FILE": str(path)}).invoke(key, arguments)


def test_a_key_is_printed_alone_and_works_until_it_is_revoked(path: Path) -> None:
    """The same file serves `key` and a running hub."""
    made = call(path, "new", "agent-7", "--publish", "decisions:*", "--read", "commands")
    assert (made.exit_code, made.stderr) == (0, "")
    shown = made.stdout.strip()
    authenticator = Authenticator(Settings(jwt_secret=SECRET, keys_file=str(path)), time.time)
    grant = authenticator.authenticate(shown)
    assert (grant.subject, grant.read, grant.publish) == (
        "agent-7",
        ("commands",),
        ("decisions:*",),
    )
    revoked = call(path, "revoke", shown.split("_")[1])
    assert revoked.exit_code == 0
    assert "of agent-7" in revoked.stderr
    with pytest.raises(AuthError):
        authenticator.authenticate(shown)


def test_keys_are_listed_without_what_is_secret(path: Path) -> None:
    """A table for people, one JSON object a line for programs, no digest in either."""
    ids = [call(path, "new", name, "--read", "*").stdout.split("_")[1] for name in ("ann", "bob")]
    table = call(path, "list").stdout.splitlines()
    assert [line.split()[:3] for line in table[1:]] == [[ids[0], "ann", "*"], [ids[1], "bob", "*"]]
    lines = [json.loads(line) for line in call(path, "list", "--json").stdout.splitlines()]
    assert [line["id"] for line in lines] == ids
    assert all("sha256" not in line for line in lines)


def test_no_keys_is_no_failure(path: Path) -> None:
    """Where nothing was made yet, it says where it looked."""
    listed = call(path, "list")
    assert (listed.exit_code, listed.stdout) == (0, "")
    assert f"No keys in {path}." in listed.stderr


def test_an_id_that_is_not_there_is_a_failure(path: Path) -> None:
    """A misspelled id must not look like a revoked key."""
    failed = call(path, "revoke", "00000000")
    assert failed.exit_code == 1
    assert "no key '00000000'" in failed.stderr


@pytest.mark.parametrize("command", [["new", "ann"], ["list"], ["revoke", "00000000"]])
def test_a_damaged_file_is_a_failure_that_names_it(path: Path, command: list[str]) -> None:
    """Nothing is overwritten that could not be read."""
    path.parent.mkdir()
    path.write_text("{")
    path.chmod(0o600)
    failed = call(path, *command)
    assert failed.exit_code == 1
    assert str(path) in failed.stderr
    assert path.read_text() == "{"


def test_another_file_can_be_named(path: Path, tmp_path: Path) -> None:
    """`--file` goes before the environment."""
    other = tmp_path / "other.json"
    call(path, "new", "ann", "--read", "*", "--file", str(other))
    assert other.exists()
    assert not path.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["new", ""], "expected a subject"), (["new", "a", "--read", "A"], "expected a channel pat")],
)
def test_wrong_use_makes_no_key(path: Path, arguments: list[str], said: str) -> None:
    """Exit status 2, and no file."""
    failed = call(path, *arguments)
    assert failed.exit_code == 2
    assert said in failed.stderr
    assert not path.exists()


def test_without_a_home_a_file_must_be_named() -> None:
    """There is no folder to fall back on, and the text says what to give."""
    nowhere = dict.fromkeys(["HOME", "XDG_CONFIG_HOME", "TAPECAST_KEYS_FILE"])
    failed = CliRunner(env=nowhere).invoke(key, ["list"])
    assert failed.exit_code == 2
    assert "give --file or set TAPECAST_KEYS_FILE" in failed.stderr
