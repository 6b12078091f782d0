"""producers/sources/decision_store/source.py: a folder, from its files to readings."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from producers.errors import SourceGone
from producers.sources.base import Decided, Reading, Trouble
from producers.sources.decision_store import DecisionStoreSource
from producers.sources.decision_store.source import is_decision_file


def write(folder: Path, name: str, **fields: object) -> None:
    fields = {"asset_pair": "BTCUSD", "action": "BUY", **fields}
    (folder / name).write_text(json.dumps(fields))


def ids(readings: Sequence[Reading]) -> list[str]:
    return [each.decision.id for each in readings if isinstance(each, Decided)]


@contextlib.asynccontextmanager
async def following(folder: Path) -> AsyncIterator[Follower]:
    async with contextlib.aclosing(DecisionStoreSource(folder).follow()) as batches:
        yield Follower(batches)


class Follower:
    """Reads what a source tells, a reading at a time."""

    def __init__(self, batches: AsyncIterator[Sequence[Reading]]) -> None:
        self._batches = batches
        self._readings: list[Reading] = []

    async def batch(self) -> Sequence[Reading]:
        async with asyncio.timeout(20):
            return await anext(self._batches)

    async def next(self) -> Reading:
        while not self._readings:
            self._readings += await self.batch()
        return self._readings.pop(0)

    async def decision_id(self) -> str:
        reading = await self.next()
        assert isinstance(reading, Decided)
        return reading.decision.id


async def test_read_once(tmp_path: Path) -> None:
    """All decisions come in the order of their times, then what could not be read."""
    write(tmp_path, "a.json", timestamp="2025-01-02T00:00:00Z")
    write(tmp_path, "b.json", timestamp="2025-01-01T00:00:00Z")
    (tmp_path / "c.json").write_text("{")
    (tmp_path / "notes.txt").write_text("{")
    (tmp_path / "folder.json").mkdir()
    readings = await DecisionStoreSource(tmp_path).read_once()
    assert ids(readings) == ["b", "a"]
    (trouble,) = readings[2:]
    assert isinstance(trouble, Trouble)
    assert (trouble.channel, trouble.title) == ("alerts", "c.json holds no decision")


async def test_follow(tmp_path: Path) -> None:
    """What is there comes first; then what is added, replaced by a rename, and rewritten."""
    write(tmp_path, "a.json")
    async with following(tmp_path) as follower:
        assert await follower.decision_id() == "a"
        write(tmp_path, "b.json")
        assert await follower.decision_id() == "b"
        write(tmp_path, "c.tmp")
        (tmp_path / "c.tmp").rename(tmp_path / "c.json")
        assert await follower.decision_id() == "c"
        write(tmp_path, "a.json", executed=True)
        changed = await follower.next()
        assert isinstance(changed, Decided)
        assert (changed.decision.id, changed.decision.executed) == ("a", True)


@pytest.mark.parametrize("name", ["a.json", "z.json"])
async def test_a_file_that_is_renamed(tmp_path: Path, name: str) -> None:
    """It is told under its id as before, and not as a second file with that id, as it once was."""
    write(tmp_path, "m.json", id="d")
    async with following(tmp_path) as follower:
        assert await follower.decision_id() == "d"
        (tmp_path / "m.json").rename(tmp_path / name)
        assert await follower.decision_id() == "d"


async def test_half_written(tmp_path: Path) -> None:
    """A file that is completed later is told when it is complete, and never as broken."""
    whole = '{"id": "h", "asset_pair": "A", "action": "BUY"}'
    async with following(tmp_path) as follower:
        assert await follower.batch() == []
        (tmp_path / "h.json").write_text(whole[:20])
        assert await follower.batch() == []
        with (tmp_path / "h.json").open("a") as file:
            file.write(whole[20:])
        assert await follower.decision_id() == "h"


async def test_stays_broken(tmp_path: Path) -> None:
    """A file that stays broken is told as trouble, without any other change in the folder."""
    (tmp_path / "h.json").write_text("{")
    async with following(tmp_path) as follower:
        trouble = await follower.next()
        assert isinstance(trouble, Trouble)
        assert trouble.key.startswith("h.json:")


async def test_an_unreadable_file(tmp_path: Path) -> None:
    """A file that can't be opened is one trouble, and the others are told."""
    (tmp_path / "loop.json").symlink_to(tmp_path / "loop.json")
    write(tmp_path, "a.json")
    readings = await DecisionStoreSource(tmp_path).read_once()
    assert ids(readings) == ["a"]
    assert isinstance(readings[1], Trouble)
    assert "can't be read" in readings[1].detail


async def test_folder_gone(tmp_path: Path) -> None:
    """A folder that is not there is the worker's business."""
    folder = tmp_path / "decisions"
    with pytest.raises(SourceGone):
        await DecisionStoreSource(folder).read_once()
    folder.mkdir()
    async with following(folder) as follower:
        assert await follower.batch() == []
        shutil.rmtree(folder)
        with pytest.raises(SourceGone):
            await follower.next()


def test_channels() -> None:
    """The account chooses the channels; health is its own, next to the agent's."""
    plain = DecisionStoreSource(Path())
    assert plain.channels == ("decisions", "health:decision-store")
    given = {"folder": Path(), "name": "desk", "account": "acct-7"}
    named = DecisionStoreSource.from_options(given)
    assert named.channels == ("decisions:acct-7", "health:desk:acct-7")
    assert named.health_channel in named.channels


@pytest.mark.parametrize(
    ("name", "expected"), [("a.json", True), (".a.json", False), ("a.json.tmp", False)]
)
def test_names(name: str, expected: bool) -> None:
    """Hidden and temporary files are somebody's scratch."""
    assert is_decision_file(name) is expected
