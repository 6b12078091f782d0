"""What peers need is installed once, and what can't be had is said."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from benchmarks import contenders, install
from benchmarks.install import Missing


@pytest.fixture(autouse=True)
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is installed but below the test's own folder."""
    monkeypatch.setattr(install, "BUILD", tmp_path)
    return tmp_path


def without(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the machine have no such program."""
    real = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == program else real(name))


def wheel(folder: Path) -> str:
    """The least that pip installs: a package without modules."""
    path = folder / "nothing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        information = "nothing-1.0.dist-info"
        archive.writestr(
            f"{information}/METADATA", "Metadata-Version: 2.1\nName: nothing\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{information}/RECORD", "")
    return str(path)


def test_an_environment_is_made_once(build: Path) -> None:
    """What failed says pip's last words and is tried again; what is there is left as it is."""
    with pytest.raises(Missing, match=r"pip failed: .*no-such"):
        install.python("peer", [str(build / "no-such-1.0-py3-none-any.whl")])
    wanted = [wheel(build)]
    interpreter = install.python("peer", wanted)
    mark = build / "peer" / "mark"
    mark.touch()
    assert install.python("peer", wanted) == interpreter
    assert mark.exists()
    shown = subprocess.run([interpreter, "-m", "pip", "list"], capture_output=True, check=True)
    assert b"nothing" in shown.stdout


@pytest.mark.parametrize(
    ("program", "name"), [("node", "node-ws"), ("npm", "socket.io"), ("apt-get", "nchan")]
)
def test_without_its_installer_a_peer_is_left_out(
    program: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """A machine without it measures the others, and says so."""
    monkeypatch.setattr(contenders, "NGINX_FOLDER", tmp_path)
    without(program, monkeypatch)
    assert contenders.available(["floor", name]) == ["floor"]
    assert f"{name} is left out: " in capsys.readouterr().err


def test_no_node_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results name Node's version only where there is one."""
    without("node", monkeypatch)
    assert install.node_version() is None


def test_versions_are_named() -> None:
    """Each peer's main packages are named as people write them."""
    assert contenders.versions(["floor", "node-ws"]) == ["ws 8.23.0"]


def test_every_list_is_exact() -> None:
    """No requirement of a peer leaves its version to the day on which it is installed."""
    for requirement in (*contenders.PYTHON_SOCKETIO, *contenders.DJANGO_CHANNELS):
        assert len(requirement.split("==")) == 2
    for requirement in (*contenders.NODE_WS, *contenders.SOCKET_IO):
        assert len(requirement.split("@")) == 2
