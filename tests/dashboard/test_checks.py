"""The dashboard's own checks, as part of `make test`."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

import hub
from tests.docs.pages import blocks
from tests.support.node import DASHBOARD, Node, build


@pytest.mark.timeout(300)
@pytest.mark.parametrize("script", ["typecheck", "lint", "test"])
def test_script_passes(node: Node, script: str) -> None:
    """TypeScript finds no error, Biome none and nothing to format, and each Vitest test passes."""
    done = node.run("run", "--silent", script)
    assert done.returncode == 0, done.stdout


@pytest.mark.timeout(300)
def test_client_is_built_and_small(node: Node) -> None:
    """The build makes both sub-paths with their types, and fails above 8 kB of gzipped client."""
    assert "8000 allowed" in build(node)
    exports = json.loads((DASHBOARD / "package.json").read_text())["exports"]
    for paths in (exports["."], exports["./testing"]):
        for path in paths.values():
            assert (DASHBOARD / path).is_file(), path


# As tests/test_house.py has it for Python.
MODULE_LINES = 400

USER = """
import { Client, HubError, type Snapshot } from "tapecast";
import { FakeHub } from "tapecast/testing";

const client: Client = new Client("/", { WebSocket: new FakeHub().WebSocket });
const portfolio: Snapshot<{ balance: string }> = client
  .channel<{ balance: string }>("portfolio")
  .getSnapshot();
export const balance: string | undefined = portfolio.value?.balance;
export const code: number = new HubError(4403, "no").code;
// @ts-expect-error: there is no such state, so the types are there.
export const never = portfolio.state === "fresh";
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("resolution", ["NodeNext", "Bundler"])
def test_package_has_types_that_a_user_gets(node: Node, tmp_path: Path, resolution: str) -> None:
    """Packed and installed, both sub-paths type-check in strict programs, also the README's."""
    build(node)
    packed = node.run("pack", "--ignore-scripts", "--silent", "--pack-destination", str(tmp_path))
    assert packed.returncode == 0, packed.stdout
    (archive,) = tmp_path.glob("*.tgz")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "node_modules", filter="data")
    (tmp_path / "node_modules" / "package").rename(tmp_path / "node_modules" / "tapecast")
    options = {
        "strict": True,
        "noEmit": True,
        "target": "ES2022",
        "types": [],
        "module": "NodeNext" if resolution == "NodeNext" else "ESNext",
        "moduleResolution": resolution,
    }
    (tmp_path / "package.json").write_text('{"type": "module"}')
    programs = [USER, *blocks((DASHBOARD / "README.md").read_text(encoding="utf-8"), "ts")]
    for number, program in enumerate(programs):
        (tmp_path / f"user{number}.ts").write_text(program, encoding="utf-8")
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": options}))
    checked = node.run("exec", "--", "tsc", "-p", str(tmp_path))
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("path", sorted((DASHBOARD / "src").rglob("*.ts")), ids=lambda p: p.name)
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
