"""What a producer writes with.

    async with Publisher("redis://127.0.0.1:6379/0", name="desk-7") as publisher:
        await publisher.portfolio(portfolio)
        await publisher.positions(positions)
        await publisher.decision(decision)
        await publisher.publish("fills:desk-7", "fill", {"price": Decimal("87305.5")})

Each call says what became of its publish (see `answers`): its position, at once where Redis is
there, else whether it waits on disk or in memory, or was given up. With `wait=True` a call waits
for the position. Calls from many tasks share round trips, so call them at once where the order
between channels does not matter; within a channel, publishes keep the order of the calls. How much
may wait is bounded by the buffer (see `buffer`). Cancelling a call does not take its publish back.

`producers.sync` has the same for programs that are not asynchronous.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypedDict, Unpack

import msgspec
from redis.exceptions import RedisError

from hub.protocol.payload import is_sound
from hub.protocol.publication import AppendEntry, ReplaceRows, Touch
from hub.protocol.streams import KNOWN, Kind, Stream
from producers.answers import Answer, Ticket
from producers.buffer import Buffer, MemoryBuffer
from producers.commands import Commands
from producers.errors import InvalidPayload, ProducerError, PublishRefused, RedisAway
from producers.events import (
    AgentStatus,
    Alert,
    Decision,
    Event,
    Health,
    Portfolio,
    TradingPosition,
)
from producers.intake import Assurance, Intake
from producers.link import Link, Timing
from producers.position_events import position_events
from producers.sender import Sender
from producers.spool import Spool

logger = logging.getLogger(__name__)

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_EVENT_OF_STATE: Final = {
    Portfolio: Event.PORTFOLIO_UPDATE,
    AgentStatus: Event.STATUS,
    Health: Event.HEALTH,
}


class Options(TypedDict, total=False):
    """What a Publisher takes besides the URL."""

    name: str
    streams: Mapping[str, Stream]
    buffer: Buffer[Ticket]
    spool: Spool | Path | str
    timing: Timing


class Publisher:
    """An asynchronous context manager; leaving it waits a while for what has no answer yet.

    url: of Redis or Valkey, as redis-py takes it.
    name: who publishes, for people; every Publisher is another producer to Redis.
    streams: the streams' options, where they differ from the known ones.
    buffer: what holds publishes that wait for Redis; its bound is that of an outage.
    spool: the file that keeps them through a kill, of this publisher alone; or its path.

    `lease`, where a call takes it, is in seconds: the channel is stale when so long has passed
    without a publish or a `touch`. None leaves the channel's lease as it is.

    Raises, from every call that publishes: InvalidPayload for what JSON can't carry truthfully,
    PublishRefused for what breaks a rule of the protocol, and PublisherClosed. Entering raises
    SpoolInUse and SpoolError.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str = "producer",
        streams: Mapping[str, Stream] = KNOWN,
        buffer: Buffer[Ticket] | None = None,
        spool: Spool | Path | str | None = None,
        timing: Timing | None = None,
    ) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"name: expected letters, digits, '_', '.', '-', got {name!r}")
        self._url = url
        self._name = name
        self._streams = streams
        # Another incarnation counts from 1 again, so it must be another producer. What an earlier
        # one left in the spool keeps its name.
        producer = f"{name}-{secrets.token_hex(4)}"
        self.timing = timing or Timing()
        self._link = Link(url, name=producer, timing=self.timing)
        self._sender = Sender(
            self._link,
            producer=producer,
            streams=streams,
            buffer=MemoryBuffer() if buffer is None else buffer,
            timing=self.timing,
            spool=Spool(spool) if isinstance(spool, Path | str) else spool,
        )
        self._intake = Intake(self._sender, streams)
        self._rows: dict[str, dict[str, bytes] | None] = {}
        self._recalling = asyncio.Lock()

    @property
    def counts(self) -> Counter[str]:
        """Publishes by what became of them: stored, unchanged, superseded, refused, given_up; and
        again, those published again since Redis lost them."""
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
            await self._link.ping()
        except (RedisError, OSError) as error:
            raise RedisAway(f"Redis does not answer: {error}") from error

    async def flush(self, timeout: float | None = None) -> bool:
        """Wait until Redis has answered everything; False where it did not within the seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._sender.flush()
        except TimeoutError:
            return False
        return True

    async def publish(
        self,
        channel: str,
        event: str,
        data: object,
        *,
        key: str = "",
        lease: float | None = None,
        **assurance: Unpack[Assurance],
    ) -> Answer:
        """Publish any event: `data` is a payload, or anything JSON can carry.

        A table takes `{"rows": {...}}` for all of it, `{"upsert": {...}, "delete": [...]}` for a
        part. In a log, an entry with a `key` is published once for each content.
        """
        change = self._intake.keyed(channel, data, key)
        return await self._intake.submit(channel, event, change, lease, assurance)

    async def touch(
        self, channel: str, *, lease: float | None = None, **assurance: Unpack[Assurance]
    ) -> Answer:
        """Renew the channel's lease: nothing is new, and the producer is alive."""
        return await self._intake.submit(channel, "touch", Touch(), lease, assurance)

    async def portfolio(
        self,
        portfolio: Portfolio,
        *,
        channel: str = "portfolio",
        lease: float | None = None,
        **assurance: Unpack[Assurance],
    ) -> Answer:
        """Publish the account as it is now."""
        _require(Portfolio, portfolio)
        return await self.state(channel, portfolio, lease=lease, **assurance)

    async def status(
        self,
        status: AgentStatus,
        *,
        channel: str = "status",
        lease: float | None = None,
        **assurance: Unpack[Assurance],
    ) -> Answer:
        """Publish where the agent is now."""
        _require(AgentStatus, status)
        return await self.state(channel, status, lease=lease, **assurance)

    async def health(
        self,
        health: Health,
        *,
        channel: str = "health",
        lease: float | None = None,
        **assurance: Unpack[Assurance],
    ) -> Answer:
        """Publish how the producer's parts are now."""
        _require(Health, health)
        return await self.state(channel, health, lease=lease, **assurance)

    async def state(
        self,
        channel: str,
        payload: Portfolio | AgentStatus | Health,
        *,
        lease: float | None = None,
        **assurance: Unpack[Assurance],
    ) -> Answer:
        """Publish the one current value of a channel, under the event of its type."""
        _require(tuple(_EVENT_OF_STATE), payload)
        return await self.publish(
            channel, _EVENT_OF_STATE[type(payload)], payload, lease=lease, **assurance
        )

    async def decision(
        self,
        decision: Decision,
        *,
        channel: str = "decisions",
        lease: float | None = None,
        **assurance: Unpack[Assurance],
    ) -> Answer:
        """Publish a decision once, however often it is handed over, also after a restart.

        One that differs from what was published under its id is an update of it.
        """
        _require(Decision, decision)
        change = self._intake.change(channel, decision)
        if not isinstance(change, AppendEntry):
            raise PublishRefused(channel, "expected a log for decisions")
        once = msgspec.structs.replace(
            change, key=decision.id, changed_event=Event.DECISION_UPDATED.value
        )
        return await self._intake.submit(channel, Event.DECISION_MADE, once, lease, assurance)

    async def alert(
        self,
        alert: Alert,
        *,
        channel: str = "alerts",
        key: str = "",
        **assurance: Unpack[Assurance],
    ) -> Answer:
        """Publish something a person should look at; with a `key`, once."""
        _require(Alert, alert)
        return await self.publish(channel, Event.ALERT, alert, key=key, **assurance)

    async def agent_event(
        self,
        event: str,
        payload: object,
        *,
        channel: str = "agent",
        key: str = "",
        **assurance: Unpack[Assurance],
    ) -> Answer:
        """Publish what an agent did; with a `key`, once."""
        return await self.publish(channel, event, payload, key=key, **assurance)

    async def positions(
        self,
        positions: Iterable[TradingPosition],
        *,
        channel: str = "positions",
        lease: float | None = None,
        **assurance: Unpack[Assurance],
    ) -> Answer:
        """Publish all positions that are open: rows that changed travel, missing ones are closed.

        Then the log `agent` (`agent:KEY` for `positions:KEY`) is told which were opened, closed,
        and updated by more than the market's marks, each once; with `wait=True` that is waited for
        too. A list that was superseded opened and closed nothing; the one that took its place did.
        The table and the log are two publishes: a producer that dies between them, or in an
        outage, leaves the log without these events.
        """
        rows: dict[str, TradingPosition] = {}
        for position in positions:
            _require(TradingPosition, position)
            if rows.setdefault(position.id, position) is not position:
                raise InvalidPayload("positions", "each id once", position.id)
        change = self._intake.change(channel, {"rows": rows})
        if not isinstance(change, ReplaceRows):
            raise PublishRefused(channel, "expected a table for positions")
        agent = ":".join(["agent", *channel.split(":")[1:]])
        if self._intake.stream(agent).kind is not Kind.LOG:
            raise PublishRefused(agent, "expected a log for what happens to positions")
        # The first call asks Redis what was published before. Every other one queues here too: one
        # that went past those that wait for the answer would be overtaken by their older lists.
        async with self._recalling:
            if channel not in self._rows:
                self._rows[channel] = await self._recall(channel)
        told: list[Ticket] = []
        stored = Ticket(patient=True)
        # Called before the caller goes on, and also where the caller did long ago.
        stored.add_done_callback(
            lambda _stored: told.extend(self._tell_of(channel, agent, change.rows, stored))
        )
        answer = await self._intake.submit(
            channel, Event.POSITIONS_UPDATE, change, lease, assurance, stored
        )
        if assurance.get("wait") is True:
            await asyncio.gather(*told)
        return answer

    def _tell_of(
        self, channel: str, agent: str, after: dict[str, bytes], stored: Ticket
    ) -> list[Ticket]:
        """Publish the events that lead to these rows, once they are stored."""
        if stored.cancelled() or stored.exception() or (receipt := stored.result().receipt) is None:
            return []
        before, self._rows[channel] = self._rows[channel], after
        if before is None:
            before = {key: after[key] for key in after.keys() - receipt.inserted}
        once = f"{channel}:{receipt.position.epoch}:{receipt.position.seq}"
        told: list[Ticket] = []
        for event, position_id, row in position_events(before, after):
            try:
                change = self._intake.keyed(agent, row, f"{once}:{position_id}")
                told.append(self._intake.hand_over(agent, event, change, None, {"wait": True}))
            except ProducerError as error:
                logger.warning("%s", error)
        return told

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
            rows = await self._link.read_rows(channel)
            return {key: row for key, row in rows.items() if is_sound(row)}
        except (RedisError, OSError):
            # Its answer to the publish will tell what was opened. What was closed and updated
            # meanwhile is in the table, and not told in the log.
            return None


def _require(expected: type | tuple[type, ...], payload: object) -> None:
    """Refuse a payload that is not of the type that the event's name promises."""
    if not isinstance(payload, expected):
        types = expected if isinstance(expected, tuple) else (expected,)
        names = " or ".join(each.__name__ for each in types)
        raise InvalidPayload("payload", f"a payload of type {names}", payload)
