"""`tapecast replay`: what a dashboard showed then."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hub.cli.moments import MOMENT
from hub.cli.options import config_option, read_settings, running_embedded
from hub.cli.values import CHANNEL

if TYPE_CHECKING:
    from hub.client.past import Past, UnknownPast
    from hub.server.settings import Settings

PAGE = 1_000
"""Entries that are read in one go."""


@click.command(short_help="What a channel showed at a time.")
@click.argument("channel", type=CHANNEL)
@click.option("--at", required=True, type=MOMENT, metavar="TIME", help="The time: see above.")
@click.option(
    "--file",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    metavar="FILE",
    help="A recording to look into, instead of Redis.",
)
@click.option("--redis", metavar="URL", help="The Redis or Valkey; otherwise as `serve` finds it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@config_option
def replay(
    channel: str,
    at: int,
    file: Path | None,
    redis: str | None,
    as_json: bool,
    config: Path | None,
) -> None:
    """Say what a dashboard that followed CHANNEL showed at a time: its state, position and age.

    TIME is a date and time such as 2026-07-01T14:30:05Z (without a zone: this machine's), 14:30
    of today, 15m ago, or the ts of a frame.

    From Redis it goes back as far as the channel's stream does, and the tags of its entries prove
    what it says. A recording also knows whether the channel was stale. What can't be proved is
    said, with exit status 1; a time that nothing is known of is an error.

    \b
    Examples:
      tapecast replay portfolio --at 14:30
      tapecast replay positions:acct-7 --at 2026-07-01T14:30:05.250Z --json | jq .data.rows
      tapecast replay decisions --at 15m --file today.jsonl
    """
    from hub.broker.base import BrokerUnavailableError
    from hub.client.past import UnknownPast
    from hub.client.recording import RecordingError

    if file and redis:
        raise click.UsageError("expected --file or --redis, got both: leave one out.")
    settings = read_settings(config, options={"redis_url": redis}, fallbacks=running_embedded())
    try:
        if file is not None:
            past = _from_file(file, channel, at, settings)
        else:
            past = asyncio.run(_from_redis(channel, at, settings))
    except UnknownPast as error:
        raise click.ClickException(_why(error, channel, at)) from None
    except (BrokerUnavailableError, RecordingError, OSError) as error:
        raise click.ClickException(str(error)) from None
    _print(past, as_json=as_json)
    sys.exit(0 if past.exact else 1)


def _from_file(file: Path, channel: str, at: int, settings: Settings) -> Past:
    from hub.cli.recordfile import open_recording
    from hub.client.past import FromRecording
    from hub.protocol.streams import stream_options

    found = FromRecording(channel, at, stream_options(channel, settings.streams).history)
    with open_recording(file) as rows:
        for row in rows:
            found.take(row)
    return found.result()


async def _from_redis(channel: str, at: int, settings: Settings) -> Past:
    from hub.broker.redis import RedisBroker
    from hub.cli.moments import now_us
    from hub.client.past import FromEntries, UnknownPast
    from hub.protocol.streams import stream_options

    broker = RedisBroker(settings.redis_url, streams=settings.streams)
    try:
        until = now_us()
        now = await broker.read(channel, None, 1)
        if now.position is None or now.position.seq == 0:
            raise UnknownPast("nothing was published to it")
        found = FromEntries(now, at, stream_options(channel, settings.streams).history, until)
        since = 0
        while not found.complete:
            reading = await broker.read(channel, since, PAGE, state=False)
            if not reading.entries:
                break  # the history was lost meanwhile
            found.take(reading.entries)
            since = reading.entries[-1].seq
        return found.result()
    finally:
        await broker.disconnect()


def _why(error: UnknownPast, channel: str, at: int) -> str:
    from hub.cli.moments import spell

    known = ""
    if error.first is not None and error.last is not None:
        known = f" Known is {spell(error.first)} to {spell(error.last)}."
    elif error.first is not None:
        known = f" Known is {spell(error.first)} and later."
    return f"what {channel} showed at {spell(at)} is not known: {error.why}.{known}"


def _print(past: Past, *, as_json: bool) -> None:
    import msgspec

    if as_json:
        click.echo(msgspec.json.encode({**msgspec.structs.asdict(past), "exact": past.exact}))
        return
    from hub.cli.lines import printable

    # Its digits stay as they are, which a decoded number's might not.
    data = msgspec.json.format(past.data, indent=2).decode()
    for line in (*_head(past), *data.split("\n")):
        click.echo(printable(line))


def _head(past: Past) -> list[str]:
    from hub.cli.lines import why
    from hub.cli.moments import spell
    from hub.cli.output import age
    from hub.client import Reset

    at = past.position
    lines = [f"{past.channel} ({past.kind}) at {spell(past.at)}"]
    if past.ts:
        ago = age((past.at - past.ts) / 1e6)
        lines.append(f"position {at.epoch} {at.seq} {at.tag}, published {ago} before")
    else:
        lines.append("nothing had been published")
    state = {True: "stale", False: "live", None: "not known whether it was stale"}
    lines.append(state[past.stale])
    if past.reset is not None:
        reset = Reset(channel=past.channel, cause=past.reset.cause, last=past.reset.last)
        lines.append(f"after a reset at {spell(past.reset.at)}: {why(reset)}")
    if past.exact and past.proved:
        lines.append(f"exact: proved by the tags of {past.proved:,} changes")
    elif past.exact:
        lines.append("exact: a snapshot has it")
    else:
        lines.append(f"NOT EXACT: {past.missing}")
    if past.unknown:
        lines.append(f"rows that can't be known: {json.dumps(past.unknown, ensure_ascii=False)}")
    return lines
