"""Commands from outside, on their way to agents, and down to their end.

What sockets and HTTP requests send goes through one queue, in the order in which it came: to pause
and to resume must not change places. Beside it runs the sweep, which every hub does for all: so a
command ends also where the hub that sent it is gone, and no agent listens.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from typing import Final, TypeAlias, TypeVar

from hub.broker.base import Broker, BrokerUnavailableError
from hub.core.grant import Grant
from hub.protocol import codes
from hub.protocol.agent_commands import CommandReceipt, CommandRequest, Denial
from hub.protocol.errors import ProtocolError
from hub.server.metrics import Metrics

logger = logging.getLogger(__name__)

MAX_WAITING: Final = 1_024
BATCH: Final = 64
MAX_DENIED: Final = 256
"""Denials that wait to be noted; what comes beyond them is counted alone."""
SWEEP_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 10.0
"""Between sweeps that fail, as each does where the hub's user in Redis may not send commands."""

_ENDED = "this hub sends no more commands"
_T = TypeVar("_T")
_Waiting: TypeAlias = tuple[CommandRequest, asyncio.Future[CommandReceipt]]


def command_id(subject: str, producer: str | None, n: int | None) -> str:
    """The id of a command of `subject`: the same for the same publish id, nobody else's, and a new
    one where there is none."""
    if producer is None or n is None:
        return secrets.token_hex(10)
    return hashlib.sha256(f"{subject}\0{producer}\0{n}".encode()).hexdigest()[:20]


def origin_of(way: str, peer: str, grant: Grant) -> str:
    """Where a command came from, for the audit: the way, the address, the API key."""
    key = f"key {grant.key_id}" if grant.key_id else ""
    return " ".join(filter(None, (way, peer, key)))


class Commanding:
    """The way to the agents of one hub. `run`, `note` and `sweep` are its tasks."""

    def __init__(self, broker: Broker, metrics: Metrics) -> None:
        self._broker = broker
        self._metrics = metrics
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(MAX_WAITING)
        self._denied: asyncio.Queue[Denial] = asyncio.Queue(MAX_DENIED)
        self._ended = False

    def submit(self, request: CommandRequest) -> asyncio.Future[CommandReceipt]:
        """Send a command as soon as the broker can take it.

        The future raises the ProtocolError that it is refused with, or BrokerUnavailableError,
        after which it may have been sent: try again with the same id.
        """
        answer: asyncio.Future[CommandReceipt] = asyncio.get_running_loop().create_future()
        if self._ended:
            answer.set_exception(BrokerUnavailableError(_ENDED))
            return answer
        try:
            self._queue.put_nowait((request, answer))
        except asyncio.QueueFull:
            message = f"{MAX_WAITING} commands wait for the broker already"
            answer.set_exception(ProtocolError(message, code=codes.UNAVAILABLE))
        return answer

    def deny(self, denial: Denial) -> None:
        """Note that somebody tried to send a command without the right to."""
        self._metrics.commands_refused += 1
        try:
            self._denied.put_nowait(denial)
        except asyncio.QueueFull:
            logger.warning("%d denied commands wait to be noted; one more is not", MAX_DENIED)

    async def run(self) -> None:
        """Carry commands to the broker until cancelled. What is not answered by then never will
        be, and is told so."""
        batch: list[_Waiting] = []
        try:
            while True:
                batch = await _next(self._queue, BATCH)
                await self._send(batch)
        finally:
            self._ended = True
            while not self._queue.empty():
                batch.append(self._queue.get_nowait())
            for _, answer in batch:
                self._refuse(answer, BrokerUnavailableError(_ENDED))

    async def _send(self, batch: list[_Waiting]) -> None:
        receipts: list[CommandReceipt | Exception]
        try:
            receipts = await self._broker.send_commands([request for request, _ in batch])
        except BrokerUnavailableError as error:
            receipts = [error] * len(batch)
        for (_, answer), receipt in zip(batch, receipts, strict=True):
            if isinstance(receipt, Exception):
                self._refuse(answer, receipt)
            elif not answer.done():
                self._metrics.commanded += 1
                answer.set_result(receipt)

    def _refuse(self, answer: asyncio.Future[CommandReceipt], error: Exception) -> None:
        if not answer.done():
            self._metrics.commands_refused += 1
            answer.set_exception(error)

    async def note(self) -> None:
        """Carry denials into the audit until cancelled; what the broker is away for is lost."""
        while True:
            denials = await _next(self._denied, BATCH)
            try:
                await self._broker.note_denied(denials)
            except BrokerUnavailableError as error:
                logger.warning("%d denied commands could not be noted: %s", len(denials), error)

    async def sweep(self, seconds: float = SWEEP_SECONDS) -> None:
        """Bring commands to their end that are due, again and again until cancelled."""
        pause = seconds
        while True:
            try:
                await self._broker.sweep_commands()
                pause = seconds
            except BrokerUnavailableError as error:
                if pause == seconds:
                    logger.info("commands can't be brought to their end just now: %s", error)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(pause)


async def _next(queue: asyncio.Queue[_T], most: int) -> list[_T]:
    """The next of a queue, and what waits behind it, `most` at once."""
    found = [await queue.get()]
    while len(found) < most and not queue.empty():
        found.append(queue.get_nowait())
    return found
