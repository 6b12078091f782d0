"""ccxt with the libraries that it pins, in a folder of their own.

ccxt pins everything beneath it to one version, uvloop and idna among them, so it can't stand in
the environment of the tests. Its source is run as a process that finds this folder first: with what
`pip install 'tapecast[ccxt]'` installs, by its lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
_LOCK = ROOT / "requirements" / "ccxt.txt"
_BUILD = ROOT / "build"


class CcxtMissing(Exception):
    """ccxt can't be installed; the text is what pip said."""


def install() -> Path:
    """The folder, installed on the first call: 7 MB to fetch of ccxt itself, 120 MB then."""
    _BUILD.mkdir(exist_ok=True)
    wanted = hashlib.sha256(_LOCK.read_bytes() + sys.version.encode()).hexdigest()
    folder = _BUILD / f"ccxt-{wanted[:16]}"
    stamp = folder / ".installed"
    # Tests run in several processes, and share what is installed.
    with (_BUILD / "ccxt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists():
            return folder
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
        options = ["--require-hashes", "--no-deps", "--upgrade"]
        done = subprocess.run(
            [*pip, *options, "--target", str(folder), "-r", str(_LOCK)],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise CcxtMissing(done.stderr.strip())
        stamp.touch()
    return folder


def environ(**variables: str) -> dict[str, str]:
    """An environment in which Python finds those libraries before any others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TAPECAST_")}
    return {**kept, "PYTHONPATH": f"{install()}{os.pathsep}{ROOT}", **variables}
