"""Following channels of a hub, for as long as a command runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import click

from hub.cli.target import Target
from hub.client import Client, Frame, Link, Subscription
from hub.protocol.position import Position


async def follow_all(
    target: Target,
    channels: Mapping[str, Position | None],
    take: Callable[[Subscription, Frame], None],
    tell: Callable[[Link], None],
    *besides: Callable[[Client], Coroutine[Any, Any, None]],
) -> None:
    """Hand every frame of every channel to `take`; ends only by an error, which it raises.

    channels: each with the position to go on from, None for a snapshot. tell: hears of the
    connection. besides: what runs as long, and ends all of it by failing.
    """

    async def follow(subscription: Subscription) -> None:
        async for frame in subscription:
            take(subscription, frame)

    try:
        async with (
            Client(target.url, target.token, on_link=tell) as client,
            asyncio.TaskGroup() as tasks,
        ):
            for beside in besides:
                tasks.create_task(beside(client))
            for channel, since in channels.items():
                tasks.create_task(follow(client.subscribe(channel, since=since)))
    except ExceptionGroup as group:
        raise group.exceptions[0] from None


def tell_of_link(link: Link) -> None:
    """Say on standard error that the hub is away."""
    if link.retry_seconds is not None:
        why = f"{link.reason} ({link.code}), again in {link.retry_seconds:.1f} s"
        click.echo(f"{link.url} is away: {why}", err=True)
