"""How a command that runs until it is told to stop is told, and says how far it is."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import click

PROGRESS_SECONDS = 10.0


class Stopped(Exception):
    """Somebody asked for the end, or the time is over: how such a command ends."""


async def stop_when_asked(duration_seconds: float | None = None) -> None:
    """Raise Stopped at SIGINT or SIGTERM, or after the duration."""
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    try:
        async with asyncio.timeout(duration_seconds):
            await asked.wait()
    except TimeoutError:
        pass
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    raise Stopped


async def report_now_and_then(text: Callable[[], str]) -> None:
    """Say on standard error how far it is, whenever that changed."""
    said = text()
    while True:
        await asyncio.sleep(PROGRESS_SECONDS)
        if (now := text()) != said:
            click.echo(now, err=True)
            said = now
