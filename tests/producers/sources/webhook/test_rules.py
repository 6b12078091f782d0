"""producers/sources/webhook/rules.py: what becomes of a post."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from producers.events import Action, Alert, Event, Severity
from producers.sources.base import Decided, Happened, Reading, Relayed
from producers.sources.webhook.rules import (
    MAX_TITLE,
    BadPost,
    fill,
    read_body,
    read_hooks,
    reading_of,
)


def make(body: bytes, *rules: dict[str, Any]) -> Reading | None:
    """What these rules make of a body."""
    hooks = read_hooks({"h": {"rules": list(rules)}})
    return reading_of(hooks["h"].rules, read_body(body, 10_000), "h:1")


def test_a_decision() -> None:
    """From the body's own fields, money to the last digit."""
    body = b'{"id": "d-1", "asset_pair": "BTCUSD", "action": "buy", "entry_price": 1.10}'
    reading = make(body, {"to": "decision", "channel": "decisions:desk"})
    assert isinstance(reading, Decided)
    assert reading.channel == "decisions:desk"
    assert reading.decision.id == "d-1"
    assert reading.decision.action is Action.BUY
    assert reading.decision.entry_price == Decimal("1.10")
    assert str(reading.decision.entry_price) == "1.10"


def test_a_decision_of_other_fields() -> None:
    """Templates name what the sender calls otherwise; without an id, the post names it."""
    body = b'{"ticker": "ETHUSD", "order": {"side": "sell"}, "price": "2.50", "note": null}'
    fields = {
        "asset_pair": "{ticker}",
        "action": "{order.side}",
        "entry_price": "{price}",
        "reasoning": "TradingView: {ticker}{note}",
        "confidence": "{nothing}",
    }
    reading = make(body, {"to": "decision", "fields": fields})
    assert isinstance(reading, Decided)
    assert (reading.channel, reading.decision.id) == ("decisions", "h:1")
    assert reading.decision.reasoning == "TradingView: ETHUSD"
    assert reading.decision.confidence is None


@pytest.mark.parametrize(
    ("key", "body", "id"),
    [
        ("{day}_x", '"day": "2025-01-01", "id": "own"', "2025-01-01_x"),
        ("{bar}", '"bar": 0', "0"),
        ("{bar}", '"bar": {"n": 1.10}', '{"n":1.10}'),
        ("{bar}-{none}", '"bar": 5', "h:1"),
        ("{none}", '"bar": 5, "id": "own"', "own"),
    ],
)
def test_what_names_a_decision(key: str, body: str, id: str) -> None:
    """The rule's key, as it is spelled; where the body lacks a part of it, its id or the post's.

    A day was taken off its front, and a lack spelled as nothing, so that others had the same."""
    content = f'{{"asset_pair": "A", "action": "BUY", {body}}}'.encode()
    reading = make(content, {"to": "decision", "key": key})
    assert isinstance(reading, Decided)
    assert reading.decision.id == id


def test_a_byte_order_mark() -> None:
    """It is no part of the body: what followed it was taken for a text, and no rule fitted."""
    reading = make(b'\xef\xbb\xbf{"title": "t"}', {"to": "alert", "when": {"title": "t"}})
    assert isinstance(reading, Happened)


def test_a_text_with_a_pattern() -> None:
    """An alert that is text gives up its parts; one that does not fit goes to the next rule."""
    decision = {
        "to": "decision",
        "pattern": r"(?P<action>BUY|SELL) (?P<asset_pair>\S+) @ (?P<entry_price>[\d.]+)",
    }
    reading = make(b"BUY BTCUSD @ 100.50", decision, {"to": "alert"})
    assert isinstance(reading, Decided)
    assert reading.decision.entry_price == Decimal("100.50")
    reading = make(b"RSI is high", decision, {"to": "alert"})
    assert isinstance(reading, Happened)
    assert reading.payload == Alert(severity=Severity.WARNING, title="RSI is high")


def test_an_alert() -> None:
    """Severity, title and detail; an unknown severity is a warning, a long text a detail."""
    body = b'{"title": "drawdown", "severity": "Critical", "detail": {"pct": 5}}'
    reading = make(body, {"to": "alert", "key": "{title}"})
    assert reading == Happened(
        "alerts",
        Event.ALERT,
        Alert(severity=Severity.CRITICAL, title="drawdown", detail='{"pct":5}'),
        key="drawdown",
    )
    reading = make(b'{"title": "x", "severity": "high"}', {"to": "alert"})
    assert isinstance(reading, Happened)
    assert reading.payload == Alert(severity=Severity.WARNING, title="x")
    text = "long " * 100
    reading = make(text.encode(), {"to": "alert"})
    assert isinstance(reading, Happened)
    assert isinstance(reading.payload, Alert)
    assert len(reading.payload.title) == MAX_TITLE + 3
    assert reading.payload.detail == text.strip()


