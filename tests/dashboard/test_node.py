"""Which Node builds the dashboard."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dashboard import node
from dashboard.node import ROOT, NodeMissing, find_node, is_usable


@pytest.mark.parametrize(
    ("version", "usable"),
    [
        ("v20.19.0\n", True),
        ("v20.18.3", False),
        ("v21.7.0", False),
        ("v22.12.0", True),
        ("v22.11.0", False),
        ("v23.11.0", False),
        ("v24.0.0", True),
        ("v31.0.0", True),
        ("v18.20.0", False),
        ("", False),
    ],
)
def test_usable_is_what_the_tools_take(version: str, usable: bool) -> None:
    """The dashboard's tools name these versions in their own packages."""
    assert is_usable(version) is usable


def test_without_node_and_without_pypi_it_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The error says what was expected and why it could not be had."""
    lock = tmp_path / "requirements" / "node.txt"
    lock.parent.mkdir()
    lock.write_text(f"no-such-package @ file://{tmp_path}/none.whl --hash=sha256:{'0' * 64}\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    said: list[str] = []
    with pytest.raises(NodeMissing, match=r"expected Node 20\.19, 22\.12 or 24 and newer"):
        find_node(tmp_path, said.append)
    assert said == ["installing Node from PyPI into build/ (60 MB) ..."]


@pytest.mark.timeout(300)
@pytest.mark.optional("an index of packages may be out of reach")
def test_node_from_pypi_runs_npm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where no Node is found the locked one is installed, once, with an npm that runs."""
    monkeypatch.setenv("PATH", str(tmp_path))
    try:
        found = find_node()
    except NodeMissing as error:
        pytest.skip(str(error))
    assert found.node.is_relative_to(ROOT / "build")
    assert is_usable(found.version)
    assert found.run("--version").stdout.startswith("1")
    said: list[str] = []
    assert find_node(say=said.append) == found
    assert said == []


def test_a_python_without_pip_gets_one(tmp_path: Path) -> None:
    """Some front ends build in an environment that has no pip; Python brings one along."""
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    program = (
        "import pathlib, sys; sys.path.insert(0, sys.argv[1])\n"
        "from dashboard.node import _pip\n"
        "print(*_pip(pathlib.Path(sys.argv[2])))"
    )
    command = [str(each) for each in (bare / "bin" / "python", "-c", program, ROOT, tmp_path)]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert found[0] == str(tmp_path / "build" / "pip" / "bin" / "python")
    assert subprocess.run([*found, "--version"], capture_output=True).returncode == 0


def test_npm_is_not_misled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What would leave the tools out, or build for developers, is kept from it."""
    for name in ("NODE_ENV", "NPM_CONFIG_OMIT", "npm_config_omit"):
        monkeypatch.setenv(name, "dev")
    environ = node.Node(tmp_path / "bin" / "node", ("npm",))._environ()
    assert not {"NODE_ENV", "NPM_CONFIG_OMIT", "npm_config_omit"} & environ.keys()
    assert environ["PATH"].startswith(f"{tmp_path}/bin:")
