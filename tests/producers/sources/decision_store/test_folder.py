"""producers/sources/decision_store/folder.py: only news is told."""

from __future__ import annotations

import json

from producers.sources.decision_store.folder import DecisionFolder


def content(id: str = "d", **fields: object) -> bytes:
    return json.dumps({"id": id, "asset_pair": "A", "action": "BUY", **fields}).encode()


def test_news() -> None:
    """A file is told when it is new and when it changed, not when it is the same."""
    folder = DecisionFolder()
    assert folder.saw("a.json", content(), 0) is not None
    assert folder.saw("a.json", content(), 1) is None
    changed = folder.saw("a.json", content(executed=True), 2)
    assert changed is not None
    assert changed.executed


def test_half_written() -> None:
    """A file that is completed in time was never broken."""
    folder = DecisionFolder(grace_seconds=2)
    assert folder.saw("a.json", content()[:10], 10) is None
    assert folder.next_deadline() == 12
    assert folder.take_broken(11.9) == []
    assert folder.saw("a.json", content(), 11.9) is not None
    assert folder.next_deadline() is None
    assert folder.take_broken(100) == []


def test_stays_broken() -> None:
    """One that stays broken is told so, once for each content."""
    folder = DecisionFolder(grace_seconds=2)
    folder.saw("a.json", b"{", 10)
    (broken,) = folder.take_broken(12)
    assert broken.name == "a.json"
    assert "no JSON" in broken.why
    assert folder.saw("a.json", b"{", 13) is None
    assert folder.take_broken(100) == []
    folder.saw("a.json", b"{{", 100)
    (again,) = folder.take_broken(102)
    assert again.digest != broken.digest


def test_still_being_written() -> None:
    """Every change of a half-written file gives it time again."""
    folder = DecisionFolder(grace_seconds=2)
    folder.saw("a.json", b"{", 10)
    folder.saw("a.json", b"{ ", 11.5)
    assert folder.take_broken(12.5) == []


def test_unreadable() -> None:
    """A file that can't be read is broken too, and read as new when it can be."""
    folder = DecisionFolder(grace_seconds=0)
    folder.saw("a.json", content(), 0)
    folder.failed("a.json", "permission denied", 1)
    (broken,) = folder.take_broken(1)
    assert broken.why == "permission denied"
    assert folder.saw("a.json", content(), 2) is not None


def test_two_files_with_one_id() -> None:
    """A decision belongs to the first file that holds it, until that is gone."""
    folder = DecisionFolder(grace_seconds=0)
    assert folder.saw("a.json", content(), 0) is not None
    assert folder.saw("b.json", content(executed=True), 0) is None
    (broken,) = folder.take_broken(0)
    assert broken.why == "decision d stands in a.json already"
    folder.lost("a.json")
    assert folder.saw("b.json", content(executed=True, confidence=1), 1) is not None


def test_a_file_that_changes_its_id() -> None:
    """The id that a file gave up may stand in another one."""
    folder = DecisionFolder(grace_seconds=0)
    folder.saw("a.json", content("one"), 0)
    folder.saw("a.json", content("two"), 1)
    assert folder.saw("b.json", content("one"), 2) is not None
    assert folder.take_broken(2) == []


def test_lost() -> None:
    """A file that came back is told again: what is published once is the publisher's business."""
    folder = DecisionFolder()
    folder.saw("a.json", content(), 0)
    folder.lost("a.json")
    folder.lost("never-seen.json")
    assert folder.saw("a.json", content(), 1) is not None
