"""The Chromium of this machine, for benchmarks and tests; Playwright's own is never downloaded."""

from __future__ import annotations

import shutil

# As root, and in a container, Chromium has no sandbox of its own.
OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


def find() -> str | None:
    """Its path; None where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser")
