"""Publishes what a function returns.

    @publishes(publisher)
    def decide(market: Market) -> Decision | None: ...

    @publishes(publisher, "fills:desk-7", event="fill")
    def trade(order: Order) -> dict[str, Any]: ...

The function returns what it did before, None is not published, and what can't be published is
logged: nobody's trade fails for want of a dashboard.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, cast

from producers.answers import Answer
from producers.errors import InvalidPayload, ProducerError
from producers.events import AgentStatus, Alert, Decision, Health, Portfolio
from producers.publisher import Publisher
from producers.sync import SyncPublisher

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


def publishes(
    publisher: Publisher | SyncPublisher, channel: str | None = None, *, event: str | None = None
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a function, with a SyncPublisher, or an asynchronous one, with a Publisher.

    Without `channel` and `event` the function returns one of the typed payloads, a Decision,
    Portfolio, AgentStatus, Health or Alert, which is published where it belongs.
    """
    if (channel is None) != (event is None):
        raise ValueError("expected a channel and an event, or neither of them")

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        if isinstance(publisher, Publisher):
            if not inspect.iscoroutinefunction(function):
                raise TypeError(f"expected an async function for a Publisher, got {function!r}")
            return cast(Callable[P, T], _asynchronous(publisher, function, channel, event))
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"expected a function that is not async, got {function!r}")
        return _synchronous(publisher, function, channel, event)

    return decorate


def _synchronous(
    publisher: SyncPublisher, function: Callable[P, T], channel: str | None, event: str | None
) -> Callable[P, T]:
    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        value = function(*args, **kwargs)
        try:
            publisher.call(_publish, channel, event, value)
        except ProducerError as error:
            _tell(function, error)
        return value

    return call


def _asynchronous(
    publisher: Publisher,
    function: Callable[P, Coroutine[Any, Any, T]],
    channel: str | None,
    event: str | None,
) -> Callable[P, Coroutine[Any, Any, T]]:
    @functools.wraps(function)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        value = await function(*args, **kwargs)
        try:
            await _publish(publisher, channel, event, value)
        except ProducerError as error:
            _tell(function, error)
        return value

    return call


async def _publish(
    publisher: Publisher, channel: str | None, event: str | None, value: object
) -> Answer | None:
    if value is None:
        return None
    if channel is not None and event is not None:
        return await publisher.publish(channel, event, value)
    match value:
        case Decision():
            return await publisher.decision(value)
        case Portfolio():
            return await publisher.portfolio(value)
        case AgentStatus():
            return await publisher.status(value)
        case Health():
            return await publisher.health(value)
        case Alert():
            return await publisher.alert(value)
    raise InvalidPayload("payload", "a typed payload, as no channel was named", value)


def _tell(function: Callable[..., object], error: ProducerError) -> None:
    logger.warning("what %s returned was not published: %s", function.__qualname__, error)
