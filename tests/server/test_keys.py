"""The file of API keys."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from hub.server.keys import KeyFile, KeysError, add_key, mint_key, read_keys, revoke_key


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "keys.json"


def make(path: Path, subject: str = "desk") -> str:
    key, kept = mint_key(subject, ("positions:*",), (), now=1_700_000_000.9)
    add_key(path, kept)
    return key


def test_a_key_is_found_by_the_whole_key_alone(path: Path) -> None:
    """The id is not enough, and neither is a key with one character changed."""
    key = make(path)
    keys = KeyFile(path)
    found = keys.find(key)
    assert found is not None
    assert (found.subject, found.read, found.publish) == ("desk", ("positions:*",), ())
    assert found.created_at == 1_700_000_000
    assert keys.find(key[:-1] + ("a" if key[-1] != "a" else "b")) is None
    assert keys.find(key[:13]) is None
    assert keys.find("tck_") is None


def test_the_file_never_holds_a_key(path: Path) -> None:
    """Whoever reads the file learns no secret, and the repr of a key shows no digest."""
    key = make(path)
    assert key.split("_", 2)[2] not in path.read_text()
    kept = read_keys(path)[0]
    assert kept.sha256 not in str(kept.__rich_repr__())


def test_the_file_and_its_folder_are_the_users_alone(path: Path) -> None:
    """The file has mode 0600 from its first moment, its new folder 0700."""
    make(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_revoked_key_is_unknown_at_once(path: Path) -> None:
    """A file that is open in a hub is read again as soon as it was replaced."""
    first, second = make(path), make(path)
    keys = KeyFile(path)
    kept = keys.find(first)
    assert kept is not None
    assert revoke_key(path, kept.id) == kept
    assert keys.find(first) is None
    assert keys.find(second) is not None
    assert revoke_key(path, kept.id) is None


def test_no_file_means_no_keys_until_there_is_one(path: Path) -> None:
    """A hub may start before the first key is made, and outlives the file."""
    keys = KeyFile(path)
    assert keys.find("tck_00000000_x") is None
    key = make(path)
    assert keys.find(key) is not None
    path.unlink()
    assert keys.find(key) is None
    assert KeyFile(None).find(key) is None


def test_a_file_that_others_may_write_makes_no_key_valid(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The hub refuses all keys, says so once, and takes the file again when it is mended."""
    key = make(path)
    keys = KeyFile(path)
    path.chmod(0o622)
    assert keys.find(key) is None
    assert keys.find(key) is None
    assert len(caplog.records) == 1
    assert "chmod 600" in caplog.text
    path.chmod(0o600)
    assert keys.find(key) is not None


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"\xff",
        b'{"keys": [{"id": "x"}]}',
        b'{"keyz": []}',
        b'{"keys": [{"id":"00000000","subject":"","created_at":1,"sha256":"' + b"0" * 64 + b'"}]}',
        b'{"keys": [{"id":"00000000","subject":"s","created_at":1,"read":["A"],"sha256":"'
        + b"0" * 64
        + b'"}]}',
    ],
)
def test_a_file_that_cannot_be_understood_is_named(path: Path, content: bytes) -> None:
    """Bad JSON, unknown fields and malformed patterns are refused with the file's name."""
    path.parent.mkdir()
    path.touch(mode=0o600)
    path.write_bytes(content)
    with pytest.raises(KeysError, match=str(path)):
        read_keys(path)
    with pytest.raises(KeysError, match=str(path)):
        make(path)
    assert path.read_bytes() == content
    assert KeyFile(path).find("tck_00000000_x") is None


@pytest.mark.parametrize("subject", ["", "a\n", "a" * 257])
def test_a_key_is_not_made_for_what_the_file_would_refuse(subject: str) -> None:
    """One bad entry would make every key of the file invalid."""
    with pytest.raises(ValueError, match="expected a subject of 1 to 256 printable"):
        mint_key(subject, (), (), now=0)


def test_a_folder_that_cannot_be_written_is_an_error_with_its_reason(tmp_path: Path) -> None:
    """The text names the file and what the operating system said."""
    (tmp_path / "file").touch()
    with pytest.raises(KeysError, match="cannot write the keys in"):
        make(tmp_path / "file" / "keys.json")


def test_a_failed_write_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk loses neither the keys nor leaves a temporary file behind."""
    make(path)
    before = path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeysError, match="No space left"):
        make(path)
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["keys.json", "keys.json.lock"]
