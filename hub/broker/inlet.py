"""Empties an inlet: what `tapecast ingest` runs.

Rules:
1. A worker without the lease waits for it; the one that has it renews it with every reading.
2. A batch is passed on whole before the next is read, in the inlet's order. Whatever fails on the
   way (Redis away, a reply that was lost) is mended by reading on from the last id that is known to
   be acknowledged: what is still pending comes again.
3. An entry that can't be published is buried with the reason, and the others go on.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from redis.exceptions import ResponseError

from hub.broker.base import BrokerUnavailableError, ChannelUnavailableError
from hub.broker.redis import RedisBroker
from hub.protocol import codes, scripts
from hub.protocol.errors import PayloadError, ProtocolError
from hub.protocol.inlet import (
    GIVE_UP,
    PASS_ON,
    TAKE,
    InletKeys,
    Taken,
    bury_call,
    parse_passed_on,
    parse_taken,
    pass_on_call,
    read_entry,
    take_call,
)
from hub.protocol.publication import Receipt
from hub.protocol.scripts import Call
from hub.protocol.streams import KNOWN, Kind, Stream, stream_options

BATCH = 256
LEASE_MS = 5_000
"""After so long a worker that died is replaced; several batches take less."""
WAIT_MS = 1_000
"""How long one reading waits for a new entry; also how often a waiting worker asks for the lease,
and how often a quiet one renews it."""
RETRY_SECONDS = 0.25
KINDS_KEPT = 10_000

_DAMAGED = frozenset({"ERR", "WRONGTYPE"})
"""What publishing fails with where it meets what no script wrote; other words are the server's."""


class NotActive(Exception):
    """The lease is another worker's."""


@dataclass
class Counts:
    """What became of entries so far. known: named themselves as an earlier one did."""

    published: int = 0
    unchanged: int = 0
    known: int = 0
    buried: int = 0
    removed: int = 0
    lag: int | None = None
    active: bool = False


class _Call(NamedTuple):
    """What passes an entry on; with a reason, what buries it."""

    id: str
    channel: str
    call: Call
    reason: str


Buried: TypeAlias = Callable[[str, str], None]
Told: TypeAlias = Callable[[str], None]


