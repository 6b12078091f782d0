"""`tapecast play`: publish a recording again."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hub.cli.moments import MOMENT
from hub.cli.options import config_option, read_settings, running_embedded
from hub.cli.target import find_target
from hub.cli.values import CHANNEL

if TYPE_CHECKING:
    from hub.cli.player import Plan
    from hub.cli.stages import Opened

INTERRUPTED = 130
"""The exit status of a play that was stopped: what a shell gives Ctrl-C."""


class Speed(click.ParamType[float, str]):
    """How many times as fast, or max; infinity for that."""

    name = "speed"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        try:
            speed = float("inf" if value == "max" else value)
        except ValueError:
            speed = 0.0
        if not speed > 0:
            self.fail(f"expected a number above 0, or max, got {value!r}", param, ctx)
        return speed


class Mapped(click.ParamType[tuple[str, str], str]):
    """OLD=NEW, two channels."""

    name = "map"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        old, equals, new = value.partition("=")
        if not equals:
            self.fail(f"expected OLD=NEW, such as positions=test:positions, got {value!r}")
        return CHANNEL.convert(old, param, ctx), CHANNEL.convert(new, param, ctx)


@click.command(short_help="Publish a recording again.")
@click.argument("file", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@click.option(
    "--speed", type=Speed(), default="1", show_default=True, help="Times as fast, or max."
)
@click.option("--channel", "channels", multiple=True, type=CHANNEL, help="Only this; repeatable.")
@click.option(
    "--map", "mapped", multiple=True, type=Mapped(), metavar="OLD=NEW",
    help="Play a channel to another one; repeatable.",
)  # fmt: skip
@click.option("--from", "begin", type=MOMENT, metavar="TIME", help="Begin with the state then.")
@click.option("--to", "end", type=MOMENT, metavar="TIME", help="End then.")
@click.option("--redis", metavar="URL", help="The Redis or Valkey; otherwise as `serve` finds it.")
@click.option("--url", metavar="URL", help="Through this hub, with TAPECAST_TOKEN.")
@click.option(
    "--id", "play_id", metavar="ID",
    help="The play's name: one of the same name goes on, another begins anew.",
)  # fmt: skip
@config_option
def play(
    file: Path,
    speed: float,
    channels: tuple[str, ...],
    mapped: tuple[tuple[str, str], ...],
    begin: int | None,
    end: int | None,
    redis: str | None,
    url: str | None,
    play_id: str | None,
    config: Path | None,
) -> None:
    """Publish the changes of a recording again: in their order over all channels, with their
    events and data as they were, and with the time between them that there was.

    A value or table begins with its state. Stopped and called again it goes on where it was, and
    publishes nothing twice; how far it is stands in FILE.played. With another --id it begins anew.

    It publishes to Redis as producers do; with --url through a hub, as the token allows.

    \b
    Examples:
      tapecast play today.jsonl --speed 10
      tapecast play today.jsonl --channel positions --map positions=test:positions --speed max
      tapecast play today.jsonl --from 14:30 --to 15:00 --url http://127.0.0.1:8000 --id demo-2
    """
    from hub.cli import stages
    from hub.cli.player import Plan
    from hub.cli.ways import NoAnswer
    from hub.client.recording import RecordingError

    if redis and url:
        raise click.UsageError("expected --redis or --url, got both: leave one out.")
    settings = read_settings(config, options={"redis_url": redis}, fallbacks=running_embedded())
    try:
        play_id = _check_id(play_id) if play_id else _id_of(file)
        producer = f"play-{play_id}"
        stage: Opened
        if url:
            stage = stages.through_hub(find_target(url, os.environ), producer)
        else:
            stage = stages.in_redis(settings, producer)
        plan = Plan(
            file=file,
            speed=speed,
            channels=channels,
            names=dict(mapped),
            begin=begin,
            end=end,
            play_id=play_id,
            live=not url,
        )
        finished = asyncio.run(_play(plan, stage))
    except (NoAnswer, RecordingError, stages.PlayError, OSError) as error:
        raise click.ClickException(str(error)) from None
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except KeyboardInterrupt:
        finished = False
    sys.exit(0 if finished else INTERRUPTED)


async def _play(plan: Plan, stage: Opened) -> bool:
    """Whether it was played to its end, and not stopped before."""
    from hub.cli.player import Player
    from hub.cli.stopping import Stopped, report_now_and_then, stop_when_asked

    async with stage as opened:
        player = Player(plan, opened)
        try:
            async with asyncio.TaskGroup() as tasks:
                playing = tasks.create_task(player.run())
                besides = [
                    tasks.create_task(stop_when_asked()),
                    tasks.create_task(report_now_and_then(player.progress)),
                ]
                await playing
                for beside in besides:
                    beside.cancel()
        except ExceptionGroup as group:
            error = group.exceptions[0]
            if not isinstance(error, Stopped):
                raise error from None
            click.echo(f"stopped: {player.progress()}; called again, it goes on.", err=True)
            return False
    click.echo(player.progress(), err=True)
    return True


def _check_id(text: str) -> str:
    plain = all(each.isalnum() or each in "_.-" for each in text)
    if plain and text.isascii() and len(text) <= MAX_ID:
        return text
    raise click.UsageError(f"--id: expected 1 to {MAX_ID} letters, digits, '_', '.' or '-'")


MAX_ID = 40


def _id_of(file: Path) -> str:
    """The same for every play of a recording, however much was appended to it meanwhile."""
    from hub.cli.recordfile import open_recording
    from hub.client.recording import RecordingError, encode_row

    with open_recording(file) as rows:
        first = next(rows, None)
    if first is None:
        raise RecordingError(f"{file}: expected a recording, and it is empty")
    return hashlib.sha256(encode_row(first)).hexdigest()[:16]
