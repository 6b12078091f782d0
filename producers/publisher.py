"""What a producer writes with.

    async with Publisher("redis://127.0.0.1:6379/0", name="desk-7") as publisher:
        await publisher.portfolio(portfolio)
        await publisher.positions(positions)
        await publisher.decision(decision)
        await publisher.publish("fills:desk-7", "fill", {"price": Decimal("87305.5")})

Each call waits for the publish's position. Calls from many tasks share round trips, so call them
at once where the order between channels does not matter; within a channel, publishes keep the
order of the calls. A value or table that was not sent yet when a newer one comes, because Redis is
away or busy, is answered with `Superseded`. How many calls may wait is bounded by the buffer (see
`buffer`). Cancelling a call does not take its publish back.
"""

from __future__ import annotations

import asyncio
import math
import re
import secrets
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from types import TracebackType
from typing import Final, Self

import msgspec
from redis.exceptions import RedisError

from hub.protocol.channels import check_channel, check_event
from hub.protocol.errors import ProtocolError
from hub.protocol.payload import is_sound
from hub.protocol.publication import AppendEntry, Change, ReplaceRows, Touch, change_from_json
from hub.protocol.streams import KNOWN, Stream, stream_options
from producers.buffer import Buffer, MemoryBuffer, Waiting
from producers.commands import Commands
from producers.encoding import encode
from producers.errors import InvalidPayload, PublishRefused, RedisAway
from producers.events import (
    AgentStatus,
    Alert,
    Decision,
    Event,
    Health,
    Portfolio,
    TradingPosition,
)
from producers.position_events import position_events
from producers.sender import Answer, Sender, Superseded, Ticket, Timing

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_EVENT_OF_STATE: Final = {
    Portfolio: Event.PORTFOLIO_UPDATE,
    AgentStatus: Event.STATUS,
    Health: Event.HEALTH,
}