def test_an_event() -> None:
    """The body as it is, or its fields; digits as they were written."""
    rule = {"channel": "fills:desk", "event": "fill", "lease_seconds": 30}
    reading = make(b'{"b": 1.10, "a": [1, {"x": 2}]}', rule)
    assert isinstance(reading, Relayed)
    assert (reading.channel, reading.event, reading.lease) == ("fills:desk", "fill", 30)
    assert bytes(reading.data) == b'{"a":[1,{"x":2}],"b":1.10}'
    reading = make(b'{"b": 1.10, "a": [1, {"x": 2}]}', {**rule, "fields": {"n": "{a.1.x}"}})
    assert isinstance(reading, Relayed)
    assert bytes(reading.data) == b'{"n":2}'


def test_the_first_rule_that_fits() -> None:
    """Where none does, nothing is made."""
    rules: list[dict[str, Any]] = [
        {"channel": "a", "event": "one", "when": {"kind": "x", "n": 1}},
        {"channel": "a", "event": "two", "when": {"kind": "x"}},
        {"channel": "a", "event": "three", "when": {"live": True}},
    ]
    events = []
    for body in (b'{"kind": "x", "n": 1}', b'{"kind": "x"}', b'{"live": true}'):
        reading = make(body, *rules)
        assert isinstance(reading, Relayed)
        events.append(reading.event)
    assert make(b'{"live": 1}', *rules) is make(b'{"kind": "x", "n": true}', rules[0]) is None
    assert events == ["one", "two", "three"]
    assert make(b'{"kind": "y"}', *rules) is None


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{a}", 1),
        ("{b.c}", [True]),
        ("{b.c.0}", True),
        ("{b.c.1}", None),
        ("{b.c.x}", None),
        ("{d.e}", "a name with a dot"),
        ("{a} and {b}", '1 and {"c":[true]}'),
        ("{none}", None),
        ("none: {none}", "none: "),
        ("{not a reference} {}", "{not a reference} {}"),
    ],
)
def test_templates(template: str, value: object) -> None:
    """A single reference keeps its type, others are spelled out."""
    assert fill(template, {"a": 1, "b": {"c": [True]}, "d.e": "a name with a dot"}) == value


@pytest.mark.parametrize(
    ("body", "rule", "why"),
    [
        (b'{"a": ', {"to": "alert"}, "expected JSON"),
        (b'{"a": NaN}', {"to": "alert"}, "expected JSON"),
        (b'{"a": "Infinity"}', {"to": "alert"}, "finite"),
        (b"\xff", {"to": "alert"}, "expected JSON or text"),
        (b"", {"to": "alert"}, "a title"),
        (b'{"action": "BUY"}', {"to": "decision"}, "asset_pair"),
        (b'{"asset_pair": "A", "action": "BUY", "entry_price": "x"}', {"to": "decision"}, "number"),
    ],
)
def test_what_a_rule_can_make_nothing_of(body: bytes, rule: dict[str, Any], why: str) -> None:
    """The sender is told why."""
    with pytest.raises(BadPost, match=why):
        make(body, rule)


@pytest.mark.parametrize(
    ("table", "why"),
    [
        (None, r"\[sources.webhook.hooks.NAME\]"),
        ({}, "got none"),
        ({"A": {}}, "hooks.A: expected a channel name"),
        ({"a:b": {}}, "without ':'"),
        ({"h": {}}, "hooks.h: .*rules"),
        ({"h": {"rules": []}}, "hooks.h: .*length"),
        ({"h": {"rules": [{"to": "alert"}], "auth": "none"}}, "hooks.h: .*auth"),
        ({"h": {"rules": [{"to": "alert", "chanel": "a"}]}}, "chanel"),
        ({"h": {"rules": [{"channel": "c", "event": "e", "lease_seconds": 1e300}]}}, "lease"),
        ({"h": {"rules": [{"channel": "commands:x", "event": "e"}]}}, "sent through a hub"),
        ({"h": {"rules": [{"event": "e"}]}}, "expected a channel name"),
        ({"h": {"rules": [{"channel": "c"}]}}, "expected an event name"),
        ({"h": {"rules": [{"to": "alert", "pattern": "("}]}}, "unterminated"),
        ({"h": {"rules": [{"to": "alert", "event": "e"}]}}, "of rules with to = 'event'"),
    ],
)
def test_rules_that_are_wrong(table: Any, why: str) -> None:
    """They are refused at the start, saying where."""
    with pytest.raises(ValueError, match=why):
        read_hooks(table)
