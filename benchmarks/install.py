"""What peers need, installed on demand: each peer into a folder of its own below build/.

Nothing is installed into the system, and a folder that has what is wanted is left as it is. Which
registry it comes from is the business of pip, npm and apt as this machine has them set.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.load import BUILD

STAMP = "installed"


class Missing(Exception):
    """A peer can't be had here; the text says why."""


def python(name: str, requirements: Sequence[str]) -> Path:
    """The interpreter of a virtual environment with exactly these, each `NAME==VERSION`.

    They are the whole list: nothing is resolved. Raises Missing.
    """
    folder = BUILD / name
    interpreter = folder / "bin" / "python"
    if not _is_installed(folder, requirements):
        _empty(folder)
        _run([sys.executable, "-m", "venv", str(folder)])
        pip = [str(interpreter), "-m", "pip", "--disable-pip-version-check", "--quiet"]
        _run([*pip, "install", "--no-deps", *requirements])
        _run([*pip, "check"])
        _stamp(folder, requirements)
    return interpreter


def npm(name: str, program: Path, requirements: Sequence[str]) -> Path:
    """The program beside a `node_modules` that has these, each `NAME@VERSION`. Raises Missing."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise Missing("there is no node or no npm")
    folder = BUILD / name
    if not _is_installed(folder, requirements):
        _empty(folder)
        (folder / "package.json").write_text('{"private": true}\n')
        quiet = ["--no-audit", "--no-fund", "--loglevel", "error"]
        _run(["npm", "install", "--save-exact", *quiet, *requirements], folder)
        _stamp(folder, requirements)
    return Path(shutil.copy(program, folder))


def debian(name: str, packages: Sequence[str]) -> Path:
    """The folder into which the files of these packages of Debian were unpacked. Raises Missing."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise Missing(f"{', '.join(packages)} are taken from Debian, and there is no apt-get")
    folder = BUILD / name
    if not _is_installed(folder, packages):
        _empty(folder)
        _run(["apt-get", "download", *packages], folder)
        for archive in folder.glob("*.deb"):
            _run(["dpkg-deb", "--extract", str(archive), str(folder)])
        _stamp(folder, packages)
    return folder


def node_version() -> str | None:
    """Node's version, or None where there is none."""
    if shutil.which("node") is None:
        return None
    shown = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout
    return shown.strip().removeprefix("v")


def _is_installed(folder: Path, wanted: Sequence[str]) -> bool:
    stamp = folder / STAMP
    return stamp.exists() and msgspec.json.decode(stamp.read_bytes()) == list(wanted)


def _stamp(folder: Path, wanted: Sequence[str]) -> None:
    (folder / STAMP).write_bytes(msgspec.json.encode(list(wanted)))


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _run(command: list[str], folder: Path | None = None) -> None:
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if ended.returncode:
        words = (ended.stdout + ended.stderr).strip().splitlines()[-3:]
        raise Missing(f"{' '.join(command[:3])} failed: {' / '.join(words)}")
