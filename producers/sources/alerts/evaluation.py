"""Follows the channels that rules watch, and publishes what the rules say.

The rules:

1. What comes only rings: channels are read from their stream, from where they were seen to, so each
   entry is seen once and in order however often the link breaks.
2. An alert, what the rules remember of it, and how far the channels were seen are stored in one
   step. Whoever goes on from there neither tells it again nor forgets that it was told.
3. Time is the server's: of an entry, when it was published; else what the server's clock says.
4. Whatever fails ends it, and it begins anew with what is stored.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from hub.protocol import keys
from hub.protocol.channels import check_channel, matches
from hub.protocol.errors import ChannelNameError
from hub.protocol.publication import AppendEntry, Publication
from hub.protocol.reading import ChannelReading
from hub.protocol.scripts import READ, parse_reading, publish_call, read_call
from hub.protocol.streams import Kind, Stream, stream_options
from producers.encoding import encode
from producers.errors import SourceError
from producers.events import Event
from producers.sources.alerts.engine import Engine, Told
from producers.sources.alerts.link import Link
from producers.sources.alerts.rules import AnyRule, watched_channel
from producers.sources.alerts.scripts import COMMIT, NUMBER_FIELD, Place, commit_call
from producers.sources.alerts.watched import Mark, Watched
from producers.sources.base import Reading

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""How often channels are looked at where nothing happens: time alone can make a rule fire."""
TOGETHER_SECONDS: Final = 0.05
"""How long what happens is collected before it is read."""
DISCOVER_SECONDS: Final = 5.0
"""How often channels are looked for that patterns take."""
BATCH: Final = 500
NEWEST: Final = 1_000
"""How many of the newest entries are read where it can't be proved which ones follow."""

_MARK: Final = "@"
_encode_mark = msgspec.json.Encoder().encode


