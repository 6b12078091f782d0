"""Standard input as a source: a line of JSON is a publish, to whatever channel it names.

The rules:

1. A line is `{"channel", "event", "data"}`, with a `key` and a `lease` in seconds where they are
   wanted. Its data is handed on as it is written, to its last digit.
2. A line that can't be published is told with its number, and the others go on. With `strict` it
   is the last one: each line waits for the answer to the one before, so that nothing after it is
   published.
3. What was read and is not answered yet is bounded, by the worker: whoever writes into the pipe
   waits while Redis is away, and loses nothing.
4. At the end of the input everything is published, then the source ends.
"""

from __future__ import annotations

import asyncio
import codecs
import logging
import os
import select
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Self

import click
import msgspec
from msgspec import Meta

from hub.protocol.channels import check_channel, check_event
from hub.protocol.errors import ProtocolError
from hub.protocol.lines import Lines, Numbered
from hub.protocol.payload import MAX_DATA_BYTES
from producers.errors import InputEnded, ProducerError
from producers.events import Component, Health, HealthState
from producers.sources.base import (
    MAX_LEASE_SECONDS,
    FollowingSource,
    Reading,
    Relayed,
    State,
)

if TYPE_CHECKING:
    from producers.readings import Result

logger = logging.getLogger(__name__)

PIECE_BYTES: Final = 64 * 1024
MAX_LINE_BYTES: Final = MAX_DATA_BYTES + 1024
"""The largest data, with its names around it."""


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    channel: str
    event: str
    data: msgspec.Raw
    key: Annotated[str, Meta(max_length=255)] = ""
    lease: Annotated[float, Meta(ge=0, le=MAX_LEASE_SECONDS)] | None = None


_decode = msgspec.json.Decoder(_Line).decode


class StdinSource(FollowingSource):
    """What comes through a pipe, from a program in any language."""

    summary: ClassVar[str] = """Publish JSON lines from standard input.

    A line is {"channel": ..., "event": ..., "data": ...}; "key" makes an entry of a log be
    published once, "lease" says after how many seconds without another the channel is stale.
    A line that can't be published is named on standard error, and the others go on. The exit
    status is 1 where there was one.

    \b
    Examples:
      my-strategy | tapecast produce stdin
      tapecast produce stdin --strict < recorded.jsonl
      echo '{"channel": "alerts", "event": "alert", "data": {"title": "hello"}}' |
        tapecast produce stdin
    """
    options: ClassVar[Sequence[click.Parameter]] = (
        click.Option(
            ["--strict"], is_flag=True, help="End at the first line that can't be published."
        ),
    )

    def __init__(
        self,
        read: Callable[[], Awaitable[bytes]],
        *,
        name: str = "stdin",
        strict: bool = False,
    ) -> None:
        self._read = read
        self._health = f"health:{name}"
        self._strict = strict
        self._failures = 0
        self._unanswered = 0
        self._answer: asyncio.Future[None] | None = None
        self._last = ""

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        # Python's word for a closed one; its number may be a socket's by now.
        if sys.stdin is None:
            raise click.UsageError("expected lines on standard input, and it is closed.")
        return cls(read_stdin, name=options["name"], strict=options["strict"])

    @property
    def channels(self) -> tuple[str, ...]:
        # Of the others its lines say themselves how long they are fresh.
        return (self._health,)

    @property
    def health_channel(self) -> str:
        return self._health

    @property
    def failed(self) -> bool:
        # What was read and not published by the end is lost, or waits in a spool.
        return self._failures + self._unanswered > 0

    async def follow(self) -> AsyncGenerator[Sequence[Reading]]:
        yield []
        lines = Lines(MAX_LINE_BYTES)
        while True:
            try:
                piece = await self._read()
            except OSError as error:
                self._failures += 1
                logger.error("standard input can't be read: %s", error.strerror)
                piece = b""
            found = lines.receive(piece) if piece else lines.end()
            if not self._strict:
                yield self._readings(found)
            else:
                for line in found:
                    reading = self._parse(line)
                    if reading is not None:
                        self._answer = asyncio.get_running_loop().create_future()
                        yield [reading]
                        await self._answer
                    if self._failures:
                        raise InputEnded(f"line {line[0]} can't be published")
            if not piece:
                raise InputEnded("standard input has come to its end")

    def told(self, reading: Reading, result: Result) -> None:
        self._unanswered -= isinstance(reading, Relayed)
        # The worker has said why.
        self._failures += isinstance(result, ProducerError)
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)

    def _readings(self, lines: Sequence[Numbered]) -> Sequence[Reading]:
        failures = self._failures
        readings = [read for line in lines if (read := self._parse(line)) is not None]
        return readings if failures == self._failures else [*readings, self._troubled()]

    def _parse(self, line: Numbered) -> Reading | None:
        number, text = line
        origin = f"line {number}"
        try:
            if len(text) > MAX_LINE_BYTES:
                raise ValueError(f"expected at most {MAX_LINE_BYTES} bytes")
            # Some programs begin a text in UTF-8 with it.
            fields = _decode(text.removeprefix(codecs.BOM_UTF8) if number == 1 else text)
            check_channel(fields.channel)
            check_event(fields.event)
        except (ValueError, ProtocolError, RecursionError) as error:
            self._failures += 1
            self._last = f"{origin}: {error}"
            logger.warning("%s", self._last)
            return None
        self._unanswered += 1
        data = msgspec.Raw(bytes(fields.data))
        return Relayed(
            fields.channel, fields.event, data, key=fields.key, lease=fields.lease, origin=origin
        )

    def _troubled(self) -> State:
        detail = f"{self._failures} lines were not published, the last is {self._last}"
        component = Component(state=HealthState.DEGRADED, detail=detail)
        return State(
            self._health, Health(state=HealthState.DEGRADED, components={"input": component})
        )


async def read_stdin() -> bytes:
    """What standard input has now, b"" at its end; raises OSError.

    Read in a thread of its own that nobody waits for at the end: a read that blocks can't be
    cancelled, and Ctrl-C shall not wait for one more line.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[bytes] = loop.create_future()

    def deliver(piece: bytes, error: OSError | None) -> None:
        if future.cancelled():
            return
        if error is None:
            future.set_result(piece)
        else:
            future.set_exception(error)

    def read() -> None:
        piece, failure = b"", None
        try:
            piece = _read_piece(sys.stdin.fileno())
        except OSError as error:
            failure = error
        loop.call_soon_threadsafe(deliver, piece, failure)

    threading.Thread(target=read, daemon=True).start()
    return await future


def _read_piece(number: int) -> bytes:
    while True:
        try:
            return os.read(number, PIECE_BYTES)
        except BlockingIOError:
            # Whoever shares the pipe has made it so.
            select.select([number], [], [])
