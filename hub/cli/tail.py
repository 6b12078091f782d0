"""`tapecast tail`: watch channels."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import TYPE_CHECKING

import click

from hub.cli.target import Target, find_target
from hub.cli.values import CHANNEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hub.client import Frame, Link, Subscription

REFRESH_SECONDS = 0.125


@click.command(short_help="Watch channels live.")
@click.argument("channels", nargs=-1, required=True, type=CHANNEL, metavar="CHANNEL...")
@click.option("--url", metavar="URL", help="The hub; otherwise TAPECAST_URL, or a running demo.")
@click.option("--json", "as_json", is_flag=True, help="One frame a line, as the hub sends it.")
def tail(channels: tuple[str, ...], url: str | None, as_json: bool) -> None:
    """Watch channels until Ctrl-C: their state now, and every change as it comes.

    On a terminal each channel's current state is shown; elsewhere, each frame is a line. When the
    connection or the hub is lost it comes back and resumes, without a hole: what can't be had
    again is announced as a reset, with a snapshot after it.

    It needs a token in TAPECAST_TOKEN, and the hub in TAPECAST_URL; a running demo needs neither.

    \b
    Examples:
      tapecast tail portfolio positions decisions
      tapecast tail decisions --json | jq -r 'select(.event == "decision_made") | .data.action'
      TAPECAST_URL=https://desk.example tapecast tail positions:acct-7
    """
    from hub.client import ClientError

    target = find_target(url, os.environ)
    show = _print if as_json or not sys.stdout.isatty() else _draw
    try:
        asyncio.run(show(target, list(dict.fromkeys(channels)), as_json))
    except KeyboardInterrupt:
        return  # how watching ends
    except BrokenPipeError:
        # Whoever read the lines has seen enough; what is buffered for them has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except ClientError as error:
        raise click.ClickException(str(error)) from None
    except ValueError as error:
        raise click.UsageError(str(error)) from None


async def _print(target: Target, channels: Sequence[str], as_json: bool) -> None:
    from hub.cli.following import follow_all, tell_of_link
    from hub.cli.lines import json_line, readable_line

    def take(subscription: Subscription, frame: Frame) -> None:
        line = json_line(frame) if as_json else readable_line(frame).encode()
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()

    await follow_all(target, dict.fromkeys(channels), take, tell_of_link)


async def _draw(target: Target, channels: Sequence[str], as_json: bool) -> None:
    from rich.live import Live

    from hub.cli.following import follow_all
    from hub.cli.output import console
    from hub.cli.view import Screen, Watched

    watched = {channel: Watched(channel) for channel in channels}
    link: Link | None = None

    def take(subscription: Subscription, frame: Frame) -> None:
        watched[subscription.channel].take(frame, subscription.kind, time.time())

    def tell(now: Link) -> None:
        nonlocal link
        link = now

    async def refresh(live: Live) -> None:
        while True:
            live.update(Screen(list(watched.values()), link), refresh=True)
            await asyncio.sleep(REFRESH_SECONDS)

    with Live(console=console(), auto_refresh=False) as live:
        await follow_all(target, dict.fromkeys(channels), take, tell, lambda _client: refresh(live))
