"""`tapecast publish`: publish by hand, or from any program through a pipe."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hub.cli.options import config_option, read_settings, running_embedded
from hub.cli.values import CHANNEL, EVENT

if TYPE_CHECKING:
    from hub.cli.ways import Answer, Way
    from hub.protocol.lines import Numbered
    from hub.protocol.position import Position

CHUNK_BYTES = 64 * 1024


class InputError(Exception):
    """Standard input can't be read; the text says why."""


@click.command(short_help="Publish by hand or through a pipe.")
@click.argument("channel", type=CHANNEL)
@click.argument("event", type=EVENT)
@click.argument("data", metavar="JSON")
@click.option("--redis", metavar="URL", help="Publish to this Redis or Valkey.")
@click.option("--url", metavar="URL", help="Publish through this hub, with TAPECAST_TOKEN.")
@click.option("--json", "as_json", is_flag=True, help="Print the positions as JSON, one a line.")
@config_option
def publish(
    channel: str,
    event: str,
    data: str,
    redis: str | None,
    url: str | None,
    as_json: bool,
    config: Path | None,
) -> None:
    """Publish JSON to CHANNEL as EVENT, and print its position: epoch, seq and tag.

    With - in place of JSON, one value a line is read from standard input, and a position printed
    for each, in order. A line that is refused is named on standard error, the others go on, and
    the exit status is 1 at the end.

    It writes to Redis like a producer does, found as `tapecast serve` finds it. With --url it
    goes through a hub, as the token in TAPECAST_TOKEN allows.

    A table such as positions takes {"rows": {KEY: ROW}} for all of it, or
    {"upsert": {KEY: ROW}, "delete": [KEY]} for a part.

    \b
    Examples:
      tapecast publish alerts margin_call '{"account": "acct-7", "level": "high"}'
      tapecast publish positions positions_update '{"delete": ["p-17"]}'
      my-strategy | tapecast publish decisions decision_made -
      tapecast publish --url https://desk.example alerts note '{"title": "lunch"}'
    """
    from hub.cli.ways import NoAnswer, through_hub, to_redis
    from hub.protocol.errors import PayloadError
    from hub.protocol.payload import canonical

    if redis and url:
        raise click.UsageError("expected --redis or --url, got both: leave one out.")
    if data == "-":
        # Python's word for a closed one; its number may be a socket's by now.
        if sys.stdin is None:
            raise click.UsageError("expected values on standard input, and it is closed.")
    else:
        try:
            canonical(data)
        except PayloadError as error:
            raise click.BadParameter(error.message, param_hint="JSON") from None
    settings = read_settings(config, options={"redis_url": redis}, fallbacks=running_embedded())
    way = through_hub(url, channel, event) if url else to_redis(settings, channel, event)
    printer = _Printer(channel, as_json=as_json)
    try:
        asyncio.run(_publish(way, data, printer))
    except NoAnswer as error:
        raise click.ClickException(str(error)) from None
    except InputError as error:
        raise click.ClickException(f"standard input can't be read: {error}") from None
    sys.exit(1 if printer.denied else 0)


async def _publish(way: AbstractAsyncContextManager[Way], data: str, printer: _Printer) -> None:
    async with way as send:
        if data != "-":
            printer.show(await send([data.encode()]))
            return
        async for lines in _lines():
            printer.lines = [number for number, _ in lines]
            printer.show(await send([line for _, line in lines]))


class _Printer:
    """Prints answers; counts the denied ones. lines: numbers of the lines that come next."""

    def __init__(self, channel: str, *, as_json: bool) -> None:
        self._channel = channel
        self._as_json = as_json
        self.lines: list[int] = []
        self.denied = 0

    def show(self, answers: Sequence[Answer]) -> None:
        from hub.cli.ways import Accepted, Denied

        for index, answer in enumerate(answers):
            match answer:
                case Denied(reason):
                    self.denied += 1
                    where = f"line {self.lines[index]}: " if self.lines else ""
                    click.echo(f"Error: {where}{reason}", err=True)
                case Accepted(position, unchanged):
                    click.echo(self._line(position, unchanged))

    def _line(self, position: Position, unchanged: bool) -> str:
        if self._as_json:
            fields = {"epoch": position.epoch, "seq": position.seq, "tag": position.tag}
            return json.dumps({"channel": self._channel, **fields, "unchanged": unchanged})
        word = " unchanged" if unchanged else ""
        return f"{position.epoch} {position.seq} {position.tag}{word}"


async def _lines() -> AsyncIterator[list[Numbered]]:
    """The lines of standard input, as many at a time as are there."""
    from hub.protocol.lines import Lines
    from hub.protocol.payload import MAX_DATA_BYTES

    lines = Lines(MAX_DATA_BYTES)
    while piece := await _read():
        if found := lines.receive(piece):
            yield found
    if found := lines.end():
        yield found


async def _read() -> bytes:
    """What standard input has now, b"" at its end.

    Read in a thread of its own that nobody waits for at the end: a read that blocks can't be
    cancelled, and Ctrl-C shall not wait for one more line.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[bytes] = loop.create_future()

    def deliver(chunk: bytes, error: InputError | None) -> None:
        if future.cancelled():
            return
        if error is None:
            future.set_result(chunk)
        else:
            future.set_exception(error)

    def read() -> None:
        chunk = b""
        failure: InputError | None = None
        try:
            chunk = os.read(sys.stdin.fileno(), CHUNK_BYTES)
        except OSError as error:
            failure = InputError(error.strerror)
        loop.call_soon_threadsafe(deliver, chunk, failure)

    threading.Thread(target=read, daemon=True).start()
    return await future
