"""Which Node the dashboard's tests use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support import node
from tests.support.node import NodeMissing, find_node, is_usable


@pytest.mark.parametrize(
    ("version", "usable"),
    [
        ("v20.19.0\n", True),
        ("v20.18.3", False),
        ("v21.7.0", False),
        ("v22.12.0", True),
        ("v22.11.0", False),
        ("v23.11.0", False),
        ("v24.0.0", True),
        ("v31.0.0", True),
        ("v18.20.0", False),
        ("", False),
    ],
)
def test_usable_is_what_the_tools_take(version: str, usable: bool) -> None:
    """The dashboard's tools name these versions in their own packages."""
    assert is_usable(version) is usable


def test_without_node_and_without_pypi_it_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The error says what was expected and why it could not be had."""
    lock = tmp_path / "node.txt"
    lock.write_text(f"no-such-package @ file://{tmp_path}/none.whl --hash=sha256:{'0' * 64}\n")
    monkeypatch.setattr(node, "_LOCK", lock)
    monkeypatch.setattr(node, "_BUILD", tmp_path / "build")
    monkeypatch.setitem(os.environ, "PATH", str(tmp_path))
    with pytest.raises(NodeMissing, match=r"expected Node 20\.19, 22\.12 or 24 and newer"):
        find_node()
