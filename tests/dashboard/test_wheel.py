"""The package, built without network and without isolation: wheel, editable install and sdist."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from dashboard.shipping import SHIPPED, VARIABLE
from tests.dashboard.checkout import builds, make_checkout, write_source
from tests.support.node import Node

SERVED = "hub/server/dashboard/"

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def root(tmp_path: Path, node: Node) -> Path:
    """All that a package is built from, with a small dashboard."""
    return make_checkout(tmp_path / "checkout", package=True)


def build(root: Path, function: str, **environ: str) -> Path:
    """Have hatchling build one, as pip and other front ends do in a process of its own."""
    out = root / "dist"
    program = f"import sys, hatchling.build as b; print(b.build_{function}(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", program, out],
        cwd=root,
        env=_environ(environ),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return out / done.stdout.splitlines()[-1]


def _environ(more: Mapping[str, str]) -> dict[str, str]:
    # Nothing is taken from an index: what a package needs is in the checkout.
    return {**os.environ, "PIP_NO_INDEX": "1", VARIABLE: "require", **more}


def without_node(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine that has Python alone."""
    return {"PATH": str(tmp_path / "nowhere")}


def test_a_wheel_carries_the_dashboard(root: Path) -> None:
    """What was built is in it, and no source of it."""
    with zipfile.ZipFile(build(root, "wheel")) as wheel:
        names = set(wheel.namelist())
        script = wheel.read(f"{SERVED}assets/app-Xy12.js").decode()
    assert script == "console.log('one');"
    assert {f"{SERVED}index.html", "hub/server/page/index.html", "producers/cli.py"} <= names
    assert [name for name in names if name.startswith(("dashboard/", "requirements/"))] == []


def test_a_wheel_without_the_dashboard_says_so(root: Path) -> None:
    """Where it can't be built the wheel is whole but for it, unless it is required."""
    write_source(root, "broken")
    with zipfile.ZipFile(build(root, "wheel", **{VARIABLE: ""})) as wheel:
        names = wheel.namelist()
    assert [name for name in names if name.startswith(SERVED)] == []
    assert "hub/server/page/index.html" in names
    with pytest.raises(AssertionError, match=r"src/app\.js is broken"):
        build(root, "wheel")


def test_an_editable_install_has_the_dashboard(root: Path) -> None:
    """It is put into the checkout, which is what is imported."""
    build(root, "editable")
    assert (root / SHIPPED / "index.html").is_file()
    build(root, "editable")
    assert builds(root) == 1


def test_an_sdist_needs_no_node(root: Path, tmp_path: Path) -> None:
    """It carries the sources, and what was built of them: the wheel takes that."""
    with tarfile.open(build(root, "sdist")) as sdist:
        sdist.extractall(tmp_path / "unpacked", filter="data")
    [unpacked] = (tmp_path / "unpacked").iterdir()
    for name in ("dashboard/src/app.js", "dashboard/package-lock.json", "requirements/node.txt"):
        assert (unpacked / name).is_file(), name
    with zipfile.ZipFile(build(unpacked, "wheel", **without_node(tmp_path))) as wheel:
        assert f"{SERVED}index.html" in wheel.namelist()
    assert builds(unpacked) == builds(root) == 1
    # Changed sources are built, also there.
    write_source(unpacked, "console.log('two');")
    with zipfile.ZipFile(build(unpacked, "wheel")) as wheel:
        assert wheel.read(f"{SERVED}assets/app-Xy12.js") == b"console.log('two');"


def test_a_wheel_shows_the_dashboard_without_node(root: Path, tmp_path: Path) -> None:
    """Installed by pip on a machine that has Python alone, `/` is the dashboard."""
    wheel, target = build(root, "wheel"), tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    environ = _environ(without_node(tmp_path))
    options = ["--no-deps", "--target", str(target), str(wheel)]
    subprocess.run([*pip, *options], env=environ, check=True)
    program = (
        "from hub.server import page_files\n"
        "assert page_files.__file__.startswith(__import__('sys').argv[1])\n"
        "print(*(route.path for route in page_files.page_routes()))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program, target],
        env={**environ, "PYTHONPATH": str(target)},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert {"/", "/assets/app-Xy12.js", "/page/"} <= set(shown)
