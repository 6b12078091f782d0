"""`tapecast ingest`: publish what programs in any language add to a Redis Stream."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hub.cli.options import config_option, read_settings, running_embedded
from hub.protocol.inlet import DEFAULT_GROUP, DEFAULT_INLET

if TYPE_CHECKING:
    from hub.broker.inlet import Counts, InletWorker
    from hub.server.settings import Settings

MAX_TOLD = 100


@click.command(short_help="Publish what is added to a Redis Stream.")
@click.option(
    "--stream", metavar="KEY", default=DEFAULT_INLET, show_default=True, help="The Redis Stream."
)
@click.option(
    "--group", metavar="NAME", default=DEFAULT_GROUP, show_default=True, help="Its consumer group."
)
@click.option("--redis", metavar="URL", help="The Redis or Valkey; otherwise as `serve` finds it.")
@config_option
def ingest(stream: str, group: str, redis: str | None, config: Path | None) -> None:
    """Publish the entries of a Redis Stream, until Ctrl-C or SIGTERM.

    A program in any language adds an entry with the fields channel, event and data (JSON), and
    perhaps id, so that adding it twice publishes it once, and key (of a log's entry). Each is
    published once and in order, whatever happens to this process; what was published is removed
    from the stream. An entry that can't be published goes to KEY:dead with the reason.

    Any number of workers may run: one is active, and when it dies another goes on within seconds.

    \b
    Examples:
      tapecast ingest
      redis-cli XADD tapecast:inlet '*' channel decisions event decision_made data '{"id": "d-1"}'
      tapecast ingest --stream orders:inlet --redis redis://db.internal:6379/0
      redis-cli XRANGE tapecast:inlet:dead - +
    """
    settings = read_settings(config, options={"redis_url": redis}, fallbacks=running_embedded())
    counts = asyncio.run(_ingest(settings, stream, group))
    click.echo(progress(counts), err=True)


async def _ingest(settings: Settings, stream: str, group: str) -> Counts:
    from hub.broker.inlet import InletWorker
    from hub.broker.redis import RedisBroker
    from hub.cli.stopping import report_now_and_then
    from hub.protocol.inlet import InletKeys

    broker = RedisBroker(settings.redis_url, streams=settings.streams)
    keys = InletKeys(stream, group)
    burials = _Burials(keys.dead)
    worker = InletWorker(broker, keys, settings.streams, buried=burials.tell, told=_tell)
    reporting = asyncio.ensure_future(report_now_and_then(lambda: progress(worker.counts)))
    stopping = asyncio.ensure_future(_stop_when_asked(worker))
    try:
        await worker.run()
    finally:
        for task in (reporting, stopping):
            task.cancel()
        await asyncio.gather(reporting, stopping, return_exceptions=True)
        await broker.disconnect()
    return worker.counts


async def _stop_when_asked(worker: InletWorker) -> None:
    from hub.cli.stopping import Stopped, stop_when_asked

    with suppress(Stopped):
        await stop_when_asked()
    worker.stop()


def progress(counts: Counts) -> str:
    """What became of entries so far, on one line."""
    parts = {
        "published": counts.published,
        "unchanged": counts.unchanged,
        "known already": counts.known,
        "dead letters": counts.buried,
        "removed unpublished": counts.removed,
        "waiting": counts.lag,
    }
    told = [f"{count:,} {what}" for what, count in parts.items() if count or what == "published"]
    return ", ".join(told)


def _tell(text: str) -> None:
    from hub.cli.lines import printable

    click.echo(printable(text), err=True)


class _Burials:
    """Says of each dead letter why, as long as they are few."""

    def __init__(self, dead: str) -> None:
        self._dead = dead
        self._told = 0

    def tell(self, id: str, reason: str) -> None:
        """One more."""
        self._told += 1
        if self._told <= MAX_TOLD:
            _tell(f"entry {id} is in {self._dead}: {reason}")
        elif self._told == MAX_TOLD + 1:
            _tell(f"more than {MAX_TOLD} dead letters; the others are only counted here.")
