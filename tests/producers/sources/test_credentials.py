"""producers/sources/credentials.py: secrets come in, and never out."""

from __future__ import annotations

from pathlib import Path

import pytest

from producers.settings import BadSettings
from producers.sources.credentials import read_secret, require_secret, without_secrets


def test_from_the_environment_or_a_file(tmp_path: Path) -> None:
    """A variable, or the file that another one names; an empty one counts as none."""
    file = tmp_path / "key"
    file.write_text("  hush\n")
    assert read_secret({"KEY": "hush"}, "KEY") == "hush"
    assert read_secret({"KEY_FILE": str(file)}, "KEY") == "hush"
    assert read_secret({"KEY": ""}, "KEY") is None
    file.write_text("\n")
    assert read_secret({"KEY_FILE": str(file)}, "KEY") is None


def test_what_is_wrong_is_said_without_the_secret(tmp_path: Path) -> None:
    """Both at once, a file that is not there or no text, and none where one is needed."""
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff")
    for environ, why in (
        ({"KEY": "hush", "KEY_FILE": "x"}, "expected KEY or KEY_FILE, got both"),
        ({"KEY_FILE": str(tmp_path / "none")}, "KEY_FILE: can't read .*: No such file"),
        ({"KEY_FILE": str(binary)}, "it is no text"),
        ({}, "expected an API key in KEY, or in the file that KEY_FILE names"),
    ):
        with pytest.raises(BadSettings, match=why) as raised:
            require_secret(environ, "KEY", "an API key")
        assert "hush" not in str(raised.value)


def test_what_a_platform_says_is_made_fit_to_be_shown() -> None:
    """Neither a secret nor a query reaches a log or a dashboard."""
    said = without_secrets(
        "GET https://x.example/a?key=k1&signature=s 401 bad key abcdef, abc", ["abc", "abcdef", ""]
    )
    assert said == "GET https://x.example/a?... 401 bad key ..., ..."
