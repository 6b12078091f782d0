"""Rules and sinks as a source: what runs while this one is active, and what while another is.

The rules:

1. Of those that were started with one name on one Redis, one is active: it evaluates the rules and
   serves the sinks. The others wait, and say so on a health channel of their own.
2. The rules, and each sink, fail by themselves: each is a component of the health that is down with
   the reason, and is tried again after a pause, while the others go on.
3. Alerts are not published as readings: what is told and what is remembered of it belong in one
   step, which only the active one may take.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, ClassVar, Final, Self

import click

from hub.protocol.channels import check_channel
from hub.protocol.streams import KNOWN, Stream
from producers.errors import SourceError
from producers.events import Health, HealthState
from producers.sources.alerts import checking
from producers.sources.alerts.delivery import Delivery
from producers.sources.alerts.evaluation import Evaluation
from producers.sources.alerts.link import Link
from producers.sources.alerts.rules import AnyRule, read_rules
from producers.sources.alerts.scripts import Place
from producers.sources.alerts.sinks.base import SinkOptions, Surroundings
from producers.sources.alerts.sinks.kinds import make, read_sinks
from producers.sources.alerts.tenure import LEASE_SECONDS, RENEWALS, Tenure
from producers.sources.base import FollowingSource, Reading, State
from producers.sources.credentials import without_secrets
from producers.sources.parts import Part, Parts

logger = logging.getLogger(__name__)

FIRST_ANSWER_SECONDS: Final = 20.0


class AlertsSource(FollowingSource):
    """The rules and the sinks of the file."""

    summary: ClassVar[str] = """Watch channels by rules, publish alerts, and deliver them.

    Rules and sinks stand in the TOML file. Several may be started, also on other machines: one is
    active, and another takes over within seconds when it ends or dies.

    \b
    [sources.alerts.rules.day-drawdown]
    watch = "drawdown"             # or exposure, field, events, staleness
    channel = "portfolio:*"
    limit = 5
    clear = 3
    severity = "critical"
    [sources.alerts.sinks.desk]
    kind = "webhook"               # or email
    url = "https://desk.example/hooks/tapecast"
    secret = "DESK_SECRET"

    \b
    Examples:
      tapecast produce alerts --config tapecast.toml --check
      tapecast produce alerts --config tapecast.toml --test-sinks
      tapecast produce alerts --config tapecast.toml
    """
    options: ClassVar[Sequence[click.Parameter]] = (
        click.Option(
            ["--channel"],
            default="alerts",
            show_default=True,
            help="The log that alerts are published to, and delivered from.",
        ),
        click.Option(
            ["--lease-seconds"],
            type=click.FloatRange(min=0.5, max=300),
            default=LEASE_SECONDS,
            show_default=True,
            metavar="SECONDS",
            help="How long after its death another takes over.",
        ),
        click.Option(["--check"], is_flag=True, help="Say what each rule watches, and end."),
        click.Option(["--test-sinks"], is_flag=True, help="Deliver a test to each sink, and end."),
    )
    tables: ClassVar[frozenset[str]] = frozenset({"rules", "sinks"})

    def __init__(
        self,
        rules: Mapping[str, AnyRule],
        sinks: Mapping[str, SinkOptions],
        surroundings: Surroundings,
        *,
        name: str = "alerts",
        channel: str = "alerts",
        lease_seconds: float = LEASE_SECONDS,
        streams: Mapping[str, Stream] = KNOWN,
    ) -> None:
        self._rules = rules
        self._sinks = sinks
        self._surroundings = surroundings
        self._name = name
        self._place = Place(channel, name)
        self._lease_seconds = lease_seconds
        self._streams = streams
        self._is_active = True

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        channel = check_channel(options["channel"])
        rules = read_rules(options["rules"], channel, options["streams"])
        sinks = read_sinks(options["sinks"])
        if not rules and not sinks:
            raise ValueError(
                "expected tables [sources.alerts.rules.NAME] and [sources.alerts.sinks.NAME], "
                "got neither"
            )
        checking.check_sinks_exist(rules, sinks)
        surroundings = Surroundings(os.environ, options["redis_url"])
        # What they lack is said before anything runs.
        made = {name: make(name, each, surroundings) for name, each in sinks.items()}
        if options["check"]:
            click.echo(checking.described(rules, sinks))
        if options["test_sinks"]:
            failed = asyncio.run(checking.test_sinks(made, sinks))
            click.get_current_context().exit(1 if failed else 0)
        if options["check"]:
            click.get_current_context().exit()
        return cls(
            rules,
            sinks,
            surroundings,
            name=options["name"],
            channel=channel,
            lease_seconds=options["lease_seconds"],
            streams=options["streams"],
        )

    @property
    def health_channel(self) -> str:
        # Whoever waits must not write over what the active one says.
        return f"health:{self._name}" if self._is_active else f"health:{self._name}.standby"

    @property
    def channels(self) -> tuple[str, ...]:
        return (self.health_channel,)

    async def follow(self) -> AsyncGenerator[Sequence[Reading]]:
        async with Link(self._surroundings.redis_url, name=f"{self._name}-alerts") as link:
            tenure = Tenure(link, self._place, self._lease_seconds)
            seconds: float | None = FIRST_ANSWER_SECONDS
            try:
                while True:
                    # Not known to be another's is not another's: while Redis is away nothing is.
                    async with asyncio.timeout(seconds):
                        is_active = await self._take(tenure)
                    seconds = None
                    was_active, self._is_active = self._is_active, is_active
                    if is_active:
                        async with contextlib.aclosing(self._act(link, tenure)) as batches:
                            async for batch in batches:
                                yield batch
                    elif was_active:
                        logger.info("%s: another is active; waiting", self._name)
                        yield [self._health()]
                    await asyncio.sleep(self._lease_seconds / RENEWALS)
            finally:
                self._is_active = True
                await tenure.give_up()

    async def _take(self, tenure: Tenure) -> bool:
        """Whether this one is active now; asks until Redis answers."""
        failed = False
        while True:
            try:
                is_active = await tenure.take()
            except SourceError as error:
                if not failed:
                    logger.warning("%s; nothing is evaluated", error)
                failed = True
                await asyncio.sleep(self._lease_seconds / RENEWALS)
            else:
                return is_active

    async def _act(self, link: Link, tenure: Tenure) -> AsyncGenerator[Sequence[Reading]]:
        """Evaluate and deliver until the lease is lost. Raises SourceError where it can't begin."""
        token = tenure.token
        evaluation = Evaluation(link, self._place, token, self._rules, self._streams)
        sinks = [make(name, each, self._surroundings) for name, each in self._sinks.items()]
        deliveries = [
            Delivery(link, self._place, token, sink, options, self._rules, self._streams)
            for sink, options in zip(sinks, self._sinks.values(), strict=True)
        ]
        keeping = asyncio.create_task(tenure.keep(), name="alerts keeps the lease")
        parts = Parts(
            [
                Part("rules", (), evaluation.follow),
                *(Part(f"sink {each.name}", (), each.follow) for each in deliveries),
            ],
            self.health_channel,
            shown=_shown,
        )
        try:
            # Before a rule can fire: what is published from now on is theirs.
            for delivery in deliveries:
                await delivery.begin()
            logger.info("%s: active", self._name)
            yield [self._health()]
            async with (
                contextlib.aclosing(parts.follow()) as batches,
                contextlib.aclosing(_until(keeping, batches)) as lasting,
            ):
                async for batch in lasting:
                    yield batch
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])
            for sink in sinks:
                await sink.close()

    def _health(self) -> Reading:
        return State(self.health_channel, Health(state=HealthState.OK))


def _shown(text: str) -> str:
    return without_secrets(text, ())


async def _until(
    ended: asyncio.Task[None], batches: AsyncGenerator[Sequence[Reading]]
) -> AsyncGenerator[Sequence[Reading]]:
    """The batches until something ended."""
    batch: asyncio.Task[Sequence[Reading]] | None = None
    try:
        while True:
            batch = asyncio.create_task(_next(batches), name="alerts waits for news")
            await asyncio.wait([batch, ended], return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                return
            yield batch.result()
    finally:
        # A generator that runs can't be closed.
        if batch is not None:
            batch.cancel()
            await asyncio.wait([batch])


async def _next(batches: AsyncGenerator[Sequence[Reading]]) -> Sequence[Reading]:
    return await anext(batches)
