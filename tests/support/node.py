"""Node for the tests, and the client as they build it."""

from __future__ import annotations

import shutil

from dashboard.node import ROOT, Node, NodeMissing, find_node, install, one_at_a_time
from dashboard.shipping import fingerprint

__all__ = ["DASHBOARD", "BuildError", "Node", "NodeMissing", "build", "find_node", "install"]

DASHBOARD = ROOT / "dashboard"


class BuildError(Exception):
    """The client's build failed; the text is what it said."""


def build(node: Node) -> str:
    """Have the client built from what there is; returns what the build said. Raises BuildError."""
    with one_at_a_time(ROOT):
        dist = DASHBOARD / "dist"
        stamp = dist / ".built"
        wanted = fingerprint(ROOT)
        if stamp.exists() and stamp.read_text().startswith(wanted):
            return stamp.read_text()
        shutil.rmtree(dist, ignore_errors=True)
        built = node.run("run", "--silent", "build")
        if built.returncode:
            raise BuildError(built.stdout)
        stamp.write_text(f"{wanted}\n{built.stdout}")
        return built.stdout
