"""The types of the protocol and of the payloads that the dashboard is written against."""

from __future__ import annotations

from tests.dashboard.generate import PAYLOADS_TS, PROTOCOL_TS, payloads_ts, protocol_ts


def test_checked_in_types_are_the_protocols() -> None:
    """dashboard/src/client/protocol.ts is what `make types` writes."""
    assert PROTOCOL_TS.read_text(encoding="utf-8") == protocol_ts(), "run make types"


def test_checked_in_payloads_are_the_producers() -> None:
    """dashboard/src/react/payloads.ts is what `make types` writes."""
    assert PAYLOADS_TS.read_text(encoding="utf-8") == payloads_ts(), "run make types"
