"""Run the hub: one worker in this process, or several that share the port."""

from __future__ import annotations

import click

from hub.server.settings import Settings
from hub.server.worker import configure_logging, listen, serve_worker
from hub.server.workers import supervise


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status. Prints where it listens."""
    configure_logging()
    try:
        sock = listen(settings)
    except OSError as error:
        click.echo(
            f"Error: cannot listen on {settings.host}:{settings.port}: {error.strerror}. "
            "Choose another with --port, or 0 for a free one.",
            err=True,
        )
        return 1
    if settings.workers == 1:
        serve_worker(settings, sock)
        return 0
    return supervise(settings, sock)
