"""`tapecast record`: write down what channels carry, to play it again."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hub.cli.options import config_option, read_settings, running_embedded
from hub.cli.target import Target, find_target
from hub.cli.values import CHANNEL, DURATION

if TYPE_CHECKING:
    from hub.cli.recordfile import RecordingFile
    from hub.client import Client, Frame, Subscription
    from hub.protocol.position import Position
    from hub.server.settings import Settings

LAST_ANSWER_SECONDS = 2.0
"""How long the hub may take at the end to say that it has sent everything."""


@click.command(short_help="Record channels to a file.")
@click.argument("channels", nargs=-1, required=True, type=CHANNEL, metavar="CHANNEL...")
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The recording; one that is there goes on. FILE.parquet: columns, with tapecast[parquet].",
)
@click.option("--url", metavar="URL", help="The hub; otherwise TAPECAST_URL, or a running demo.")
@click.option("--redis", metavar="URL", help="Record from this Redis or Valkey, without a hub.")
@click.option("--duration", type=DURATION, help="End after so long, such as 30s or 8h.")
@config_option
def record(
    channels: tuple[str, ...],
    out: Path,
    url: str | None,
    redis: str | None,
    duration: int | None,
    config: Path | None,
) -> None:
    """Record channels until Ctrl-C: their state now, then every change with its position and time.

    A recording is lines of JSON, each a frame of the hub with the time at which it was recorded.
    Hubs may restart and links break: it resumes, and what could not be had is a row that says so.
    Given a file that is there already, it goes on from the positions at the file's end.

    It records what the token in TAPECAST_TOKEN may read. With --redis it reads from Redis, where
    nothing is ever conflated, and needs no token.

    \b
    Examples:
      tapecast record portfolio positions decisions --out today.jsonl
      tapecast record decisions --out decisions.parquet --duration 8h
      tapecast record positions:acct-7 --redis redis://db.internal:6379/0 --out acct-7.jsonl
    """
    from hub.cli.parquet import lines_to_write
    from hub.cli.recordfile import RecordingFile
    from hub.client import ClientError
    from hub.client.recording import RecordingError

    if redis and url:
        raise click.UsageError("expected --redis or --url, got both: leave one out.")
    source: Target | Settings
    if redis:
        source = read_settings(config, options={"redis_url": redis}, fallbacks=running_embedded())
    else:
        source = find_target(url, os.environ)
    wanted = tuple(dict.fromkeys(channels))
    try:
        with lines_to_write(out) as lines, RecordingFile(lines) as file:
            asyncio.run(_record(wanted, file, source, duration))
        click.echo(f"{out}: {_progress(file)}", err=True)
    except KeyboardInterrupt:
        return  # before it had begun
    except (ClientError, RecordingError, OSError) as error:
        raise click.ClickException(str(error)) from None
    except ValueError as error:
        raise click.UsageError(str(error)) from None


async def _record(
    channels: tuple[str, ...],
    file: RecordingFile,
    source: Target | Settings,
    duration: int | None,
) -> None:
    import hub
    from hub.cli.moments import now_us
    from hub.client.recording import VERSION, Begin, End

    places = {channel: file.places.positions.get(channel) for channel in channels}
    file.write(
        Begin(
            at=now_us(),
            version=VERSION,
            channels=channels,
            source="hub" if isinstance(source, Target) else "redis",
            tapecast=hub.__version__,
        )
    )
    if isinstance(source, Target):
        ended_at = await _from_hub(source, places, file, duration)
    else:
        ended_at = await _from_redis(source, places, file, duration)
    if ended_at is not None:
        file.write(End(at=ended_at))


async def _from_hub(
    target: Target,
    places: Mapping[str, Position | None],
    file: RecordingFile,
    duration: int | None,
) -> int | None:
    """Record until told to stop; returns up to when nothing is missing, None if that is unknown."""
    from hub.cli.following import follow_all, tell_of_link
    from hub.cli.moments import now_us
    from hub.cli.recordrows import row_of
    from hub.cli.stopping import Stopped, report_now_and_then, stop_when_asked

    ended_at: int | None = None

    def take(subscription: Subscription, frame: Frame) -> None:
        file.write(row_of(frame, subscription.kind, now_us()))

    async def stop(client: Client) -> None:
        nonlocal ended_at
        try:
            await stop_when_asked(duration)
        except Stopped:
            asked_at = now_us()
            # Its answer comes after all that the hub had sent before.
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_ANSWER_SECONDS):
                    await client.ping()
                    ended_at = asked_at
            raise

    async def report(_client: Client) -> None:
        await report_now_and_then(lambda: _progress(file))

    with suppress(Stopped):
        await follow_all(target, places, take, tell_of_link, stop, report)
    return ended_at


async def _from_redis(
    settings: Settings,
    places: Mapping[str, Position | None],
    file: RecordingFile,
    duration: int | None,
) -> int | None:
    """The same, straight from Redis."""
    from hub.broker.base import BrokerUnavailableError
    from hub.broker.redis import RedisBroker
    from hub.cli.moments import now_us
    from hub.cli.stopping import Stopped, report_now_and_then, stop_when_asked
    from hub.cli.straight import Straight

    broker = RedisBroker(settings.redis_url, streams=settings.streams)
    straight = Straight(broker, places, settings.streams, file.write)
    try:
        await straight.run(stop_when_asked(duration), report_now_and_then(lambda: _progress(file)))
    except Stopped:
        asked_at = now_us()
        with suppress(BrokerUnavailableError):
            await straight.catch_up()
            return asked_at
        return None
    finally:
        await broker.disconnect()
    raise AssertionError("it follows until it is stopped")


def _progress(file: RecordingFile) -> str:
    resets = f", {file.resets:,} resets" if file.resets else ""
    return f"{file.rows:,} rows, {file.updates:,} of them changes{resets}"