class InletWorker:
    """One worker of an inlet. `run` until `stop`.

    buried: hears of each entry that could not be published, and why. told: hears what an operator
    should know.
    """

    def __init__(
        self,
        broker: RedisBroker,
        keys: InletKeys,
        streams: Mapping[str, Stream] = KNOWN,
        *,
        buried: Buried,
        told: Told,
        lease_ms: int = LEASE_MS,
    ) -> None:
        self.counts = Counts()
        self._broker = broker
        self._keys = keys
        self._streams = streams
        self._buried = buried
        self._told = told
        self._lease_ms = lease_ms
        self._token = secrets.token_hex(12)
        self._done = "0-0"
        self._kinds: OrderedDict[str, Kind] = OrderedDict()
        self._waiting = False
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End after the batch that is under way."""
        self._stopping.set()

    async def run(self) -> None:
        """Pass entries on until `stop`; Redis may be away meanwhile, for as long as it takes."""
        away = False
        while not self._stopping.is_set():
            try:
                if await self._acquire():
                    away = False
                    await self._work()
            except NotActive:
                pass  # it was frozen, or Redis was; `_acquire` says that it waits
            except BrokerUnavailableError as error:
                if not away:
                    self._told(f"{error}. Trying again ...")
                away = True
                await self._pause(RETRY_SECONDS)
            finally:
                self.counts.active = False
        # Where this fails it runs out by itself.
        with suppress(BrokerUnavailableError):
            await self._broker.call(GIVE_UP, [Call((self._keys.lease,), (self._token,))])

    async def _acquire(self) -> bool:
        """Whether this worker is the active one now; waits a while where it is not."""
        keys = self._keys
        *replies, holder = await self._broker.exchange(
            [
                # Known before they are called: refused one by one, calls could change places.
                *(("SCRIPT", "LOAD", script) for script in (TAKE, PASS_ON, GIVE_UP)),
                ("XGROUP", "CREATE", keys.inlet, keys.group, "0", "MKSTREAM"),
                ("SET", keys.lease, self._token, "NX", "PX", self._lease_ms),
                ("GET", keys.lease),
            ]
        )
        for reply in replies:
            if isinstance(reply, ResponseError) and "BUSYGROUP" not in str(reply):
                raise BrokerUnavailableError(f"{keys.inlet}: {reply}")
        if holder == self._token.encode():
            self._waiting = False
            return True
        if not self._waiting:
            self._told("another worker is active; waiting for my turn.")
        self._waiting = True
        await self._pause(WAIT_MS / 1000)
        return False

    async def _work(self) -> None:
        """Pass on batch after batch. Raises NotActive, BrokerUnavailableError."""
        self._done = "0-0"
        taken = await self._take(begun=True)
        self.counts.active = True
        while not self._stopping.is_set():
            if taken.entries:
                if await self._pass_on(taken):
                    self._done = taken.entries[-1][0]
            else:
                await self._wait_for_more(taken.last)
            taken = await self._take(begun=False)

    async def _take(self, *, begun: bool) -> Taken:
        call = take_call(self._keys, self._token, self._lease_ms, self._done, BATCH, begun=begun)
        [reply] = await self._broker.call(TAKE, [call])
        if isinstance(reply, ResponseError):
            # Also NOGROUP, where somebody deleted the inlet: `_acquire` makes it anew.
            raise BrokerUnavailableError(f"{self._keys.inlet}: {reply}")
        taken = parse_taken(reply)
        if taken is None:
            raise NotActive
        self.counts.lag = taken.lag
        if taken.removed:
            self.counts.removed += taken.removed
            self._told(f"{taken.removed:,} entries were removed before they were published.")
        return taken

    async def _wait_for_more(self, last: str) -> None:
        reading = ("XREAD", "COUNT", 1, "BLOCK", WAIT_MS, "STREAMS", self._keys.inlet, last)
        waiting = asyncio.ensure_future(self._broker.exchange([reading]))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait([waiting, stopping], return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                waiting.result()
        finally:
            for each in (waiting, stopping):
                each.cancel()
            await asyncio.gather(waiting, stopping, return_exceptions=True)

    async def _pass_on(self, taken: Taken) -> bool:
        """Pass on a batch, in its order; whether all of it is acknowledged."""
        looked_up: dict[str, Kind] = {}
        calls = [await self._call_for(id, fields, looked_up) for id, fields in taken.entries]
        replies = await self._broker.call(PASS_ON, [call.call for call in calls])
        refused: list[_Call] = []
        for call, reply in zip(calls, replies, strict=True):
            refusal = self._count(call, reply)
            if refusal is None:
                continue
            if refusal.code is codes.KIND_MISMATCH and call.channel not in looked_up:
                # What was known of the channel was of a history that is gone: all of its entries
                # were refused, and come again in their order.
                self._kinds.clear()
                return False
            refused.append(self._burial(call.id, refusal.message))
        replies = await self._broker.call(PASS_ON, [call.call for call in refused])
        for call, reply in zip(refused, replies, strict=True):
            self._count(call, reply)
        return True

    async def _call_for(
        self, id: str, fields: Sequence[bytes] | None, looked_up: dict[str, Kind]
    ) -> _Call:
        """The call that passes an entry on; the one that buries it, where it is bad."""
        if fields is None:
            return self._burial(id, "it was removed before it was published")
        try:
            entry = read_entry(id, fields)
            kind = await self._kind_of(entry.channel, looked_up)
            options = stream_options(entry.channel, self._streams)
            epoch = secrets.token_urlsafe(6)
            call = pass_on_call(self._keys, self._token, entry, kind, options, epoch)
        except (ProtocolError, ChannelUnavailableError) as error:
            return self._burial(id, str(error))
        return _Call(id, entry.channel, call, "")

    def _burial(self, id: str, reason: str) -> _Call:
        return _Call(id, "", bury_call(self._keys, self._token, id, reason), reason)

    def _count(self, call: _Call, reply: Any) -> ProtocolError | None:
        """Note what became of an entry; returns what it was refused with.

        Raises NotActive, and BrokerUnavailableError where Redis can't take it just now.
        """
        if isinstance(reply, ResponseError):
            # redis-py takes the first word off the errors that it knows.
            word = reply.status_code or str(reply).partition(" ")[0]
            damaged = PayloadError(f"the channel was damaged by hand: {reply}")
            refusal = scripts.refusal(str(reply)) or (damaged if word in _DAMAGED else None)
            if refusal is None or call.reason:
                raise BrokerUnavailableError(f"{self._keys.inlet}: {reply}")
            return refusal
        match parse_passed_on(reply):
            case Receipt(unchanged=unchanged):
                self.counts.published += not unchanged
                self.counts.unchanged += unchanged
            case "lost":
                raise NotActive
            case "known":
                self.counts.known += 1
            case "buried":
                self.counts.buried += 1
                self._buried(call.id, call.reason)
        return None

    async def _kind_of(self, channel: str, looked_up: dict[str, Kind]) -> Kind:
        """The kind that the channel was recorded as, or will be."""
        kind = looked_up.get(channel) or self._kinds.get(channel)
        if kind is None:
            recorded = (await self._broker.read(channel, None, 1, state=False)).kind
            kind = recorded or stream_options(channel, self._streams).kind
            looked_up[channel] = kind
            if recorded is not None:
                self._kinds[channel] = kind
                if len(self._kinds) > KINDS_KEPT:
                    self._kinds.popitem(last=False)
        return kind

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
