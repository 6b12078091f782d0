"""Publishes from outside, on their way to the broker.

What sockets and HTTP requests publish goes through one queue and out in batches, in the order in
which it came, so that a hundred publishers cost the broker one round trip.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from hub.broker.base import Broker, BrokerUnavailableError, ChannelUnavailableError
from hub.protocol import codes
from hub.protocol.errors import ProtocolError
from hub.protocol.publication import AppendEntry, Publication, Receipt, change_from_json
from hub.protocol.streams import Kind, Stream, stream_options
from hub.server.metrics import Metrics

MAX_WAITING = 4_096
BATCH = 256
KINDS_KEPT = 10_000


class PublishRequest(msgspec.Struct, frozen=True):
    """What somebody outside wants published: `data` is JSON as it came, not checked yet.

    (producer, n) is the publish's id; whoever makes it sees to it that no other subject has it.
    """

    channel: str
    event: str
    data: bytes
    producer: str
    n: int
    key: str = ""


def producer_id(subject: str, producer: str) -> str:
    """A publish id of `subject`'s own: nobody else can be answered, or silenced, by it."""
    return hashlib.sha256(f"{subject}\0{producer}".encode()).hexdigest()[:24]


_Waiting: TypeAlias = tuple[PublishRequest, asyncio.Future[Receipt]]

_ENDED = "this hub publishes no more"


class Ingest:
    """The queue to the broker. `run` is its one task."""

    def __init__(self, broker: Broker, streams: Mapping[str, Stream], metrics: Metrics) -> None:
        self._broker = broker
        self._streams = streams
        self._metrics = metrics
        self._kinds: OrderedDict[str, Kind] = OrderedDict()
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(MAX_WAITING)
        self._ended = False
        self._name = secrets.token_hex(12)
        self._count = itertools.count(1)

    def next_id(self) -> tuple[str, int]:
        """A producer and number for a publish that came without: nobody can send it again, and the
        broker remembers one producer for all of them."""
        return self._name, next(self._count)

    def submit(self, request: PublishRequest) -> asyncio.Future[Receipt]:
        """Publish as soon as the broker can take it.

        The future raises the ProtocolError that the publish is refused with, or
        BrokerUnavailableError, after which it may have happened: try again with the same id.
        """
        answer: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        if self._ended:
            answer.set_exception(BrokerUnavailableError(_ENDED))
            return answer
        try:
            self._queue.put_nowait((request, answer))
        except asyncio.QueueFull:
            message = f"{MAX_WAITING} publishes wait for the broker already"
            answer.set_exception(ProtocolError(message, code=codes.UNAVAILABLE))
        return answer

    async def run(self) -> None:
        """Carry publishes to the broker until cancelled. What is not answered by then never will
        be, and is told so."""
        batch: list[_Waiting] = []
        try:
            while True:
                batch = [await self._queue.get()]
                while len(batch) < BATCH and not self._queue.empty():
                    batch.append(self._queue.get_nowait())
                await self._store(batch)
        finally:
            self._ended = True
            while not self._queue.empty():
                batch.append(self._queue.get_nowait())
            self._refuse_all(batch, BrokerUnavailableError(_ENDED))

    async def _store(self, batch: list[_Waiting]) -> None:
        publications: list[Publication] = []
        answers: list[asyncio.Future[Receipt]] = []
        try:
            for request, answer in batch:
                try:
                    publications.append(await self._read(request))
                    answers.append(answer)
                except (ProtocolError, ChannelUnavailableError) as error:
                    self._refuse(answer, error)
            receipts = await self._broker.store(publications) if publications else []
        except BrokerUnavailableError as error:
            # All of them at once: to wait for the broker on behalf of each would take a deadline
            # each.
            self._refuse_all(batch, error)
            return
        for answer, receipt in zip(answers, receipts, strict=True):
            if isinstance(receipt, Exception):
                self._refuse(answer, receipt)
            elif not answer.done():
                self._metrics.published += 1
                answer.set_result(receipt)

    async def _read(self, request: PublishRequest) -> Publication:
        kind = await self.kind_of(request.channel)
        change = change_from_json(kind, request.data)
        if isinstance(change, AppendEntry) and request.key:
            change = AppendEntry(change.data, request.key)
        return Publication(
            request.channel, kind, request.event, change, request.producer, request.n
        )

    async def kind_of(self, channel: str) -> Kind:
        """The kind that the channel was recorded as, or will be. Raises BrokerUnavailableError."""
        kind = self._kinds.get(channel)
        if kind is None:
            kind = (await self._broker.read(channel, None, 1, state=False)).kind
            if kind is None:
                return stream_options(channel, self._streams).kind
            self._kinds[channel] = kind
            if len(self._kinds) > KINDS_KEPT:
                self._kinds.popitem(last=False)
        return kind

    def _refuse_all(self, batch: list[_Waiting], error: BrokerUnavailableError) -> None:
        for _, answer in batch:
            self._refuse(answer, error)

    def _refuse(self, answer: asyncio.Future[Receipt], error: Exception) -> None:
        if isinstance(error, ProtocolError) and error.code is codes.KIND_MISMATCH:
            # The channel was lost and began anew as another kind.
            self._kinds.clear()
        if not answer.done():
            self._metrics.publishes_refused += 1
            answer.set_exception(error)
