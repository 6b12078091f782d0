"""pyarrow for the tests of Parquet recordings: 55 MB that nothing else needs, kept below build/."""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements" / "parquet.txt"


def pyarrow_folder() -> Path:
    """A folder for PYTHONPATH that has it, as its lock says; skips the test where there is none."""
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    folder = build / f"pyarrow-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]}"
    with (build / "pyarrow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "pyarrow" / "parquet").exists():
            pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
            options = ["--require-hashes", "--no-deps", "--target", str(folder), "-r", str(LOCK)]
            installed = subprocess.run([*pip, *options], capture_output=True, text=True)
            if installed.returncode:
                pytest.skip(f"pyarrow can't be installed: {installed.stderr.strip()}")
    return folder
