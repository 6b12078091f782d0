"""What becomes of a post: the rules of the TOML file, and what they make of a body.

The first rule of a hook whose `when` fits a body makes a reading of it; where none fits, nothing
is published. A body is the object that its JSON is; any other, a text too, is `{"text": ...}`, with
the named groups of `pattern` beside it where the rule has one.

A template is text with references to the body in it: `"{strategy.order.action}"`. One that is a
single reference is what it refers to, number or object; among other text, a reference is spelled
out. What a body does not have is left out.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from hub.protocol.agent_commands import check_publishable
from hub.protocol.channels import check_channel, check_event
from hub.protocol.errors import PayloadError, ProtocolError
from hub.protocol.payload import parse
from hub.protocol.streams import Kind, Stream, stream_options
from producers.errors import BrokenFile, InvalidPayload
from producers.events import Alert, Event, Severity
from producers.sources.base import MAX_LEASE_SECONDS, Decided, Happened, Reading, Relayed
from producers.sources.decision_store.parsing import read_decision
from producers.sources.paths import look_up

_REFERENCE: Final = re.compile(r"\{([A-Za-z0-9_][A-Za-z0-9_.-]*)\}")
_DEFAULT_CHANNELS: Final = {"decision": "decisions", "alert": "alerts"}
MAX_TITLE: Final = 200
MAX_KEY: Final = 200

Body: TypeAlias = Mapping[str, Any]
_encode = msgspec.json.Encoder(order="sorted", decimal_format="number").encode


class BadPost(Exception):
    """A body that its rule can make nothing of; the text is safe to tell."""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to make of a body.

    to: a decision, an alert, or an event with any data.
    channel: where to; an event's has no default.
    event: the name of an event.
    when: references and what each has to be.
    pattern: a regular expression for a body that is text, whose named groups become fields.
    fields: the fields by name, as templates; without them, the body as it is.
    key: a template of what names the thing, so that it is published once; the post's own id does
        where there is no key, or the body lacks a part of it.
    lease_seconds: an event's channel is stale so long after it, unless another comes.
    """

    to: Literal["decision", "alert", "event"] = "event"
    channel: str = ""
    event: str = ""
    when: dict[str, str | int | bool] = {}
    pattern: str = ""
    fields: dict[str, str] = {}
    key: str = ""
    lease_seconds: Annotated[float, Meta(gt=0, le=MAX_LEASE_SECONDS)] | None = None

    def __post_init__(self) -> None:
        try:
            check_publishable(self.target)
            if self.to == "event":
                check_event(self.event)
            re.compile(self.pattern)
        except (ProtocolError, re.error) as error:
            raise ValueError(str(error)) from None
        if self.to != "event" and (self.event or self.lease_seconds):
            raise ValueError("event and lease_seconds are of rules with to = 'event'")

    @property
    def target(self) -> str:
        """The channel that it publishes to."""
        return self.channel or _DEFAULT_CHANNELS.get(self.to, "")


