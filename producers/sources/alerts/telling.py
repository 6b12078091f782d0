"""The words of alerts: what people read on a dashboard, a phone or in a mail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import msgspec

from producers.events import Alert, AlertState
from producers.sources.alerts.conditions import MAX_EXPONENT, rounded, spelled
from producers.sources.alerts.measures import Found
from producers.sources.alerts.rules import Rule

if TYPE_CHECKING:
    from producers.sources.alerts.engine import Key

MAX_TITLE: Final = 200
MAX_DETAIL: Final = 500
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def fired(key: Key, rule: Rule, found: Found, incident: int) -> Alert:
    """What is told when a rule fires. incident: when it did, in microseconds."""
    limit = rule.condition.limit
    title = rule.titled(
        rule=key.rule,
        channel=key.channel,
        row=key.row,
        place=f"{key.channel} {key.row}" if key.row else key.channel,
        value=spelled(found.value, rule.digits),
        limit=spelled(limit, rule.digits),
    )
    return Alert(
        severity=rule.severity,
        title=_short(title, MAX_TITLE),
        detail=_short(f"{found.detail}; the rule: {rule.said}", MAX_DETAIL),
        rule=key.rule,
        state=AlertState.FIRING,
        incident=":".join([key.rule, key.channel, *([key.row] if key.row else []), str(incident)]),
        channel=key.channel,
        row=key.row or None,
        value=_amount(found),
        limit=limit if isinstance(limit, Decimal) else None,
    )


def repeated(key: Key, rule: Rule, found: Found, incident: int) -> Alert:
    """What is told of one that goes on."""
    alert = fired(key, rule, found, incident)
    detail = f"{since('it fires', incident)}; {alert.detail}"
    return msgspec.structs.replace(
        alert,
        title=_short(f"Still: {alert.title}", MAX_TITLE),
        detail=_short(detail, MAX_DETAIL),
    )


def resolved(fired: Alert, found: Found, lasted_us: int) -> Alert:
    """What is told of one that ended: the title of what fired, so that it says what is over."""
    lasted = timedelta(seconds=max(0, lasted_us) // 1_000_000)
    return msgspec.structs.replace(
        fired,
        title=_short(f"Resolved: {fired.title}", MAX_TITLE),
        detail=_short(f"{found.detail}; it lasted {lasted}", MAX_DETAIL),
        state=AlertState.RESOLVED,
        value=_amount(found),
    )


def since(what: str, at_us: int | None) -> str:
    """A state and since when, in UTC."""
    if at_us is None:
        return what
    return f"{what} since {_EPOCH + timedelta(microseconds=at_us):%Y-%m-%d %H:%M:%S} UTC"


def _amount(found: Found) -> Decimal | None:
    """The value where it is a number, and one that may travel: a share may be beyond all bounds."""
    if not isinstance(found.value, Decimal) or abs(found.value.adjusted()) > MAX_EXPONENT:
        return None
    return rounded(found.value)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
