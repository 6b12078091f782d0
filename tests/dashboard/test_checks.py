"""The dashboard's own checks, as part of `make test`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hub
from tests.support.node import DASHBOARD, Node, build


@pytest.mark.timeout(300)
@pytest.mark.parametrize("script", ["typecheck", "lint", "test"])
def test_script_passes(node: Node, script: str) -> None:
    """TypeScript finds no error, Biome none and nothing to format, and each Vitest test passes."""
    done = node.run("run", "--silent", script)
    assert done.returncode == 0, done.stdout


@pytest.mark.timeout(300)
def test_client_is_built_and_small(node: Node) -> None:
    """The build makes all sub-paths with their types, and fails above 8 kB of gzipped client."""
    assert "8000 allowed" in build(node)
    exports = json.loads((DASHBOARD / "package.json").read_text())["exports"]
    for paths in exports.values():
        for path in paths.values() if isinstance(paths, dict) else [paths]:
            assert (DASHBOARD / path).is_file(), path


# As tests/test_house.py has it for Python.
MODULE_LINES = 400
SOURCES = sorted(path for path in (DASHBOARD / "src").rglob("*") if path.suffix in (".ts", ".tsx"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.name)
def test_module_is_one_idea(path: Path) -> None:
    """No module outgrows what a reader holds in mind."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MODULE_LINES


def test_package_has_the_hubs_version() -> None:
    """The npm package and the distribution are released together."""
    assert json.loads((DASHBOARD / "package.json").read_text())["version"] == hub.__version__


def test_client_has_no_dependencies() -> None:
    """What an application installs with the client is the client alone."""
    package = json.loads((DASHBOARD / "package.json").read_text())
    assert {"dependencies", "optionalDependencies"} & set(package) == set()
