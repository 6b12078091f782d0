"""Builds the dashboard and puts it where the hub serves it from: hub/server/dashboard.

`make demo` runs this module, and so does each build of the package (dashboard/hatch_build.py).
Nothing happens where what is there was built from the same sources. Where it can't be built, the
hub shows its plain page instead, and one line says why; TAPECAST_DASHBOARD=require makes that an
error, =skip leaves everything as it is.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from dashboard.node import ROOT, NodeMissing, find_node, install, one_at_a_time

VARIABLE = "TAPECAST_DASHBOARD"
MODES = ("", "require", "skip")

SCRIPT = "build:app"
BUILT = "dist-app"
"""What the script makes, in the dashboard's folder."""
SHIPPED = Path("hub", "server", "dashboard")
STAMP = ".sources"

_NO_SOURCES = frozenset(("dist", BUILT, "node_modules", "tests", "__pycache__"))
_LONGEST_REASON = 300


class ShippingError(Exception):
    """The dashboard could not be built, and has to be; or the mode is none. The text says why."""


def ship(root: Path, environ: Mapping[str, str], say: Callable[[str], None]) -> bool:
    """Have the dashboard of this checkout, or unpacked sdist, where the hub serves it from.

    Returns whether it is there. say: told each step, or in one line why it is not there. Raises
    ShippingError.
    """
    mode = environ.get(VARIABLE, "")
    if mode not in MODES:
        raise ShippingError(f"{VARIABLE}: expected require, skip or nothing, got {mode!r}")
    shipped = root / SHIPPED
    if mode != "skip" and not _is_current(shipped, fingerprint(root)):
        try:
            _build(root, say)
        except (NodeMissing, ShippingError, OSError) as error:
            # What an older build made of other sources may not fit this hub.
            shutil.rmtree(shipped, ignore_errors=True)
            reason = f"the dashboard was not built: {_gist(str(error))}"
            if mode == "require":
                raise ShippingError(reason) from None
            say(f"{reason} -- the hub shows its plain page instead")
    return (shipped / "index.html").is_file()


def fingerprint(root: Path) -> str:
    """What the dashboard is built from, as one hash; tests, texts and this are no part of it."""
    dashboard = root / "dashboard"
    digest = hashlib.sha256()
    for path in sorted(_sources(dashboard)):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(dashboard).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _sources(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name in _NO_SOURCES or path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _sources(path)
        elif path.suffix not in (".md", ".py"):
            yield path


def _is_current(shipped: Path, wanted: str) -> bool:
    stamp = shipped / STAMP
    return stamp.is_file() and stamp.read_text() == wanted


def _build(root: Path, say: Callable[[str], None]) -> None:
    began = time.monotonic()
    say("Building the dashboard, which is done again only when its sources change:")

    def step(text: str) -> None:
        say(f"  {text}")

    node = find_node(root, step)
    install(node, step)
    with one_at_a_time(root):
        # Before the build reads them: what changes meanwhile leads to another build.
        wanted = fingerprint(root)
        if _is_current(root / SHIPPED, wanted):
            return
        step(f"building it with Node {node.version} (npm run {SCRIPT}) ...")
        built = node.dashboard / BUILT
        shutil.rmtree(built, ignore_errors=True)
        made = node.run("run", "--loglevel", "error", SCRIPT)
        if made.returncode:
            raise ShippingError(f"npm run {SCRIPT} failed: {made.stdout}")
        if not (built / "index.html").is_file():
            raise ShippingError(f"npm run {SCRIPT} made no {BUILT}/index.html")
        _replace(root, built, wanted)
    step(f"done in {time.monotonic() - began:.0f} s")


def _replace(root: Path, built: Path, wanted: str) -> None:
    """Put a whole build in place of the one that is there: never a part of it, with a stamp."""
    new = root / "build" / "dashboard"
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(built, new)
    (new / STAMP).write_text(wanted)
    shipped = root / SHIPPED
    shutil.rmtree(shipped, ignore_errors=True)
    shipped.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(new, shipped)


def _gist(output: str) -> str:
    """The line of a program's output that says most, with what stands before the output."""
    what, _, rest = output.strip().partition(": ")
    lines = [line.strip() for line in rest.splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line.lower()] or lines
    return ": ".join([what, *telling[:1]])[:_LONGEST_REASON]


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main() -> int:
    """Ship the dashboard of this checkout; returns the exit status."""
    try:
        ship(ROOT, os.environ, _say)
    except ShippingError as error:
        _say(f"Error: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