class Hook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One path that is posted to.

    auth: signed, see `signing`; or shared: a secret in the path, or in the body as `secret`.
    secret: the variable that holds the secret.
    window_seconds: how far a signed post's time may be from now.
    repeat_seconds: a shared post that has no id of its own is the same as an equal one before it
        within that time.
    """

    rules: Annotated[list[Rule], Meta(min_length=1)]
    auth: Literal["signed", "shared"] = "signed"
    secret: str = "WEBHOOK_SECRET"
    window_seconds: Annotated[float, Meta(gt=0, le=86_400)] = 300.0
    repeat_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 60.0


def read_hooks(table: Any) -> dict[str, Hook]:
    """The hooks of the file, by the name that is in their path; raises ValueError."""
    hooks: dict[str, Hook] = {}
    for name, given in (table if isinstance(table, dict) else {}).items():
        try:
            if ":" in check_channel(name):
                raise ValueError("expected a name without ':'")
            hooks[name] = msgspec.convert(given, Hook)
        except (ValueError, ProtocolError) as error:
            raise ValueError(f"hooks.{name}: {error}") from None
    if not hooks:
        raise ValueError("expected a table [sources.webhook.hooks.NAME] for each path, got none")
    return hooks


def check_kinds(hooks: Mapping[str, Hook], streams: Mapping[str, Stream]) -> None:
    """Refuse decisions and alerts for what is no log; raises ValueError."""
    for name, hook in hooks.items():
        for rule in hook.rules:
            kind = stream_options(rule.target, streams).kind
            if rule.to != "event" and kind is not Kind.LOG:
                raise ValueError(f"hooks.{name}: expected a log, and {rule.target} is a {kind}")


def read_body(content: bytes, max_bytes: int) -> dict[str, Any]:
    """A body as its rules see it; raises BadPost."""
    # Some programs begin a text in UTF-8 with it.
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        value = parse(content, max_bytes=max_bytes)
    except PayloadError as error:
        if content.lstrip()[:1] in (b"{", b"["):
            raise BadPost(error.message) from None
        try:
            value = content.decode().strip()
        except UnicodeDecodeError:
            raise BadPost("expected JSON or text in UTF-8") from None
    return value if isinstance(value, dict) else {"text": value}


def reading_of(rules: list[Rule], body: Body, key: str) -> Reading | None:
    """What the first rule that fits makes of a body, None where none does; raises BadPost.

    key: what names the post, for a rule that has no `key` of its own.
    """
    for rule in rules:
        seen = _with_groups(rule, body)
        if seen is not None and all(
            _is(look_up(seen, path), expected) for path, expected in rule.when.items()
        ):
            try:
                return _make(rule, seen, _named(rule, seen), key)
            except (InvalidPayload, BrokenFile) as error:
                raise BadPost(getattr(error, "why", str(error))) from None
    return None


def fill(template: str, body: Body) -> Any:
    """A template with what it refers to in its place; None where a single reference finds none."""
    whole = _REFERENCE.fullmatch(template)
    if whole is not None:
        return look_up(body, whole[1])
    return _REFERENCE.sub(lambda found: _spelled(look_up(body, found[1])), template)


def _is(value: Any, expected: str | int | bool) -> bool:
    # True equals 1 in Python, and not in JSON.
    return bool(value == expected) and isinstance(value, bool) is isinstance(expected, bool)


def _named(rule: Rule, body: Body) -> str:
    """What the rule's key makes of a body; nothing, where that lacks a part of it."""
    if any(look_up(body, path) is None for path in _REFERENCE.findall(rule.key)):
        return ""
    return _spelled(fill(rule.key, body))[:MAX_KEY]


def _make(rule: Rule, body: Body, named: str, otherwise: str) -> Reading:
    key = named or otherwise
    fields: Body = body
    if rule.fields:
        filled = {name: fill(template, body) for name, template in rule.fields.items()}
        fields = {name: value for name, value in filled.items() if value is not None}
    match rule.to:
        case "decision":
            if named:
                fields = {**fields, "id": named}
            return Decided(rule.target, read_decision(key, fields, otherwise=key))
        case "alert":
            return Happened(rule.target, Event.ALERT, _alert(fields), key=key)
        case "event":
            data = msgspec.Raw(_encode(fields))
            return Relayed(rule.target, rule.event, data, key=key, lease=rule.lease_seconds)


def _alert(fields: Body) -> Alert:
    severity = str(fields.get("severity") or Severity.WARNING).lower()
    title = _spelled(fields.get("title") or fields.get("text"))
    if not title:
        raise InvalidPayload("alert", "a title", None)
    detail = fields.get("detail")
    if detail is None and len(title) > MAX_TITLE:
        title, detail = f"{title[:MAX_TITLE]}...", title
    return Alert(
        severity=Severity(severity) if severity in list(Severity) else Severity.WARNING,
        title=title,
        detail=None if detail is None else _spelled(detail),
    )


def _with_groups(rule: Rule, body: Body) -> Body | None:
    """The body with the groups of the rule's pattern; None where that does not fit."""
    if not rule.pattern:
        return body
    found = re.search(rule.pattern, _spelled(body.get("text")))
    return None if found is None else {**body, **found.groupdict()}


def _spelled(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else _encode(value).decode()
