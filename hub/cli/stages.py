"""Where a recording is played: in Redis, as producers publish, or through a hub.

Both publish in order, each under an id that another run of the same play gives it too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import NamedTuple, Protocol, TypeAlias

import msgspec

from hub.broker.base import BrokerUnavailableError
from hub.broker.redis import RedisBroker
from hub.cli.target import Target
from hub.cli.ways import ANSWER_SECONDS, store_patiently
from hub.client import Client, ClientError, Subscription
from hub.client.playing import Act, spell_change
from hub.protocol.errors import PayloadError
from hub.protocol.publication import Change, Publication, Receipt
from hub.protocol.streams import Kind
from hub.server.settings import Settings

REDIS_BYTES = 200 * 1024
HUB_BYTES = 48 * 1024
"""What one publish of a table's state has at most: less than the bounds, for keys and names."""


class PlayError(Exception):
    """The recording can't be played, or not on; the text says where and why."""


class Standing(NamedTuple):
    """What a channel is and in which history it stands; None and "" where it has none yet."""

    kind: Kind | None
    epoch: str


Cast: TypeAlias = tuple[str, Act]
"""An act, and the channel that it is published to."""


class Stage(Protocol):
    """A place to play in. Its methods raise PlayError, and NoAnswer where nobody answers."""

    async def look(self, channel: str) -> Standing:
        """Where a channel stands."""

    async def publish(self, casts: Sequence[Cast]) -> dict[str, str]:
        """Publish in order; returns the epoch of each channel that was published to."""


Opened: TypeAlias = AbstractAsyncContextManager[Stage]


@asynccontextmanager
async def in_redis(settings: Settings, producer: str) -> AsyncIterator[Stage]:
    """Play in the Redis that the settings name."""
    # Only stored to, never connected: it listens to nothing.
    broker = RedisBroker(settings.redis_url, streams=settings.streams)
    try:
        yield _InRedis(broker, producer)
    finally:
        await broker.disconnect()


@asynccontextmanager
async def through_hub(target: Target, producer: str) -> AsyncIterator[Stage]:
    """Play through a hub, as the token allows. It takes no foreign publishes."""
    async with Client(target.url, target.token) as client:
        yield _ThroughHub(client, target.url, producer)


class _InRedis:
    def __init__(self, broker: RedisBroker, producer: str) -> None:
        self._broker = broker
        self._producer = producer

    async def look(self, channel: str) -> Standing:
        try:
            reading = await self._broker.read(channel, None, 1, state=False)
        except BrokerUnavailableError as error:
            raise PlayError(f"{error}. --redis or TAPECAST_REDIS_URL says which Redis.") from None
        return Standing(reading.kind, reading.position.epoch if reading.position else "")

    async def publish(self, casts: Sequence[Cast]) -> dict[str, str]:
        epochs: dict[str, str] = {}
        waiting: list[Publication] = []
        for channel, act in casts:
            if act.cue.live:
                epochs |= await self._store(waiting)
                waiting = []
                await self._publish_live(channel, act)
                continue
            for producer, n, change in _named(channel, act, self._producer, REDIS_BYTES):
                waiting.append(Publication(channel, act.cue.kind, act.event, change, producer, n))
        return epochs | await self._store(waiting)

    async def _store(self, publications: Sequence[Publication]) -> dict[str, str]:
        epochs = {}
        answers = await store_patiently(self._broker, publications)
        for publication, answer in zip(publications, answers, strict=True):
            if not isinstance(answer, Receipt):
                raise PlayError(f"{publication.channel}, {publication.event}: {answer}")
            epochs[publication.channel] = answer.position.epoch
        return epochs

    async def _publish_live(self, channel: str, act: Act) -> None:
        message = b'{"event":"%b","data":%b}' % (act.event.encode(), act.data)
        try:
            await self._broker.publish(channel, message)
        except BrokerUnavailableError as error:
            raise PlayError(str(error)) from None


class _ThroughHub:
    def __init__(self, client: Client, url: str, producer: str) -> None:
        self._client = client
        self._url = url
        self._producer = producer

    async def look(self, channel: str) -> Standing:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                async with self._client.subscribe(channel) as subscription:
                    return await _standing(subscription)
        except TimeoutError:
            raise self._no_answer() from None
        except ClientError as error:
            raise PlayError(f"{channel} must be read to be played to: {error}") from None

    async def publish(self, casts: Sequence[Cast]) -> dict[str, str]:
        epochs = {}
        for channel, act in casts:
            # One after the other: publishes that are under way at once may change places.
            for producer, n, change in _named(channel, act, self._producer, HUB_BYTES):
                data = msgspec.Raw(spell_change(change))
                try:
                    async with asyncio.timeout(ANSWER_SECONDS):
                        published = await self._client.publish(
                            channel, act.event, data, id=(producer, n)
                        )
                except TimeoutError:
                    raise self._no_answer() from None
                except ClientError as error:
                    raise PlayError(f"{channel}, {act.event}: {error}") from None
                epochs[channel] = published.position.epoch
        return epochs

    def _no_answer(self) -> PlayError:
        return PlayError(f"expected an answer of {self._url} in {ANSWER_SECONDS:g} s, got none")


async def _standing(subscription: Subscription) -> Standing:
    """Where the hub says that a channel stands; its first frame is a snapshot."""
    await anext(subscription)
    position = subscription.position
    # An unpublished channel has the kind that the hub would give it.
    return Standing(subscription.kind, position.epoch if position is not None else "")


def _named(channel: str, act: Act, producer: str, max_bytes: int) -> list[tuple[str, int, Change]]:
    """What an act publishes, each with its id. Raises PlayError."""
    try:
        changes = act.changes(max_bytes)
    except PayloadError as error:
        raise PlayError(f"{channel}, {act.event}: {error.message}") from None
    if not act.cue.whole:
        return [(producer, act.cue.n, change) for change in changes]
    # A state may be of several publishes, and may stand for a part that was left out.
    return [(f"{producer}.{act.cue.n}", n, change) for n, change in enumerate(changes, 1)]
