"""Node and the packages that its peer needs, installed on demand into build/."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from benchmarks.load import BUILD

PROGRAM = "node_server.mjs"
PACKAGES = {"redis": "6.3.1", "ws": "8.23.0"}
FOLDER = BUILD / "node"


class NodeMissing(Exception):
    """There is no Node, or its packages can't be installed; the text says which."""


def install() -> Path:
    """The folder with the peer's program and its packages. Raises NodeMissing."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise NodeMissing("there is no node or no npm")
    FOLDER.mkdir(parents=True, exist_ok=True)
    wanted = json.dumps({"private": True, "dependencies": PACKAGES})
    manifest = FOLDER / "package.json"
    if not manifest.exists() or manifest.read_text() != wanted:
        manifest.write_text(wanted)
        installed = subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--loglevel", "error"],
            cwd=FOLDER,
            capture_output=True,
            text=True,
        )
        if installed.returncode:
            manifest.unlink()
            raise NodeMissing(f"npm install failed: {installed.stderr.strip()}")
    shutil.copyfile(Path(__file__).with_name("peers") / PROGRAM, FOLDER / PROGRAM)
    return FOLDER


def version() -> str | None:
    """Node's version, or None where there is none."""
    if shutil.which("node") is None:
        return None
    shown = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout
    return shown.strip().removeprefix("v")
