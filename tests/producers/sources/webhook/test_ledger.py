"""producers/sources/webhook/ledger.py: what was posted before."""

from __future__ import annotations

from producers.sources.webhook.ledger import Ledger


def test_known_for_a_while() -> None:
    """Until its time is over, or it is forgotten."""
    ledger: Ledger[str] = Ledger()
    ledger.note("a", "first", now=100, seconds=10)
    assert ledger.find("a", 109.9) == "first"
    assert ledger.find("a", 110) is None
    assert ledger.find("b", 100) is None
    ledger.note("a", "second", now=120, seconds=10)
    assert ledger.find("a", 121) == "second"
    ledger.forget("a")
    ledger.forget("a")
    assert ledger.find("a", 121) is None


def test_bounded() -> None:
    """What is over goes first, then the oldest."""
    ledger: Ledger[int] = Ledger(max_entries=3)
    ledger.note("long", 0, now=0, seconds=100)
    ledger.note("short", 1, now=0, seconds=1)
    ledger.note("a", 2, now=0, seconds=100)
    ledger.note("b", 3, now=50, seconds=100)
    assert [ledger.find(id, 50) for id in ("long", "short", "a", "b")] == [0, None, 2, 3]
    ledger.note("c", 4, now=50, seconds=100)
    assert [ledger.find(id, 50) for id in ("long", "a", "b", "c")] == [None, 2, 3, 4]
