"""The types of the protocol that the dashboard is written against."""

from __future__ import annotations

from tests.dashboard.generate import PROTOCOL_TS, protocol_ts


def test_checked_in_types_are_the_protocols() -> None:
    """dashboard/src/client/protocol.ts is what `make types` writes."""
    assert PROTOCOL_TS.read_text(encoding="utf-8") == protocol_ts(), "run make types"
