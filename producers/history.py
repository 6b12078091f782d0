"""Finds out what Redis lost of what it acknowledged.

A new link may lead to another server, or to the same one with older data: a replica that was
promoted, a restart. So Redis is asked after every link that is opened, and whenever an answer shows
another history than the one that was known. Nothing is written here.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from redis.exceptions import ResponseError

from hub.protocol import keys
from hub.protocol.envelope import decode_envelope
from hub.protocol.errors import EnvelopeError
from hub.protocol.position import Position
from hub.protocol.publication import Publication, Receipt
from hub.protocol.scripts import ANSWERS_KEPT
from producers.acknowledged import Acknowledged, Entry, holds
from producers.errors import RedisAway
from producers.link import Command, Link, is_not_now

logger = logging.getLogger(__name__)

_AT_ONCE: Final = 128

# How the publish script keeps an answer: n, status, epoch.
_ANSWER: Final = re.compile(rb"(\d+) \w+ (\S+) ")

Item = TypeVar("Item")


class Lost(NamedTuple):
    """What to publish again: states under new ids, then entries under their own, in order."""

    states: list[Publication]
    entries: list[Publication]


class History:
    """What one publisher knows of its channels."""

    def __init__(self) -> None:
        self._acknowledged = Acknowledged()
        self._is_doubtful = False
        self._lost: set[str] = set()
        # By channel and producer, up to which n Redis stored, and forgot that it did.
        self._forgotten: dict[tuple[str, str], int] = {}

    def note(self, publication: Publication, receipt: Receipt, now: float) -> None:
        """Keep what Redis acknowledged."""
        if not self._acknowledged.note(publication, receipt, now):
            self._lost.add(publication.channel)
            # It is hardly the only one.
            self._is_doubtful = True

    @property
    def is_sure(self) -> bool:
        """Whether Redis has everything, as far as is known."""
        return not self._is_doubtful

    def doubt(self) -> None:
        """Have Redis asked before anything else is sent: it may be another one."""
        self._is_doubtful = True

    def expect(self, channel: str, producer: str) -> None:
        """Publishes that an earlier run left will be sent, of which some may be stored."""
        self._forgotten[channel, producer] = 0
        self._is_doubtful = True

    def expect_no_more(self) -> None:
        """All that earlier runs left was sent."""
        self._forgotten.clear()

    @property
    def is_expecting(self) -> bool:
        """Whether publishes of earlier runs may be among those to be sent."""
        return bool(self._forgotten)

    def was_stored(self, publication: Publication) -> bool:
        """Whether a publish of an earlier run is stored, though Redis would not know its id."""
        publisher = publication.channel, publication.producer
        return publication.n <= self._forgotten.get(publisher, 0)

    async def make_sure(self, link: Link) -> Lost | None:
        """Ask, where there is doubt. Raises LINK_ERRORS and RedisAway; the doubt remains then."""
        if self._is_doubtful:
            lost = await _lost_channels(link, self._acknowledged.heads())
            await self._ask_what_was_stored(link)
            self._acknowledged.break_off(lost)
            self._lost |= lost
            self._is_doubtful = False
        if not self._lost:
            return None
        names = sorted(self._lost)
        entries: list[Entry] = []
        for channel, kept in self._acknowledged.entries(names).items():
            entries += await _lost_entries(link, channel, kept)
        self._lost.clear()
        self._acknowledged.forget(entries)
        states = [state for channel in names for state in self._acknowledged.state(channel)]
        # Stable: of one moment, those of one channel keep the order of their positions.
        entries.sort(key=_acknowledged_at)
        logger.warning(
            "Redis lost history of %s; publishing %d states and %d entries again",
            ", ".join(names),
            len(states),
            len(entries),
        )
        return Lost(states, [entry.publication for entry in entries])

    async def _ask_what_was_stored(self, link: Link) -> None:
        """A producer's publishes to a channel are stored in the order of their numbers, so all
        that are older than the ones that Redis remembers were."""
        for batch in _batches(list(self._forgotten), _AT_ONCE):
            commands: list[Command] = []
            for channel, producer in batch:
                commands.append(("HMGET", keys.meta(channel), "epoch"))
                commands.append(("HGETALL", keys.answers(channel, producer)))
            replies = await _ask(link, commands)
            for publisher, meta, answers in zip(batch, replies[::2], replies[1::2], strict=True):
                if meta is not None and answers is not None:
                    found = map(_ANSWER.match, answers[1::2])
                    numbers = [int(each[1]) for each in found if each and each[2] == meta[0]]
                    self._forgotten[publisher] = max(numbers, default=0) - ANSWERS_KEPT


async def _lost_channels(link: Link, heads: Mapping[str, Position]) -> set[str]:
    lost: set[str] = set()
    for names in _batches(list(heads), _AT_ONCE):
        held = await _held(link, [(name, heads[name]) for name in names])
        lost.update(name for name, is_held in zip(names, held, strict=True) if not is_held)
    return lost


async def _lost_entries(link: Link, channel: str, kept: Sequence[Entry]) -> list[Entry]:
    """The newest of those kept, in order. A history is lost from its end, so what is held ends the
    search."""
    lost: list[Entry] = []
    for batch in _batches(kept[::-1], _AT_ONCE):
        held = await _held(link, [(channel, entry.position) for entry in batch])
        gone = held.index(True) if True in held else len(batch)
        lost += batch[:gone]
        if gone < len(batch):
            break
    return lost[::-1]


async def _held(link: Link, places: Sequence[tuple[str, Position]]) -> list[bool]:
    commands: list[Command] = []
    for channel, at in places:
        commands.append(("HMGET", keys.meta(channel), "epoch", "seq", "tag"))
        commands.append(("XREVRANGE", keys.log(channel), f"{at.seq}-0", f"{at.seq}-0", "COUNT", 1))
    replies = await _ask(link, commands)
    return [
        # What this user may not ask after is taken for held.
        meta is None or entries is None or holds(at, _head(meta), _entry(channel, entries))
        for (channel, at), meta, entries in zip(places, replies[::2], replies[1::2], strict=True)
    ]


def _head(meta: Sequence[bytes | None]) -> Position | None:
    epoch, seq, tag = meta
    if epoch is None or seq is None or tag is None or not seq.isdigit():
        return None
    return Position(epoch.decode(errors="replace"), int(seq), tag.decode(errors="replace"))


def _entry(channel: str, entries: Sequence[Any]) -> Position | None:
    for _id, fields in entries:
        try:
            return decode_envelope(channel, fields[fields.index(b"e") + 1]).position
        except (EnvelopeError, ValueError):
            # By hand; it is no entry of ours in any case.
            return Position("", 0, "")
    return None


async def _ask(link: Link, commands: Sequence[Command]) -> list[Any]:
    """The replies, None for one that was refused."""
    replies = await link.ask(commands)
    for at, reply in enumerate(replies):
        if isinstance(reply, ResponseError):
            if is_not_now(reply):
                raise RedisAway(str(reply))
            logger.warning("could not ask Redis what it lost: %s", reply)
            replies[at] = None
    return replies


def _acknowledged_at(entry: Entry) -> float:
    return entry.at


def _batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[at : at + size] for at in range(0, len(items), size))
