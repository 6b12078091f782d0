"""`tapecast produce SOURCE`: run a source until Ctrl-C or SIGTERM.

Sources are found by the entry point group `tapecast.sources`; each is a sub-command with the
source's own options and those that all have. What publishes is imported when it runs, so that
`tapecast --help`, which loads this module, stays quick.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import entry_points
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from hub.protocol.channels import check_channel
from hub.protocol.errors import ChannelNameError
from hub.protocol.publication import Receipt
from producers.answers import Answer
from producers.errors import ProducerError
from producers.settings import BadSettings, Settings, read_settings, read_source
from producers.sources.base import (
    ENTRY_POINT_GROUP,
    TIMEOUT_SECONDS,
    Decided,
    FollowingSource,
    PollingSource,
    Positions,
    Reading,
    Trouble,
)

if TYPE_CHECKING:
    from producers.publisher import Publisher
    from producers.readings import Result

_COMMON = (
    click.Option(
        ["--redis"],
        metavar="URL",
        help="Redis or Valkey. [default: $TAPECAST_REDIS_URL, else a running embedded server, "
        "else redis://127.0.0.1:6379/0]",
    ),
    click.Option(
        ["--config"],
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="The TOML file of streams and sources. [default: $TAPECAST_CONFIG]",
    ),
    click.Option(
        ["--as", "name"],
        metavar="NAME",
        help="What it is called: its table in the file is [sources.NAME]. [default: the source]",
    ),
    click.Option(
        ["--spool"],
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Keep what waits for Redis in this file, through a kill; one producer a file.",
    ),
    click.Option(["--quiet", "-q"], is_flag=True, help="Say only what goes wrong."),
)
_POLLING = (
    click.Option(
        ["--interval"],
        type=click.FloatRange(min=0.01),
        metavar="SECONDS",
        help="How often the source is asked. [default: the source's own]",
    ),
    click.Option(
        ["--timeout"],
        type=click.FloatRange(min=0.01),
        metavar="SECONDS",
        default=TIMEOUT_SECONDS,
        show_default=True,
        help="How long one call of the source may take.",
    ),
)
_ONCE = (
    click.Option(["--once"], is_flag=True, help="Publish what is there, print counts, and end."),
)


class Sources(click.Group):
    """The sources that are installed, each loaded when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(entry_points(group=ENTRY_POINT_GROUP).names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for found in entry_points(group=ENTRY_POINT_GROUP, name=cmd_name):
            try:
                source = found.load()
                if not issubclass(source, PollingSource | FollowingSource):
                    raise TypeError("expected a PollingSource or FollowingSource")
                return SourceCommand(cmd_name, source)
            # One that is broken may fail in any way, and shall not hide the others.
            except Exception as error:
                return _broken(cmd_name, f"{found.value}: {type(error).__name__}: {error}")
        return None


def _broken(name: str, why: str) -> click.Command:
    """What stands in the list for a source that can't be loaded, and fails saying why."""

    def fail() -> None:
        raise click.ClickException(f"the source {name} can't be loaded. {why}")

    return click.Command(
        name,
        callback=fail,
        short_help="(can't be loaded)",
        # Whatever the source would have taken.
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        add_help_option=False,
    )


@click.command(cls=Sources, short_help="Run a source and publish what it says.")
def produce() -> None:
    """Run a source and publish what it says.

    A source's options stand in the TOML file too, in the table [sources.NAME], with "_" for "-".

    \b
    Examples:
      tapecast produce paper
      tapecast produce decision-store data/decisions
      my-strategy | tapecast produce stdin
      tapecast produce webhook --config tapecast.toml
      tapecast produce ccxt --exchange bybit --type swap --sandbox
      tapecast produce freqtrade --url http://10.0.0.7:8080
      tapecast produce ccxt --help
    """


class SourceCommand(click.Command):
    """A source's sub-command; what its table in the file says is the default of its options."""

    def __init__(self, name: str, source: type[PollingSource | FollowingSource]) -> None:
        own: tuple[click.Parameter, ...] = ()
        if issubclass(source, PollingSource):
            own = _POLLING
        elif source.read_once is not FollowingSource.read_once:
            own = _ONCE
        super().__init__(
            name,
            params=[*source.options, *own, *_COMMON],
            help=cleandoc(source.summary),
            callback=self._run,
        )
        common = {each.name for each in (*own, *_COMMON)}
        if taken := common & ({each.name for each in source.options} | source.tables):
            raise TypeError(f"{source.__name__}: these names are taken: {', '.join(taken)}")
        self._entry = name
        self._source = source
        self._table: dict[str, Any] = {}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # Which file and which table is said by options, so these are looked at first.
        given, _, _ = self.make_parser(ctx).parse_args(list(args))
        shows_help = self.get_help_option(ctx)
        if shows_help is None or shows_help.name not in given:
            self._table = self._read_table(given)
            ctx.default_map = self._table
        return super().parse_args(ctx, args)

    def _read_table(self, given: Mapping[str, Any]) -> dict[str, Any]:
        name = given.get("name") or self._entry
        try:
            table = read_source(os.environ, name, config=given.get("config"))
        except BadSettings as error:
            raise click.UsageError(str(error)) from None
        # Where Redis is, and which file and table this is, is not said in the table.
        outside = {each.name for each in _COMMON} - {"spool"}
        known = {each.name for each in self.params if each.name} - outside | self._source.tables
        for unknown in table.keys() - known:
            names = ", ".join(sorted(known))
            raise click.UsageError(
                f"[sources.{name}]: unknown option {unknown}. Known are: {names}."
            )
        return table

    def _run(self, **options: Any) -> None:
        name = options["name"] or self._entry
        tables = {each: self._table.get(each) for each in self._source.tables}
        _produce(self._source, {**options, **tables, "name": name})


def _produce(source: type[PollingSource | FollowingSource], options: dict[str, Any]) -> None:
    from producers.publisher import Publisher

    logging.basicConfig(
        level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr
    )
    if not options["quiet"]:
        # Not of the libraries beneath, some of which tell of every request.
        for package in {"producers", source.__module__.partition(".")[0]}:
            logging.getLogger(package).setLevel(logging.INFO)
    name = options["name"]
    progress = Progress(quiet=options["quiet"])
    try:
        settings = read_settings(os.environ, redis=options["redis"], config=options["config"])
        publisher = Publisher(
            settings.redis_url, name=name, streams=settings.streams, spool=options["spool"]
        )
        made = source.from_options(
            {**options, "streams": settings.streams, "redis_url": settings.redis_url}
        )
        for channel in made.channels:
            check_channel(channel)
    except (BadSettings, ChannelNameError, ValueError) as error:
        raise click.UsageError(str(error)) from error
    try:
        if isinstance(made, FollowingSource) and options.get("once"):
            asyncio.run(_once(made, publisher, progress))
        else:
            limits: dict[str, Any] = {}
            if isinstance(made, PollingSource):
                limits = {limit: options[limit] for limit in ("interval", "timeout")}
            progress.say(f"{name}: publishing to {_without_password(settings)}, Ctrl-C ends it")
            asyncio.run(_run(made, publisher, progress, limits))
            if isinstance(made, FollowingSource) and made.failed:
                raise click.exceptions.Exit(1)
    except ProducerError as error:
        raise click.ClickException(str(error)) from error


async def _run(
    source: PollingSource | FollowingSource,
    publisher: Publisher,
    progress: Progress,
    limits: dict[str, Any],
) -> None:
    from producers.handlers import obeying
    from producers.worker import Worker

    async with publisher:
        worker = Worker(source, publisher, report=progress.report, **limits)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, worker.stop)
        async with obeying(source.handlers(), publisher, source.agent):
            await worker.run()
    progress.say(_counted(publisher.counts) or "nothing was published")


