"""producers/push_keys.py: a pair that hubs and sinks take."""

from __future__ import annotations

import stat
from pathlib import Path

from click.testing import CliRunner

from hub.server.settings import load
from producers.push_keys import push_keys
from producers.sources.alerts.sinks.push_crypto import Vapid


def lines(text: str) -> dict[str, str]:
    """The variables that were printed."""
    return dict(line.split("=", 1) for line in text.splitlines())


def test_the_lines_are_a_pair() -> None:
    """A hub takes the public key from its environment, and it is that of the private one."""
    made = lines(CliRunner().invoke(push_keys, []).stdout)
    private = made.pop("WEB_PUSH_KEY")
    public = load(made).push_public_key
    assert Vapid(private, "mailto:ops@example.com").public_key == public


def test_the_private_key_can_go_into_a_file(tmp_path: Path) -> None:
    """Which only its owner reads; then the output has the public key alone."""
    path = tmp_path / "web-push.key"
    done = CliRunner().invoke(push_keys, ["--out", str(path)])
    assert done.exit_code == 0
    assert f"WEB_PUSH_KEY_FILE={path}" in done.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    private = path.read_text().strip()
    public = lines(done.stdout)["TAPECAST_PUSH_PUBLIC_KEY"]
    assert private not in done.stdout + done.stderr
    assert Vapid(private, "mailto:ops@example.com").public_key == public


def test_a_key_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    """Browsers may be subscribed with it."""
    path = tmp_path / "web-push.key"
    path.write_text("a key")
    done = CliRunner().invoke(push_keys, ["--out", str(path)])
    assert done.exit_code == 1
    assert f"cannot write {path}: File exists" in done.stderr
    assert path.read_text() == "a key"
