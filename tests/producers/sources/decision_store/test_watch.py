"""producers/sources/decision_store/watch.py: what the operating system tells."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from pathlib import Path

import pytest

from producers.errors import SourceGone
from producers.sources.decision_store.watch import FolderWatch


async def test_changes_since_the_watch_began(tmp_path: Path) -> None:
    """What is written between the watch and the first call is not lost."""
    with contextlib.closing(FolderWatch(tmp_path)) as watch:
        (tmp_path / "a.json").write_text("1")
        assert await watch.changed() == {"a.json"}
        (tmp_path / "b.tmp").write_text("1")
        (tmp_path / "b.tmp").rename(tmp_path / "b.json")
        seen: set[str] = set()
        while "b.json" not in seen:
            seen |= await watch.changed()


async def test_deadline(tmp_path: Path) -> None:
    """Without a change, the deadline ends the wait."""
    with contextlib.closing(FolderWatch(tmp_path)) as watch:
        assert await watch.changed(time.monotonic() + 0.05) == frozenset()
        assert await watch.changed(time.monotonic() - 1) == frozenset()


async def test_close(tmp_path: Path) -> None:
    """Closing ends a wait that has no end."""
    with contextlib.closing(FolderWatch(tmp_path)) as watch:
        waiting = asyncio.create_task(watch.changed())
        await asyncio.sleep(0)
        watch.close()
        assert await waiting == frozenset()


async def test_no_folder(tmp_path: Path) -> None:
    """A folder that isn't there can't be watched."""
    with pytest.raises(SourceGone, match="found none"):
        FolderWatch(tmp_path / "nothing")


@pytest.mark.parametrize("how", ["removed", "renamed"])
async def test_folder_gone(tmp_path: Path, how: str) -> None:
    """A folder that goes away is told: nothing more would be heard of it."""
    folder = tmp_path / "decisions"
    folder.mkdir()
    with contextlib.closing(FolderWatch(folder)) as watch:
        if how == "removed":
            shutil.rmtree(folder)
        else:
            folder.rename(tmp_path / "other")
        with pytest.raises(SourceGone, match="removed or renamed"):
            await watch.changed()


async def test_a_linked_folder(tmp_path: Path) -> None:
    """A link to a folder is followed."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with contextlib.closing(FolderWatch(tmp_path / "link")) as watch:
        (tmp_path / "real" / "a.json").write_text("1")
        assert await watch.changed() == {"a.json"}
