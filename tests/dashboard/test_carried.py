"""The dashboard itself, as a wheel carries it."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from dashboard.node import ROOT
from tests.dashboard.test_wheel import SERVED, build
from tests.support.node import Node

MAX_SCRIPT_BYTES = 200_000
"""Of all scripts and styles, gzipped as a hub sends them."""
MAX_WHEEL_BYTES = 1_000_000

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def wheel(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from what git knows, with the packages that are installed here."""
    root = tmp_path_factory.mktemp("checkout")
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
    (root / "dashboard" / "node_modules").symlink_to(node.dashboard / "node_modules")
    return build(root, "wheel")


def test_every_file_that_the_page_loads_is_there(wheel: Path) -> None:
    """The page names its files by the hash of their content, and they are carried."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        index = archive.read(f"{SERVED}index.html").decode()
    loaded = re.findall(r'(?:src|href)="/?(\.?/?[^"]+)"', index)
    assert any(name.endswith(".js") for name in loaded)
    for name in loaded:
        assert re.fullmatch(r"(?:\./)?assets/[\w.-]+-[\w-]{8}\.\w+", name), name
        assert SERVED + name.removeprefix("./") in names


def test_the_page_keeps_to_the_policy(wheel: Path) -> None:
    """No script and no style stands within it: the hub's policy would forbid it to run."""
    with zipfile.ZipFile(wheel) as archive:
        index = archive.read(f"{SERVED}index.html").decode()
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", index)
    assert not re.search(r"<script(?![^>]*\ssrc=)", index)
    assert "//" not in re.sub(r"<!--.*?-->", "", index), "no other host is named"


def test_the_service_worker_is_one_file(wheel: Path) -> None:
    """At the path that browsers know it by, above all that it serves; it imports nothing."""
    with zipfile.ZipFile(wheel) as archive:
        worker = archive.read(f"{SERVED}push-worker.js").decode()
    assert "notificationclick" in worker
    assert not re.search(r"\b(import|export)\b", worker)


def test_it_is_small(wheel: Path) -> None:
    """A dashboard is loaded in a moment, and a wheel is no burden."""
    with zipfile.ZipFile(wheel) as archive:
        served = {
            name: archive.read(name) for name in archive.namelist() if name.startswith(SERVED)
        }
    assert not [name for name in served if name.endswith(".map")]
    code = [text for name, text in served.items() if name.endswith((".js", ".css"))]
    assert sum(len(gzip.compress(text, 9)) for text in code) <= MAX_SCRIPT_BYTES
    assert wheel.stat().st_size <= MAX_WHEEL_BYTES
