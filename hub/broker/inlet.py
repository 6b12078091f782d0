"""Empties an inlet: what `tapecast ingest` runs.

Rules:
1. A worker without the lease waits for it; the one that has it renews it with every reading.
2. A batch is passed on whole before the next, which is read and made ready meanwhile. Whatever
   fails on the way (Redis away, a reply that was lost, an entry that a script could not publish) is
   mended by beginning anew with what is pending.
3. An entry that can't be published is buried with the reason, and the others go on.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from redis.exceptions import ResponseError

from hub.broker.base import BrokerUnavailableError, ChannelUnavailableError
from hub.broker.redis import RedisBroker
from hub.protocol.errors import ProtocolError
from hub.protocol.inlet import (
    GIVE_UP,
    PASS_ON,
    TAKE,
    Buried,
    Fate,
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
FRESH_BITS = 40

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
    """What passes an entry on, or buries it."""

    id: str
    call: Call


Burying: TypeAlias = Callable[[str, str], None]
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
        buried: Burying,
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
        self._read = self._done = "0-0"
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
        """Pass on batch after batch, until one has to begin anew: with what is pending.

        Raises NotActive, BrokerUnavailableError.
        """
        self._read = self._done = "0-0"
        taken = await self._take(begun=True)
        calls = await self._prepare(taken)
        self.counts.active = True
        while not self._stopping.is_set():
            if not calls:
                await self._wait_for_more(taken.last)
                taken, calls = await self._read_ahead()
                continue
            # Asked for first, so that the next batch is made ready while Redis takes this one.
            ahead = asyncio.ensure_future(self._read_ahead())
            passing = asyncio.ensure_future(self._pass_on(calls))
            try:
                await asyncio.gather(ahead, passing)
            finally:
                # Where one of them failed the other is waited for too.
                await asyncio.wait([ahead, passing])
            if not passing.result():
                return
            self._done = calls[-1].id
            taken, calls = ahead.result()

    async def _read_ahead(self) -> tuple[Taken, list[_Call]]:
        taken = await self._take(begun=False)
        return taken, await self._prepare(taken)

    async def _take(self, *, begun: bool) -> Taken:
        call = take_call(
            self._keys, self._token, self._lease_ms, self._read, self._done, BATCH, begun=begun
        )
        [reply] = await self._broker.call(TAKE, [call])
        if isinstance(reply, ResponseError):
            # Also NOGROUP, where somebody deleted the inlet: `_acquire` makes it anew.
            raise BrokerUnavailableError(f"{self._keys.inlet}: {reply}")
        taken = parse_taken(reply)
        if taken is None:
            raise NotActive
        if taken.entries:
            self._read = taken.entries[-1][0]
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

    async def _prepare(self, taken: Taken) -> list[_Call]:
        looked_up: dict[str, Kind] = {}
        new_epoch = secrets.token_urlsafe(6)
        return [
            await self._call_for(id, fields, looked_up, new_epoch) for id, fields in taken.entries
        ]

    async def _call_for(
        self,
        id: str,
        fields: Sequence[bytes] | None,
        looked_up: dict[str, Kind],
        new_epoch: str,
    ) -> _Call:
        """The call that passes an entry on; the one that buries it, where it is bad."""
        if fields is None:
            return self._burial(id, "it was removed before it was published")
        try:
            entry = read_entry(id, fields)
            kind = await self._kind_of(entry.channel, looked_up)
            call = pass_on_call(
                self._keys,
                self._token,
                entry,
                kind,
                stream_options(entry.channel, self._streams),
                new_epoch,
                secrets.randbits(FRESH_BITS),
                kind_is_sure=entry.channel in looked_up,
            )
        except (ProtocolError, ChannelUnavailableError) as error:
            return self._burial(id, str(error))
        return _Call(id, call)

    def _burial(self, id: str, reason: str) -> _Call:
        return _Call(id, bury_call(self._keys, self._token, id, reason))

    async def _pass_on(self, calls: Sequence[_Call]) -> bool:
        """Pass on a batch; whether all of it is acknowledged. Where not, what is pending has to be
        read again: the entries after one that failed are not passed on either."""
        replies = await self._broker.call(PASS_ON, [call.call for call in calls])
        for call, reply in zip(calls, replies, strict=True):
            if isinstance(reply, ResponseError):
                reason = f"the channel was damaged by hand: {self._damage(reply)}"
                burial = self._burial(call.id, reason)
                [reply] = await self._broker.call(PASS_ON, [burial.call])
                if isinstance(reply, ResponseError):
                    raise BrokerUnavailableError(f"{self._keys.inlet}: {reply}")
            match parse_passed_on(reply):
                case Receipt(unchanged=unchanged):
                    self.counts.published += not unchanged
                    self.counts.unchanged += unchanged
                case Buried(reason):
                    self.counts.buried += 1
                    self._buried(call.id, reason)
                case Fate.KNOWN:
                    self.counts.known += 1
                case Fate.LOST:
                    raise NotActive
                case Fate.KIND:
                    # What was known of the channel was of a history that is gone.
                    self._kinds.clear()
                    return False
                case Fate.LATER:
                    return False
                case Fate.GONE:
                    pass  # its answer was lost on the way
        return True

    def _damage(self, error: ResponseError) -> ResponseError:
        """The error itself, where it is the channel's; raises BrokerUnavailableError elsewhere."""
        # redis-py takes the first word off the errors that it knows.
        word = error.status_code or str(error).partition(" ")[0]
        if word not in _DAMAGED:
            raise BrokerUnavailableError(f"{self._keys.inlet}: {error}")
        return error

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