async def _once(source: FollowingSource, publisher: Publisher, progress: Progress) -> None:
    from producers.readings import publish_once

    async with publisher:
        # Somebody waits for the end of this, so it doesn't wait for Redis.
        await publisher.ping()
        counts = await publish_once(source, publisher, report=progress.report)
    names = ("published", "unchanged", "refused", "broken")
    click.echo(", ".join(f"{name} {counts[name]}" for name in names))
    if counts["refused"]:
        raise click.exceptions.Exit(1)


class Progress:
    """A line on standard error for what somebody watching would want to know."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def say(self, line: str) -> None:
        if not self._quiet:
            click.echo(line, err=True)

    def report(self, reading: Reading, result: Result) -> None:
        """Told by the worker of every reading; what was refused is logged by it."""
        from producers.readings import is_news

        match reading, result:
            case Trouble(title=title, detail=detail), _:
                click.echo(f"{title}: {detail}", err=True)
            case Decided(decision=decision), Answer(receipt=Receipt(position=at)) if is_news(
                result
            ):
                done = ", executed" if decision.executed else ""
                what = f"{decision.id} {decision.action} {decision.asset_pair}{done}"
                self.say(f"{reading.channel} {at.seq}: {what}")
            case Positions(), Answer(receipt=Receipt(position=at, inserted=opened, deleted=closed)):
                for verb, row_ids in (("opened", opened), ("closed", closed)):
                    for row_id in row_ids:
                        self.say(f"{reading.channel} {at.seq}: {verb} {row_id}")


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _without_password(settings: Settings) -> str:
    parts = urlsplit(settings.redis_url)
    if parts.username is None and parts.password is None:
        return settings.redis_url
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
