"""Brings the alerts of a log to one sink.

The rules:

1. A sink follows the log from its mark, which is stored: so what agents publish is delivered too,
   and what was not delivered waits in the log, through a kill and for whoever is active next.
2. One at a time and in order. What fails is tried again until it is too old; what would fail again
   is given up at once, and said.
3. The mark moves after the delivery: what was delivered when somebody died may be delivered again,
   under the same id. Nothing is left out.
4. A sink that is new begins with what is published from then on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final

import msgspec

from hub.protocol.envelope import Envelope
from hub.protocol.scripts import READ, parse_reading, read_call
from hub.protocol.streams import Stream, stream_options
from producers.errors import SinkError, SourceError
from producers.events import Alert, Event, Severity
from producers.sources.alerts.link import Link
from producers.sources.alerts.rules import AnyRule
from producers.sources.alerts.scripts import MARK, Place, mark_call
from producers.sources.alerts.sinks.base import Notice, Sink, SinkOptions
from producers.sources.alerts.watched import NOWHERE, Mark, Watched
from producers.sources.base import Reading

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 5.0
BATCH: Final = 100
NEWEST: Final = 1_000
MAX_TITLE: Final = 200
MAX_DETAIL: Final = 500

_LEAST_FIRST: Final = (Severity.INFO, Severity.WARNING, Severity.CRITICAL)
_encode_mark = msgspec.json.Encoder().encode
_decode_alert = msgspec.json.Decoder(Alert).decode


class Delivery:
    """One sink of one place, served by whoever has its token."""

    def __init__(
        self,
        link: Link,
        place: Place,
        token: str,
        sink: Sink,
        options: SinkOptions,
        rules: Mapping[str, AnyRule],
        streams: Mapping[str, Stream],
    ) -> None:
        self._link = link
        self._place = place
        self._token = token
        self.name = sink.name
        self._sink = sink
        self._options = options
        self._rules = rules
        self._stream = stream_options(place.channel, streams)

    async def begin(self) -> None:
        """Have a mark for the sink, before anything new is published; raises SourceError."""
        watched = Watched(self._place.channel, self._stream, None)
        call = read_call(self._place.channel, None, 1, state=False)
        [reply] = await self._link.call(READ, [call])
        watched.begin(parse_reading(self._place.channel, reply, newest_first=True))
        await self._store(watched.mark or NOWHERE, first=True)

    async def follow(self) -> AsyncGenerator[Sequence[Reading]]:
        """Deliver until closed; nothing is yielded but that it goes well. Raises SourceError."""
        [stored] = await self._link.ask(("HGET", self._place.sinks, self._sink.name))
        mark = NOWHERE if stored is None else msgspec.json.decode(stored, type=Mark)
        watched = Watched(self._place.channel, self._stream, mark)
        is_well = False
        while True:
            head, entries = await self._read(watched)
            for entry in entries:
                notice = notice_of(entry)
                is_wanted = notice is not None and self._wants(notice)
                if notice is not None and is_wanted:
                    await self._deliver(notice, watched, entry)
                watched.apply(entry)
                if is_wanted or entry is entries[-1]:
                    await self._store_of(watched)
                if is_wanted and not is_well:
                    is_well = True
                    yield []
            if not entries and not is_well:
                is_well = True
                yield []
            if len(entries) < BATCH:
                await self._link.wait({self._place.channel: head}, LOOK_SECONDS)

    async def _read(self, watched: Watched) -> tuple[int, list[Envelope]]:
        """Where the log stands, and what follows in it."""
        channel = self._place.channel
        since = None if watched.mark is None else watched.mark.seq
        [reply] = await self._link.call(READ, [read_call(channel, since, BATCH, state=False)])
        reading = parse_reading(channel, reply, newest_first=since is None)
        entries = watched.take(reading)
        if entries is None:
            call = read_call(channel, None, NEWEST, state=False)
            [reply] = await self._link.call(READ, [call])
            reading = parse_reading(channel, reply, newest_first=True)
            entries = watched.begin(reading)
            logger.warning(
                "%s: the log was lost or cut; going on with %d newer alerts",
                self._sink.name,
                len(entries),
            )
        return 0 if reading.position is None else reading.position.seq, entries

    def _wants(self, notice: Notice) -> bool:
        alert = notice.alert
        if _LEAST_FIRST.index(alert.severity) < _LEAST_FIRST.index(self._options.severity):
            return False
        rule = None if alert.rule is None else self._rules.get(alert.rule)
        return rule is None or rule.sinks is None or self._sink.name in rule.sinks

    async def _deliver(self, notice: Notice, watched: Watched, entry: Envelope) -> None:
        [[seconds, _micros]] = await self._link.ask(("TIME",))
        age = int(seconds) - notice.at_us // 1_000_000
        if age > self._options.max_age_seconds:
            logger.error("%s: given up after %d s: %s", self._sink.name, age, notice.alert.title)
            return
        try:
            async with asyncio.timeout(self._options.timeout_seconds):
                await self._sink.deliver(notice)
        except TimeoutError:
            raise SinkError(f"no answer within {self._options.timeout_seconds:g} s") from None
        except SinkError as error:
            if not error.is_lasting:
                raise
            logger.error("%s: given up: %s: %s", self._sink.name, notice.alert.title, error)
            watched.apply(entry)
            await self._store_of(watched)
            raise SinkError(f"gave up {notice.alert.title!r:.120}: {error}") from error

    async def _store_of(self, watched: Watched) -> None:
        assert watched.mark is not None
        await self._store(watched.mark, first=False)

    async def _store(self, mark: Mark, *, first: bool) -> None:
        call = mark_call(self._place, self._token, self._sink.name, _encode_mark(mark), first=first)
        [reply] = await self._link.call(MARK, [call])
        if reply != 1:
            raise SourceError("another delivers the alerts now")


def notice_of(entry: Envelope) -> Notice | None:
    """The alert that an entry of the log is, None for any other event."""
    if entry.event != Event.ALERT:
        return None
    at = entry.position
    id = f"{at.epoch}-{at.seq}-{at.tag}"
    return Notice(id, entry.channel, _alert_of(entry.data), entry.ts)


def _alert_of(data: bytes) -> Alert:
    """An alert as anybody may have written it: one without a weight is not taken lightly."""
    try:
        return _decode_alert(data)
    # What a payload refuses is a ValueError too.
    except ValueError:
        given: Any = msgspec.json.decode(data)
    if not isinstance(given, dict):
        given = {"title": data.decode(errors="replace")}
    severity = str(given.get("severity", "")).lower()
    detail = given.get("detail")
    return Alert(
        severity=Severity(severity) if severity in list(Severity) else Severity.WARNING,
        title=str(given.get("title") or given.get("text") or "Alert")[:MAX_TITLE],
        detail=None if detail is None else str(detail)[:MAX_DETAIL],
    )
