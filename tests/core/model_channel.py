"""A channel as a broker keeps it, in plain lists and dicts, and the accidents that befall it."""

from __future__ import annotations

import json
from typing import Any

from hub.protocol.envelope import Envelope, encode_envelope
from hub.protocol.position import Position
from hub.protocol.reading import ChannelReading
from hub.protocol.streams import Kind

NOT_FOR_SCREENS = (b'"NaN"', b'{"pnl":"-Infinity"}')
"""Data that is JSON and must not be shown."""
NO_DATA = (b"\xff", b"[1,", b'{"upsert":[]}')
"""Bytes that are no data of any table; the first two are no JSON either."""

NAMES = {Kind.VALUE: "portfolio", Kind.TABLE: "positions", Kind.LOG: "decisions"}


class ModelChannel:
    """One channel. `history` is all of its present epoch; the stream has forgotten the first
    `trimmed` of it. `visible` is what subscribers must see."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.name = NAMES[kind]
        self.history: list[Envelope] = []
        self.trimmed = 0
        self.lease_ms = 0
        self.lease_left_ms: int | None = None
        self._epochs = 0
        self._published = 0
        self._named = False
        # The state after each number of entries: a value's data in "", a table's rows by key.
        self._states: list[dict[str, bytes]] = [{}]

    @property
    def start(self) -> Position:
        """Where the present epoch begins."""
        return Position(f"epoch-{self._epochs}", 0, "")

    @property
    def head(self) -> Position | None:
        """Where the channel stands; None where nothing was published."""
        if self.history:
            return self.history[-1].position
        return self.start if self._named else None

    # What producers do

    def put(self, data: bytes) -> Envelope:
        """Set the value, or append an entry to the log."""
        return self._publish(data, {"": data} if self.kind is Kind.VALUE else {})

    def patch(self, upsert: dict[str, bytes], delete: tuple[str, ...] = ()) -> Envelope:
        """Change rows of the table."""
        rows = {**self._states[-1], **upsert}
        for key in delete:
            rows.pop(key, None)
        members = b",".join(b"%b:%b" % (json.dumps(k).encode(), row) for k, row in upsert.items())
        deleted = json.dumps(list(delete)).encode()
        return self._publish(b'{"upsert":{%b},"delete":%b}' % (members, deleted), rows)

    def forge(self, data: bytes) -> Envelope:
        """Write an entry by hand, well chained, that no script would: the state stays."""
        return self._publish(data, self._states[-1])

    def touch(self) -> None:
        """Renew the lease of a channel: the first publish of all may be one."""
        self._named = True

    def _publish(self, data: bytes, state: dict[str, bytes]) -> Envelope:
        self._named = True
        # No two publishes are equal, so that a fork shows.
        self._published = n = self._published + 1
        prev = self.head or self.start
        entry = encode_envelope(self.name, f"event_{n}", prev, 1_000 + n, data)
        self.history.append(entry)
        self._states.append(state)
        return entry

    # What happens to brokers

    def lose(self) -> None:
        """Lose everything; the next publish begins a new epoch."""
        self.history, self._states = [], [{}]
        self.trimmed = 0
        self._named = False
        self._epochs += 1

    def roll_back(self, count: int) -> None:
        """Lose the newest entries and keep the epoch, as after an asynchronous failover."""
        kept = max(0, len(self.history) - count)
        self.history, self._states = self.history[:kept], self._states[: kept + 1]
        self.trimmed = min(self.trimmed, kept)

    def trim(self, keep: int) -> None:
        """Let the stream keep its newest entries alone."""
        self.trimmed = max(self.trimmed, len(self.history) - keep)

    # What hubs ask

    def read(self, since: int | None, limit: int = 1_000, *, state: bool = True) -> ChannelReading:
        """The channel at this moment, as `Broker.read` gives it."""
        if self.head is None:
            return ChannelReading.empty(self.name)
        stream = self.history[self.trimmed :]
        if since is None:
            entries = stream[len(stream) - limit :] if len(stream) > limit else stream
        else:
            entries = [entry for entry in stream if entry.seq > since][:limit]
        newest = self._states[-1] if state else {}
        return ChannelReading(
            self.name,
            self.head,
            self.kind,
            value=newest.get("") if self.kind is Kind.VALUE else None,
            rows=dict(newest) if self.kind is Kind.TABLE else {},
            entries=tuple(entries),
            lease_ms=self.lease_ms,
            lease_left_ms=self.lease_left_ms,
        )

    # What tests ask

    def holds(self, position: Position) -> bool:
        """Whether the present history passes through a position."""
        return position in (self.start, Position("", 0, "")) or position in [
            entry.position for entry in self.history
        ]

    @property
    def visible(self) -> Any:
        """The value; the rows by key; or all entries as (seq, event, data)."""
        if self.kind is Kind.LOG:
            return [(entry.seq, entry.event, shown(entry.data)) for entry in self.history]
        state = self._states[-1]
        if self.kind is Kind.VALUE:
            return shown(state.get("", b"null"))
        return {key: json.loads(row) for key, row in state.items() if row not in NOT_FOR_SCREENS}


def shown(data: bytes) -> Any:
    """What a screen shows of a value or an entry."""
    return None if data in NOT_FOR_SCREENS + NO_DATA[:2] else json.loads(data)