class Publisher:
    """An asynchronous context manager; leaving it waits a while for what has no answer yet.

    url: of Redis or Valkey, as redis-py takes it.
    name: who publishes, for people; every Publisher is another producer to Redis.
    streams: the streams' options, where they differ from the known ones.
    buffer: what holds publishes that wait; in memory by default.

    `lease`, where a call takes it, is in seconds: the channel is stale when so long has passed
    without a publish or a `touch`. None leaves the channel's lease as it is.

    Raises, from every call that publishes: InvalidPayload for what JSON can't carry truthfully,
    PublishRefused for what breaks a rule of the protocol, BufferFull and PublisherClosed.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str = "producer",
        streams: Mapping[str, Stream] = KNOWN,
        buffer: Buffer[Ticket] | None = None,
        timing: Timing | None = None,
    ) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"name: expected letters, digits, '_', '.', '-', got {name!r}")
        self._url = url
        self._name = name
        self._streams = streams
        self._sender = Sender(
            url,
            # Another incarnation counts from 1 again, so it must be another producer.
            producer=f"{name}-{secrets.token_hex(4)}",
            buffer=MemoryBuffer() if buffer is None else buffer,
            timing=timing or Timing(),
        )
        self._rows: dict[str, dict[str, bytes] | None] = {}
        self._recalling = asyncio.Lock()

    @property
    def counts(self) -> Counter[str]:
        """Publishes by what became of them: stored, unchanged, superseded, refused, given_up."""
        return self._sender.counts

    @property
    def is_away(self) -> bool:
        """Whether Redis was out of reach just now."""
        return self._sender.is_away

    async def __aenter__(self) -> Self:
        await self._sender.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._sender.__aexit__(kind, error, traceback)

    async def ping(self) -> None:
        """Return when Redis answers; raises RedisAway where it does not just now."""
        try:
            await self._sender.ping()
        except (RedisError, OSError) as error:
            raise RedisAway(f"Redis does not answer: {error}") from error

    async def publish(
        self,
        channel: str,
        event: str,
        data: object,
        *,
        key: str = "",
        lease: float | None = None,
    ) -> Answer:
        """Publish any event: `data` is a payload, or anything JSON can carry.

        A table takes `{"rows": {...}}` for all of it, `{"upsert": {...}, "delete": [...]}` for a
        part. In a log, an entry with a `key` is published once for each content.
        """
        change = self._change(channel, data)
        if isinstance(change, AppendEntry):
            change = msgspec.structs.replace(change, key=_require_text("key", key))
        elif key:
            raise PublishRefused(channel, "expected a log, the only kind whose entries have keys")
        return await self._submit(channel, event, change, lease)

    async def touch(self, channel: str, *, lease: float | None = None) -> Answer:
        """Renew the channel's lease: nothing is new, and the producer is alive."""
        return await self._submit(channel, "touch", Touch(), lease)

    async def portfolio(
        self, portfolio: Portfolio, *, channel: str = "portfolio", lease: float | None = None
    ) -> Answer:
        """Publish the account as it is now."""
        _require(Portfolio, portfolio)
        return await self.state(channel, portfolio, lease=lease)

    async def status(
        self, status: AgentStatus, *, channel: str = "status", lease: float | None = None
    ) -> Answer:
        """Publish where the agent is now."""
        _require(AgentStatus, status)
        return await self.state(channel, status, lease=lease)

    async def health(
        self, health: Health, *, channel: str = "health", lease: float | None = None
    ) -> Answer:
        """Publish how the producer's parts are now."""
        _require(Health, health)
        return await self.state(channel, health, lease=lease)

    async def state(
        self,
        channel: str,
        payload: Portfolio | AgentStatus | Health,
        *,
        lease: float | None = None,
    ) -> Answer:
        """Publish the one current value of a channel, under the event of its type."""
        _require(tuple(_EVENT_OF_STATE), payload)
        return await self.publish(channel, _EVENT_OF_STATE[type(payload)], payload, lease=lease)

    async def decision(
        self, decision: Decision, *, channel: str = "decisions", lease: float | None = None
    ) -> Answer:
        """Publish a decision once, however often it is handed over, also after a restart.

        One that differs from what was published under its id is an update of it.
        """
        _require(Decision, decision)
        change = self._change(channel, decision)
        if not isinstance(change, AppendEntry):
            raise PublishRefused(channel, "expected a log for decisions")
        once = msgspec.structs.replace(
            change, key=decision.id, changed_event=Event.DECISION_UPDATED.value
        )
        return await self._submit(channel, Event.DECISION_MADE, once, lease)

    async def alert(self, alert: Alert, *, channel: str = "alerts", key: str = "") -> Answer:
        """Publish something a person should look at; with a `key`, once."""
        _require(Alert, alert)
        return await self.publish(channel, Event.ALERT, alert, key=key)

    async def agent_event(
        self, event: str, payload: object, *, channel: str = "agent", key: str = ""
    ) -> Answer:
        """Publish what an agent did; with a `key`, once."""
        return await self.publish(channel, event, payload, key=key)

    async def positions(
        self,
        positions: Iterable[TradingPosition],
        *,
        channel: str = "positions",
        lease: float | None = None,
    ) -> Answer:
        """Publish all positions that are open: rows that changed travel, missing ones are closed.

        Then the log `agent` (`agent:KEY` for `positions:KEY`) is told which were opened, closed,
        and updated by more than the market's marks, each once. A list that was superseded opened
        and closed nothing; the one that took its place did. The table and the log are two
        publishes: a producer that dies between them leaves the log without these events.
        """
        rows: dict[str, TradingPosition] = {}
        for position in positions:
            _require(TradingPosition, position)
            if rows.setdefault(position.id, position) is not position:
                raise InvalidPayload("positions", "each id once", position.id)
        change = self._change(channel, {"rows": rows})
        if not isinstance(change, ReplaceRows):
            raise PublishRefused(channel, "expected a table for positions")
        # The first call asks Redis what was published before. Every other one queues here too: one
        # that went past those that wait for the answer would be overtaken by their older lists.
        async with self._recalling:
            if channel not in self._rows:
                self._rows[channel] = await self._recall(channel)
        answer = await self._submit(channel, Event.POSITIONS_UPDATE, change, lease)
        if isinstance(answer, Superseded):
            return answer
        before, self._rows[channel] = self._rows[channel], change.rows
        if before is None:
            before = {key: change.rows[key] for key in change.rows.keys() - answer.inserted}
        agent = ":".join(["agent", *channel.split(":")[1:]])
        once = f"{channel}:{answer.position.epoch}:{answer.position.seq}"
        await asyncio.gather(
            *(
                self.agent_event(event, row, channel=agent, key=f"{once}:{position_id}")
                for event, position_id, row in position_events(before, change.rows)
            )
        )
        return answer

    def commands(
        self, *, agent: str | None = None, idempotent: Collection[str] = (), accept: bool = True
    ) -> Commands:
        """The commands to an agent, on a link of their own: see `producers.commands`."""
        return Commands(
            self._url,
            agent=agent,
            name=self._name,
            idempotent=idempotent,
            accept=accept,
            streams=self._streams,
        )

    async def _recall(self, channel: str) -> dict[str, bytes] | None:
        try:
            rows = await self._sender.read_rows(channel)
            return {key: row for key, row in rows.items() if is_sound(row)}
        except (RedisError, OSError):
            # Its answer to the publish will tell what was opened. What was closed and updated
            # meanwhile is in the table, and not told in the log.
            return None

    def _change(self, channel: str, data: object) -> Change:
        try:
            return change_from_json(self._stream(channel).kind, encode(data))
        except ProtocolError as error:
            raise PublishRefused(channel, error.message) from error

    def _submit(self, channel: str, event: str, change: Change, lease: float | None) -> Ticket:
        # Checked here in full: what is in a round must not fail but by Redis's answer.
        stream = self._stream(channel)
        try:
            check_event(event)
        except ProtocolError as error:
            raise PublishRefused(channel, error.message) from error
        if lease is not None and not 0 <= lease < math.inf:
            raise ValueError(f"lease: expected seconds, got {lease}")
        lease_ms = math.ceil(1000 * (lease or 0))
        waiting = Waiting[Ticket](channel, stream.kind, str(event), change, lease_ms)
        return self._sender.submit(waiting, stream)

    def _stream(self, channel: str) -> Stream:
        try:
            check_channel(channel)
        except ProtocolError as error:
            raise PublishRefused(channel, error.message) from error
        return stream_options(channel, self._streams)


def _require_text(where: str, text: str) -> str:
    """Refuse what is no text: Redis would not be asked, and everybody's publishes fail with it."""
    try:
        if isinstance(text, str):
            text.encode()
            return text
    except UnicodeEncodeError:
        pass
    raise InvalidPayload(where, "valid Unicode text", text)


def _require(expected: type | tuple[type, ...], payload: object) -> None:
    """Refuse a payload that is not of the type that the event's name promises."""
    if not isinstance(payload, expected):
        types = expected if isinstance(expected, tuple) else (expected,)
        names = " or ".join(each.__name__ for each in types)
        raise InvalidPayload("payload", f"a payload of type {names}", payload)
