"""What the hub says to a client: the bytes of each text frame.

An update that was not conflated is no business of this module: it is the envelope's own bytes.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping

import msgspec

from hub.protocol.agent_commands import CommandReceipt
from hub.protocol.codes import Code
from hub.protocol.envelope import Envelope, Foreign
from hub.protocol.position import Position
from hub.protocol.streams import Kind

SUBPROTOCOL = "tapecast.v1"
TOKEN_SUBPROTOCOL_PREFIX = "bearer."

_encode = msgspec.json.encode


class ChannelState(enum.StrEnum):
    """What the hub knows of a channel's producer."""

    LIVE = "live"
    STALE = "stale"
    """The producer missed its deadline; the numbers on the screen are old."""
    RESET = "reset"
    """The history was lost or forked; a snapshot of the new one follows."""


def welcome(session: str, heartbeat_ms: int, version: str) -> bytes:
    """The first frame on every connection that may go on."""
    return _encode(
        {"type": "welcome", "session": session, "heartbeat_ms": heartbeat_ms, "version": version}
    )


def subscribed(
    id: int,
    channel: str,
    position: Position,
    *,
    kind: Kind,
    stale: bool,
    recovered: bool,
    interval_ms: int,
) -> bytes:
    """The reply to a subscribe: before anything else of that channel.

    stale: a client that returns may have last heard otherwise, and is told of changes alone.
    """
    return _encode(
        {
            "id": id,
            "result": {
                "channel": channel,
                "epoch": position.epoch,
                "seq": position.seq,
                "tag": position.tag,
                "kind": kind,
                "stale": stale,
                "recovered": recovered,
                "interval_ms": interval_ms,
            },
        }
    )


def result(id: int, fields: Mapping[str, object]) -> bytes:
    """The reply to any other command that was carried out."""
    return _encode({"id": id, "result": fields})


def published(id: int, channel: str, position: Position, *, unchanged: bool) -> bytes:
    """The reply to a publish."""
    return result(
        id,
        {
            "channel": channel,
            "epoch": position.epoch,
            "seq": position.seq,
            "tag": position.tag,
            "unchanged": unchanged,
        },
    )


def commanded(id: int, channel: str, receipt: CommandReceipt) -> bytes:
    """The reply to a publish that sent a command: where it stands, and where in its life it is."""
    at = receipt.position
    return result(
        id,
        {
            "channel": channel,
            "epoch": at.epoch,
            "seq": at.seq,
            "tag": at.tag,
            "unchanged": False,
            "command": {
                "id": receipt.id,
                "state": receipt.state,
                "expires_at": receipt.expires_at,
            },
        },
    )


def error(id: int | None, code: Code, message: str) -> bytes:
    """The reply to a command that was not carried out; the connection stays open."""
    return _encode(
        {
            "id": id,
            "error": {"code": code.number, "message": message, "retry": code.reconnect},
        }
    )


def snapshot(channel: str, position: Position, ts: int, data: bytes) -> bytes:
    """The whole state at a position."""
    return b'%b,"ts":%d,"data":%b}' % (_head(channel, "snapshot", position), ts, data)


def snapshot_rows(rows: Mapping[str, bytes]) -> bytes:
    """The data of a table's snapshot."""
    return b'{"rows":%b}' % _members(rows)


def snapshot_entries(entries: Iterable[Envelope]) -> bytes:
    """The data of a log's snapshot."""
    parts = (
        b'{"seq":%d,"event":"%b","ts":%d,"data":%b}'
        % (entry.seq, entry.event.encode(), entry.ts, entry.data)
        for entry in entries
    )
    return b'{"entries":[%b]}' % b",".join(parts)


def update_rows(upsert: Mapping[str, bytes], delete: Iterable[str]) -> bytes:
    """The data of a table's update."""
    return b'{"upsert":%b,"delete":%b}' % (_members(upsert), _encode(list(delete)))


def conflated(
    channel: str, event: str, position: Position, ts: int, data: bytes, prev: int
) -> bytes:
    """An update that stands for all after seq `prev`; `skipped` counts the ones left out."""
    return b'%b,"event":"%b","ts":%d,"prev":%d,"skipped":%d,"data":%b}' % (
        _head(channel, "update", position),
        event.encode(),
        ts,
        prev,
        position.seq - prev - 1,
        data,
    )


def foreign(channel: str, message: Foreign, ts: int) -> bytes:
    """A bare PUBLISH: live only, without a position."""
    return b'{"channel":"%b","type":"update","event":"%b","ts":%d,"data":%b}' % (
        channel.encode(),
        message.event.encode(),
        ts,
        message.data,
    )


def heartbeat(ts: int, heads: Mapping[str, int]) -> bytes:
    """Shows that the hub lives, and where each channel of this connection stands."""
    return _encode({"type": "heartbeat", "ts": ts, "heads": heads})


def channel_state(channel: str, state: ChannelState, since: int) -> bytes:
    """A channel became live or stale at `since` (microseconds)."""
    return _encode({"type": "channel", "channel": channel, "state": state, "since": since})


def channel_reset(channel: str, since: int, kind: Kind) -> bytes:
    """A channel began a new history at `since`, which may be of another kind."""
    state = ChannelState.RESET
    return _encode(
        {"type": "channel", "channel": channel, "state": state, "since": since, "kind": kind}
    )


def shutdown_notice(in_ms: int, spread_ms: int) -> bytes:
    """The hub ends within `in_ms`; connections are closed one after another over `spread_ms`."""
    return _encode({"type": "notice", "code": "shutdown", "in_ms": in_ms, "spread_ms": spread_ms})


def _head(channel: str, type: str, position: Position) -> bytes:
    return b'{"channel":"%b","type":"%b","epoch":"%b","seq":%d,"tag":"%b"' % (
        channel.encode(),
        type.encode(),
        position.epoch.encode(),
        position.seq,
        position.tag.encode(),
    )


def _members(rows: Mapping[str, bytes]) -> bytes:
    return b"{%b}" % b",".join(b"%b:%b" % (_encode(key), row) for key, row in rows.items())
