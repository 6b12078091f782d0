"""What a hub says to a client, as types: what other languages' types are generated from.

The hub builds its frames as bytes, in `frames`; the golden texts in tests/vectors hold both to the
same shape. Times are microseconds since the epoch (UTC), but for `AuthResult.expires_at`.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from hub.protocol.agent_commands import CommandState
from hub.protocol.frames import ChannelState
from hub.protocol.streams import Kind


class Welcome(msgspec.Struct, tag_field="type", tag="welcome"):
    """The first frame on a connection, sent before the hub has looked at the token."""

    session: str
    heartbeat_ms: int
    version: str


class Snapshot(msgspec.Struct, tag_field="type", tag="snapshot"):
    """The whole state at a position: the value, `Rows` or `Entries`."""

    channel: str
    epoch: str
    seq: int
    tag: str
    ts: int
    data: Any


class Update(msgspec.Struct, tag_field="type", tag="update"):
    """One change, or with `prev` one that stands for all after it: the value, `Changes` or the
    entry's data. Without `seq` it is a foreign publish, live only."""

    channel: str
    event: str
    ts: int
    data: Any
    epoch: str | UnsetType = UNSET
    seq: int | UnsetType = UNSET
    tag: str | UnsetType = UNSET
    prev: int | UnsetType = UNSET
    skipped: int | UnsetType = UNSET


class Channel(msgspec.Struct, tag_field="type", tag="channel"):
    """What became of a channel's producer, or of its history, at `since`; a history that begins
    anew says its `kind`."""

    channel: str
    state: ChannelState
    since: int
    kind: Kind | UnsetType = UNSET


class Heartbeat(msgspec.Struct, tag_field="type", tag="heartbeat"):
    """The hub lives; `heads` says by channel up to which seq its client should have been served."""

    ts: int
    heads: dict[str, int]


class Notice(msgspec.Struct, tag_field="type", tag="notice"):
    """Something about the hub itself; `code` is `shutdown`."""

    code: str
    in_ms: int
    spread_ms: int


class Failure(msgspec.Struct):
    """Why a command was not carried out, and whether it may succeed later."""

    code: int
    message: str
    retry: bool


class Reply(msgspec.Struct):
    """The answer to the command with this id, a result or an error; an error without an id
    answers a text that was no command."""

    id: int | None
    result: Any | UnsetType = UNSET
    error: Failure | UnsetType = UNSET


class AuthResult(msgspec.Struct):
    """Whom the token names, and when it ends in seconds since the epoch, null for never."""

    subject: str
    expires_at: float | None


class SubscribeResult(msgspec.Struct):
    """Where the channel stands, what it carries, and whether what was missed follows."""

    channel: str
    epoch: str
    seq: int
    tag: str
    kind: Kind
    stale: bool
    recovered: bool
    interval_ms: int


class SentCommand(msgspec.Struct):
    """A command that was sent: its steps carry the id, and follow its position."""

    id: str
    state: CommandState
    expires_at: int


class PublishResult(msgspec.Struct):
    """Where the publish stands; unchanged, it is that of what it equals. Of a command, where it
    is."""

    channel: str
    epoch: str
    seq: int
    tag: str
    unchanged: bool
    command: SentCommand | UnsetType = UNSET


class Rows(msgspec.Struct):
    """The data of a table's snapshot."""

    rows: dict[str, Any]


class Changes(msgspec.Struct):
    """The data of a table's update."""

    upsert: dict[str, Any]
    delete: list[str]


class Entry(msgspec.Struct):
    """One entry of a log."""

    seq: int
    event: str
    ts: int
    data: Any


class Entries(msgspec.Struct):
    """The data of a log's snapshot, oldest first."""

    entries: list[Entry]


class AgentCommand(msgspec.Struct):
    """The data of a command in the log of its channel; the event says what to do, `ts` when it was
    sent."""

    id: str
    sender: str
    expires_at: int
    data: dict[str, Any]


class CommandStep(msgspec.Struct):
    """The data of a step in the life of a command, whose event was `event`. Done it has a `result`,
    failed a `reason`; the worker is null where none had it."""

    id: str
    event: str
    sender: str
    attempt: int
    worker: str | None
    result: Any | UnsetType = UNSET
    reason: str | UnsetType = UNSET


Pushed: TypeAlias = Welcome | Snapshot | Update | Channel | Heartbeat | Notice
"""The frames that the hub sends unasked, told apart by `type`; a `Reply` has none."""
