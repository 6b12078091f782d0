"""Notices for tests, of which a test says only what it is about."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from producers.events import Alert, AlertState, Severity
from producers.sources.alerts.sinks.base import Notice

AT_US = 1_800_000_000_000_000


def alert(**fields: Any) -> Alert:
    """What a rule said."""
    return Alert(
        **{
            "severity": Severity.CRITICAL,
            "title": "portfolio: drawdown of 6%",
            "detail": "equity 9400, peak 10000",
            "rule": "dd",
            "state": AlertState.FIRING,
            "incident": "dd:portfolio:1",
            "channel": "portfolio",
            "value": Decimal("6.0"),
            "limit": Decimal(5),
            **fields,
        }
    )


def notice(id: str = "e-1-0a", **fields: Any) -> Notice:
    """An alert that was published."""
    return Notice(id, "alerts", alert(**fields), AT_US)
