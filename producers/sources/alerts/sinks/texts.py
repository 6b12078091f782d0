"""An alert as text, for chats and mails."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from producers.encoding import encode
from producers.sources.alerts.sinks.base import Notice
from producers.sources.webhook.rules import fill

DEFAULT_TEXT: Final = "[{severity}] {title}\n{detail}"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def fields_of(notice: Notice) -> dict[str, Any]:
    """What an alert says, as JSON has it: its own fields, and where and when it was published.

    `log` is the channel that the alert stands in; `channel` is what it is about, where a rule says.
    """
    fields: dict[str, Any] = msgspec.json.decode(encode(notice.alert))
    return {**fields, "id": notice.id, "log": notice.channel, "at": said_at(notice)}


def text_of(template: str, notice: Notice, escape: Callable[[str], str] = str) -> str:
    """A template with what it refers to in its place: `{title}`, `{severity}`, `{channel}`.

    escape: what becomes of the text of a field, but not of the template's own.
    """
    fields = {
        name: escape(value) if isinstance(value, str) else value
        for name, value in fields_of(notice).items()
    }
    return str(fill(template, fields) or "").strip()


def said_at(notice: Notice) -> str:
    """When it was published, in UTC."""
    return f"{_EPOCH + timedelta(microseconds=notice.at_us):%Y-%m-%dT%H:%M:%SZ}"
