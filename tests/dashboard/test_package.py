"""What is published as the npm package, and what becomes of it in somebody's application."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.dashboard.conftest import PEERS, install_into
from tests.docs.pages import blocks, page
from tests.support.node import DASHBOARD, Node

pytestmark = pytest.mark.timeout(300)

PACKAGE = json.loads((DASHBOARD / "package.json").read_text())
README = (DASHBOARD / "README.md").read_text(encoding="utf-8")
APPLICATION = blocks(README, "tsx")[0]
PAGES = [README, page("docs/quickref.md"), page("docs/migration.md")]


def code(text: str) -> list[str]:
    """The programs of a document."""
    return [*blocks(text, "ts"), *blocks(text, "tsx")]


USER = """
import { Client, HubError, type Snapshot } from "tapecast";
import { type Live, usePositions } from "tapecast/react";
import { usePositions as useOldPositions } from "tapecast/react/legacy";
import "tapecast/react/style.css";
import { FakeHub } from "tapecast/testing";

const client: Client = new Client("/", { WebSocket: new FakeHub().WebSocket });
const portfolio: Snapshot<{ balance: string }> = client
  .channel<{ balance: string }>("portfolio")
  .getSnapshot();
export const balance: string | undefined = portfolio.value?.balance;
export const code: number = new HubError(4403, "no").code;
// @ts-expect-error: there is no such state, so the types are there.
export const never = portfolio.state === "fresh";

export function useSizes(): Live<readonly string[]> {
  return usePositions({ key: "acct-7", select: (rows) => rows.map(({ size }) => size) });
}

export function useMine(): string | undefined {
  return usePositions<{ book: string }>().data?.[0]?.book;
}

export function useSum(): number | undefined {
  return useOldPositions().data?.reduce((sum, { unrealized_pnl }) => sum + unrealized_pnl, 0);
}

export function useWrongSum(): number {
  // @ts-expect-error: money is a string, and no number to add up.
  return usePositions().data?.reduce((sum, { unrealized_pnl }) => sum + unrealized_pnl, 0) ?? 0;
}
"""

INDEX = """\
<!doctype html>
<html lang="en">
  <head><meta charset="utf-8" /><title>Desk</title></head>
  <body><script type="module" src="/src/main.tsx"></script></body>
</html>
"""

COMPILER_OPTIONS = {
    "strict": True,
    "noEmit": True,
    "target": "ES2022",
    "lib": ["ES2023", "DOM", "DOM.Iterable"],
    "module": "ESNext",
    "moduleResolution": "Bundler",
    "jsx": "react-jsx",
    "types": ["vite/client"],
}


def test_publint_finds_nothing(node: Node, archive: Path) -> None:
    """Every sub-path leads to a file of the form that it claims."""
    checked = node.run("exec", "--", "publint", "run", "--strict", str(archive))
    assert checked.returncode == 0, checked.stdout


def test_types_are_right_wherever_they_are_resolved(node: Node, archive: Path) -> None:
    """arethetypeswrong finds types for every sub-path, and none that say what is not there."""
    # The package is ESM alone; styles have no types.
    options = ("--profile", "esm-only", "--exclude-entrypoints", "react/style.css")
    checked = node.run("exec", "--", "attw", str(archive), *options, "--no-emoji", "--no-color")
    assert checked.returncode == 0, checked.stdout
    for path in PACKAGE["exports"]:
        if path.endswith(".css"):
            continue
        assert f'"tapecast{path.removeprefix(".")}"' in checked.stdout, path


@pytest.mark.parametrize("resolution", ["NodeNext", "Bundler"])
def test_users_get_types(node: Node, application: Path, resolution: str) -> None:
    """All sub-paths type-check in strict programs, and so does what the documents show."""
    folder = application / resolution
    folder.mkdir()
    programs = [USER, *(block for text in PAGES for block in code(text))]
    for number, program in enumerate(programs):
        (folder / f"user{number}.tsx").write_text(program, encoding="utf-8")
    module = "NodeNext" if resolution == "NodeNext" else "ESNext"
    options = {"module": module, "moduleResolution": resolution, "types": []}
    tsconfig = {"compilerOptions": {**COMPILER_OPTIONS, **options}, "include": ["*.tsx"]}
    (folder / "tsconfig.json").write_text(json.dumps(tsconfig))
    checked = node.run("exec", "--", "tsc", "-p", str(folder), cwd=application)
    assert checked.returncode == 0, checked.stdout


def test_an_empty_application_builds_with_it(node: Node, application: Path) -> None:
    """Installed from the archive, the README's application type-checks and builds."""
    (application / "src").mkdir()
    (application / "src" / "main.tsx").write_text(APPLICATION, encoding="utf-8")
    (application / "index.html").write_text(INDEX)
    tsconfig = {"compilerOptions": COMPILER_OPTIONS, "include": ["src"]}
    (application / "tsconfig.json").write_text(json.dumps(tsconfig))
    for command in (("tsc",), ("vite", "build")):
        done = node.run("exec", "--", *command, cwd=application)
        assert done.returncode == 0, done.stdout
    [script] = (application / "dist" / "assets").glob("*.js")
    [styles] = (application / "dist" / "assets").glob("*.css")
    assert "tapecast-floating" in script.read_text(encoding="utf-8")
    assert ".tapecast-floating" in styles.read_text(encoding="utf-8")
    html = (application / "dist" / "index.html").read_text(encoding="utf-8")
    # What a policy without unsafe-inline would refuse.
    assert not re.search(r"<style|style=|<script(?![^>]*src=)", html)


def test_the_client_is_installed_alone(node: Node, archive: Path, tmp_path: Path) -> None:
    """Who does not use React installs one package, and no peer of it."""
    install_into(node, tmp_path, archive)
    installed = {path.name for path in (tmp_path / "node_modules").iterdir()} - {
        ".package-lock.json"
    }
    assert installed == {"tapecast"}


def test_peers_are_those_that_the_tests_run_with() -> None:
    """Each peer is optional, and its range holds the version that the tests run with."""
    peers = PACKAGE["peerDependencies"]
    assert set(peers) < set(PEERS)
    assert PACKAGE["peerDependenciesMeta"] == {name: {"optional": True} for name in peers}
    for name, wanted in peers.items():
        major = PACKAGE["devDependencies"][name].split(".")[0]
        assert wanted == f"^{major}.0.0", name
