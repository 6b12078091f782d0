"""producers/new_source.py: a project that works as it is written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from producers.new_source import new_source
from tests.producers.redis_view import history
from tests.support.processes import wait_until
from tests.support.valkey import Valkey

ROOT = Path(__file__).parents[2]


def run(folder: Path, *command: str, installed: Path | None = None) -> str:
    """What a command of this environment writes, run in a folder; it has to succeed."""
    path = os.pathsep.join(str(each) for each in (installed, ROOT) if each)
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project as the command writes it."""
    done = CliRunner().invoke(new_source, ["my-desk", "--into", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert f"cd {tmp_path}/my-desk" in done.output
    return tmp_path / "my-desk"


@pytest.fixture
def installed(project: Path, tmp_path: Path) -> Path:
    """Where the project is installed, by pip and without anything from a registry."""
    folder = tmp_path / "installed"
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    run(project, "pip", "install", *options, "--target", str(folder), ".")
    return folder


def test_it_is_installed_tested_and_found(
    project: Path, installed: Path, valkey: Valkey, tmp_path: Path
) -> None:
    """Its own tests pass, `tapecast produce` lists it, and it publishes."""
    assert "6 passed" in run(project, "pytest", "-q", installed=installed)
    listed = run(tmp_path, "hub.cli", "produce", "--help", installed=installed)
    assert "  my-desk" in listed
    helped = run(tmp_path, "hub.cli", "produce", "my-desk", "--help", installed=installed)
    assert "tapecast produce my-desk --file account.json" in helped
    (tmp_path / "account.json").write_text('{"balance": "100.10", "equity": "101.50"}')
    running = subprocess.Popen(
        [sys.executable, "-m", "hub.cli", "produce", "my-desk", "--file", "account.json",
         "--redis", valkey.url, "--quiet"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), str(ROOT)])},
    )  # fmt: skip
    try:
        wait_until(lambda: len(history(valkey, "portfolio")) == 1, "the portfolio")
        wait_until(lambda: len(history(valkey, "health:my-desk")) == 1, "its health")
    finally:
        running.terminate()
        assert running.wait(timeout=20) == 0
    assert history(valkey, "portfolio")[0][1]["balance"] == "100.10"


def test_it_is_in_good_order(project: Path) -> None:
    """Linted and formatted, with nothing left of the template."""
    common = ["--isolated", "--no-cache", "--line-length", "100"]
    run(project, "ruff", "check", *common, "--select", "E,F,I,B,UP")
    run(project, "ruff", "format", *common, "--check")
    written = sorted(path for path in project.rglob("*") if path.is_file())
    assert [str(path.relative_to(project)) for path in written] == [
        "README.md",
        "my_desk/__init__.py",
        "my_desk/source.py",
        "pyproject.toml",
        "tests/test_source.py",
    ]
    for path in written:
        assert "$" not in path.read_text(), path


@pytest.mark.parametrize("name", ["My-Desk", "7desk", "my_desk", "-x", "class", "a--b", "../x"])
def test_names_that_can_not_be(tmp_path: Path, name: str) -> None:
    """They are refused, and nothing is written."""
    done = CliRunner().invoke(new_source, ["--into", str(tmp_path), "--", name])
    assert done.exit_code == 2
    assert "expected lower case words" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_left_alone(tmp_path: Path, project: Path) -> None:
    """A folder is not written over, and a source that is installed not written again."""
    before = (project / "pyproject.toml").read_text()
    done = CliRunner().invoke(new_source, ["my-desk", "--into", str(tmp_path)])
    assert done.exit_code == 2
    assert "exists already" in done.stderr
    assert (project / "pyproject.toml").read_text() == before
    done = CliRunner().invoke(new_source, ["paper", "--into", str(tmp_path)])
    assert "a source paper is installed already" in done.stderr
    done = CliRunner().invoke(new_source, ["json", "--into", str(tmp_path)])
    assert "there is a Python package json already" in done.stderr
