"""Two ways to publish: to Redis, as producers do, and through a hub."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple, TypeAlias

import click
import msgspec
from redis.exceptions import AuthenticationError

from hub.broker.base import BrokerUnavailableError
from hub.broker.redis import RedisBroker
from hub.cli.target import find_target
from hub.client import Client, Refused
from hub.protocol.errors import PayloadError
from hub.protocol.payload import canonical
from hub.protocol.position import Position
from hub.protocol.publication import Publication, Receipt, change_from_json
from hub.protocol.streams import stream_options
from hub.server.settings import Settings

ANSWER_SECONDS = 15.0
"""How long to try: a Redis or a hub that restarts is waited for, one that is gone is not."""
RETRY_SECONDS = 0.25
BATCH = 256
"""Publishes in one go, fewer than the answers that are kept for a retry."""


class Accepted(NamedTuple):
    """What was published, or stood there already."""

    position: Position
    unchanged: bool


class Denied(NamedTuple):
    """What was not, and why."""

    reason: str


Answer: TypeAlias = Accepted | Denied
Way: TypeAlias = Callable[[Sequence[bytes]], Awaitable[list[Answer]]]
"""Publishes JSON values in order, and answers each."""


_WHICH_REDIS = "--redis or TAPECAST_REDIS_URL says which Redis to use."
_UNCERTAIN = "What was sent last may have been published all the same."


class NoAnswer(Exception):
    """Nobody answered in time; the text says who, and what that leaves open."""


@asynccontextmanager
async def to_redis(settings: Settings, channel: str, event: str) -> AsyncIterator[Way]:
    """Publish to the Redis that the settings name."""
    # Only stored to, never connected: it listens to nothing.
    broker = RedisBroker(settings.redis_url, streams=settings.streams)
    kind = stream_options(channel, settings.streams).kind
    producer = f"cli-{secrets.token_hex(8)}"
    n = 0

    async def send(values: Sequence[bytes]) -> list[Answer]:
        nonlocal n
        answers: list[Answer | None] = []
        publications = []
        for value in values:
            try:
                change = change_from_json(kind, value)
            except PayloadError as error:
                answers.append(Denied(error.message))
            else:
                n += 1
                publications.append(Publication(channel, kind, event, change, producer, n))
                answers.append(None)
        stored: list[Receipt | Exception] = []
        for at in range(0, len(publications), BATCH):
            stored += await store_patiently(broker, publications[at : at + BATCH])
        left = iter(stored)
        return [_answer(next(left)) if answer is None else answer for answer in answers]

    try:
        yield send
    finally:
        await broker.disconnect()


async def store_patiently(
    broker: RedisBroker, publications: Sequence[Publication]
) -> list[Receipt | Exception]:
    """The broker's answers; it is tried again for a while. Raises NoAnswer."""
    give_up_at = time.monotonic() + ANSWER_SECONDS
    told = False
    while True:
        try:
            return await _store(broker, publications)
        except BrokerUnavailableError as error:
            why = str(error).rstrip(".")
            # No time cures a wrong password.
            if isinstance(error.__cause__, AuthenticationError):
                raise NoAnswer(f"{why}. {_WHICH_REDIS}") from None
            if time.monotonic() >= give_up_at:
                raise NoAnswer(f"{why}. {_WHICH_REDIS} {_UNCERTAIN}") from None
            if not told:
                click.echo(f"{why}. Trying for {ANSWER_SECONDS:g} s ...", err=True)
                told = True
            # Sent again with the same ids: what was published is answered, not repeated.
            await asyncio.sleep(RETRY_SECONDS)


async def _store(
    broker: RedisBroker, publications: Sequence[Publication]
) -> list[Receipt | Exception]:
    """The broker's answers. Raises BrokerUnavailableError where it took one of them not."""
    answers = await broker.store(publications)
    for answer in answers:
        if isinstance(answer, BrokerUnavailableError):
            raise answer
    return answers


def _answer(stored: Receipt | Exception) -> Answer:
    if isinstance(stored, Receipt):
        return Accepted(stored.position, stored.unchanged)
    return Denied(str(stored))


@asynccontextmanager
async def through_hub(url: str, channel: str, event: str) -> AsyncIterator[Way]:
    """Publish through the hub at `url`, with the token for it. Raises click.UsageError."""
    target = find_target(url, os.environ)
    try:
        client = Client(target.url, target.token)
    except ValueError as error:
        raise click.UsageError(str(error)) from None

    async def send_one(value: bytes) -> Answer:
        try:
            # As it was written: the digits of a number are kept.
            data = msgspec.Raw(canonical(value))
            async with asyncio.timeout(ANSWER_SECONDS):
                published = await client.publish(channel, event, data)
        except PayloadError as error:
            return Denied(error.message)
        except Refused as error:
            return Denied(str(error))
        except TimeoutError:
            raise NoAnswer(
                f"expected an answer of {url} in {ANSWER_SECONDS:g} s, got none. Is a hub running "
                f"there? {_UNCERTAIN}"
            ) from None
        return Accepted(published.position, published.unchanged)

    async def send(values: Sequence[bytes]) -> list[Answer]:
        # One after the other: publishes that are under way at once may change places.
        return [await send_one(value) for value in values]

    async with client:
        yield send