class Evaluation:
    """The rules of one place, evaluated by whoever has its token."""

    def __init__(
        self,
        link: Link,
        place: Place,
        token: str,
        rules: Mapping[str, AnyRule],
        streams: Mapping[str, Stream],
    ) -> None:
        self._link = link
        self._place = place
        self._token = token
        self._rules = rules
        self._streams = streams
        self._named = {name for rule in rules.values() if (name := watched_channel(rule))}
        self._patterns = {rule.channel for rule in rules.values() if not watched_channel(rule)}
        self._producer = f"rules-{token[:8]}"

    async def follow(self) -> AsyncGenerator[Sequence[Reading]]:
        """Evaluate until closed; nothing is yielded but that it goes well. Raises SourceError."""
        await self._recall()
        discovered_at = -DISCOVER_SECONDS
        now = asyncio.get_running_loop().time
        is_first = True
        while True:
            if self._patterns and now() - discovered_at >= DISCOVER_SECONDS:
                self._watch(await self._discover())
                discovered_at = now()
            await self._round()
            if is_first:
                is_first = False
                yield []
            await asyncio.sleep(TOGETHER_SECONDS)
            await self._link.wait(self._seqs(), LOOK_SECONDS)

    async def _recall(self) -> None:
        """What whoever evaluated before has stored."""
        [reply] = await self._link.ask(("HGETALL", self._place.memory))
        # redis-py makes a mapping of it, or leaves it as it came.
        fields = (
            reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
        )
        self._number = int(fields.pop(NUMBER_FIELD, b"0 ").split(b" ")[0])
        remembered: dict[str, bytes] = {}
        self._stored: dict[str, Mark] = {}
        for field, value in fields.items():
            name = field.decode(errors="replace")
            if name.startswith(_MARK):
                self._stored[name[1:]] = msgspec.json.decode(value, type=Mark)
            else:
                remembered[name] = value
        self._engine = Engine(self._rules, remembered)
        self._watched: dict[str, Watched] = {}
        [[seconds, micros]] = await self._link.ask(("TIME",))
        if told := self._engine.retire(int(seconds) * 1_000_000 + int(micros)):
            await self._commit(told)
        self._watch(self._named | self._engine.channels)

    def _watch(self, channels: Iterable[str]) -> None:
        for channel in sorted(channels):
            if channel not in self._watched:
                options = stream_options(channel, self._streams)
                self._watched[channel] = Watched(channel, options, self._stored.get(channel))

    async def _discover(self) -> set[str]:
        """The channels that the patterns take."""
        found: set[str] = set()
        for pattern in self._patterns:
            cursor = b"0"
            match = f"{keys.PREFIX}{{{pattern}}}:meta"
            while True:
                [[cursor, names]] = await self._link.ask(
                    ("SCAN", cursor, "MATCH", match, "COUNT", 1_000)
                )
                found.update(keys.channel_of_meta(name.decode(errors="replace")) for name in names)
                if int(cursor) == 0:
                    break
        return {
            channel
            for channel in found
            if _is_channel(channel)
            and channel != self._place.channel
            and any(matches(pattern, channel) for pattern in self._patterns)
        }

    def _seqs(self) -> dict[str, int]:
        marks = {name: watched.mark for name, watched in self._watched.items()}
        return {name: 0 if mark is None else mark.seq for name, mark in marks.items()}

    async def _round(self) -> None:
        """Look at each channel as it is now, and at all that came since the last time."""
        behind = list(self._watched.values())
        while behind:
            # First: no channel is taken to be fresher than it is.
            [[seconds, micros]] = await self._link.ask(("TIME",))
            now = int(seconds) * 1_000_000 + int(micros)
            readings = await self._read(behind)
            pairs = zip(behind, readings, strict=True)
            behind = [
                watched for watched, each in pairs if not await self._take(watched, each, now)
            ]
        await self._commit([])

    async def _read(self, channels: Sequence[Watched]) -> list[ChannelReading]:
        calls = [
            read_call(each.channel, each.mark.seq, BATCH, state=each.needs_state)
            if each.mark is not None
            else read_call(each.channel, None, 1, state=True)
            for each in channels
        ]
        replies = await self._link.call(READ, calls)
        return [
            parse_reading(each.channel, reply, newest_first=each.mark is None)
            for each, reply in zip(channels, replies, strict=True)
        ]

    async def _take(self, watched: Watched, reading: ChannelReading, now: int) -> bool:
        """Take what a channel says; whether that is all that it has."""
        entries = watched.take(reading)
        if entries is None:
            call = read_call(watched.channel, None, NEWEST, state=True)
            [reply] = await self._link.call(READ, [call])
            reading = parse_reading(watched.channel, reply, newest_first=True)
            entries = watched.begin(reading)
        for entry in entries:
            look = watched.apply(entry)
            if watched.kind is Kind.LOG:
                told = self._engine.happened(watched.channel, entry.event, look, entry.ts)
            else:
                told = self._engine.look(look, entry.ts)
            if told:
                await self._commit(told)
        if reading.position is not None and (
            watched.mark is None or watched.mark.position != reading.position
        ):
            return False
        if entries:
            # Its clock may be ahead by a little: it was asked before.
            now = max(now, entries[-1].ts)
        if told := self._engine.look(watched.look(reading, now), now):
            await self._commit(told)
        return True

    async def _commit(self, told: Sequence[Told]) -> None:
        """Store what is remembered and how far was seen, and publish what is told, in one step."""
        changes: dict[str, bytes | None] = dict(self._engine.take_changes())
        for name, watched in self._watched.items():
            if watched.mark is not None and watched.mark != self._stored.get(name):
                self._stored[name] = watched.mark
                changes[f"{_MARK}{name}"] = _encode_mark(watched.mark)
        if not changes and not told:
            return
        self._number += 1
        stream = stream_options(self._place.channel, self._streams)
        epoch = secrets.token_urlsafe(6)
        publishes = [
            publish_call(
                Publication(
                    self._place.channel,
                    Kind.LOG,
                    Event.ALERT,
                    AppendEntry(encode(each.alert), each.key),
                    self._producer,
                    self._number * 1_000_000 + n,
                ),
                stream,
                epoch,
            )
            for n, each in enumerate(told)
        ]
        call = commit_call(self._place, self._token, self._number, changes, publishes)
        [reply] = await self._link.call(COMMIT, [call])
        if reply != b"done":
            raise SourceError("another evaluates the rules now")
        for each in told:
            logger.info("%s: %s", each.alert.severity, each.alert.title)


def _is_channel(name: str) -> bool:
    try:
        check_channel(name)
    except ChannelNameError:
        return False
    return True
