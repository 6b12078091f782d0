"""What tests do with a broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hub.broker.base import Broker
from hub.broker.handover import Message
from hub.protocol.publication import Publication, Receipt

DEADLINE_SECONDS = 20.0


async def hear(broker: Broker) -> tuple[str, Message]:
    """The next event's channel and message."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        event = await broker.next_published()
    message: object = event.message
    assert isinstance(message, Message)
    return event.channel, message


async def hear_until(broker: Broker, last: Message) -> list[Message]:
    """Messages of whatever channel, up to `last` and with it."""
    found = []
    while True:
        _channel, message = await hear(broker)
        found.append(message)
        if message == last:
            return found


async def store(broker: Broker, *publications: Publication) -> list[Receipt]:
    """Publish what must not be refused."""
    receipts = []
    for answer in await broker.store(publications):
        assert isinstance(answer, Receipt), answer
        receipts.append(answer)
    return receipts


async def eventually(condition: Callable[[], bool], what: str) -> None:
    """Return once `condition` holds; fail with `what` where it never does."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not condition():  # noqa: ASYNC110
                # What a test waits for here has no event to wait on.
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"never happened: {what}") from None
