"""What the dashboard's tests share: Node, with the dashboard's packages installed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.node import DASHBOARD, Node, NodeMissing, build, find_node, install

PEERS = ("@tanstack/react-query", "@types/react", "@types/react-dom", "react", "react-dom")
TOOLS = ("typescript", "vite")


@pytest.fixture(scope="session")
def node() -> Node:
    """A Node that can run the dashboard's scripts."""
    try:
        found = find_node()
        install(found)
    except NodeMissing as error:
        pytest.skip(str(error))
    return found


@pytest.fixture(scope="session")
def archive(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it would be published."""
    build(node)
    folder = tmp_path_factory.mktemp("packed")
    packed = node.run("pack", "--ignore-scripts", "--silent", "--pack-destination", str(folder))
    assert packed.returncode == 0, packed.stdout
    (found,) = folder.glob("*.tgz")
    return found


@pytest.fixture(scope="session")
def application(node: Node, archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty Vite application of React and TypeScript, with the package and its peers."""
    folder = tmp_path_factory.mktemp("application")
    install_into(node, folder, archive, *PEERS, *TOOLS)
    return folder


def install_into(node: Node, folder: Path, archive: Path, *names: str) -> None:
    """Install the package and others, at the versions of the dashboard's own lock.

    With a copy of that lock npm asks the registry for nothing that installing the dashboard did not
    leave in its cache, so this needs no network.
    """
    versions = json.loads((DASHBOARD / "package.json").read_text())["devDependencies"]
    dependencies = {"tapecast": f"file:{archive}", **{name: versions[name] for name in names}}
    package = {"name": "desk", "private": True, "type": "module", "dependencies": dependencies}
    (folder / "package.json").write_text(json.dumps(package))
    lock = json.loads((DASHBOARD / "package-lock.json").read_text())
    del lock["packages"][""]
    (folder / "package-lock.json").write_text(json.dumps({**lock, "name": "desk"}))
    options = ("--prefer-offline", "--no-audit", "--no-fund", "--loglevel", "error")
    installed = node.run("install", *options, cwd=folder)
    assert installed.returncode == 0, installed.stdout
