"""`tapecast serve`: run a hub."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import click

from hub.cli.options import NO_SECRET, config_option, read_settings, running_embedded
from hub.protocol.addresses import DEFAULT_HOST, DEFAULT_PORT


@click.command(short_help="Run a hub.")
@click.option("--host", metavar="ADDRESS", help=f"Where to listen. [default: {DEFAULT_HOST}]")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help=f"0 takes a free one. [default: {DEFAULT_PORT}]",
)
@click.option(
    "--redis", metavar="URL", help="The Redis or Valkey to use: redis://, rediss://, unix://."
)
@click.option("--embedded", is_flag=True, help="Start a Valkey that lives and dies with this hub.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="With --embedded: keep what is published, in this folder.",
)
@click.option(
    "--workers", type=click.IntRange(1, 256), help="Processes that share the port. [default: 1]"
)
@config_option
def serve(
    host: str | None,
    port: int | None,
    redis: str | None,
    embedded: bool,
    data: Path | None,
    workers: int | None,
    config: Path | None,
) -> None:
    """Run a hub, until Ctrl-C or SIGTERM.

    It needs the secret that tokens are signed with in TAPECAST_JWT_SECRET. Without --redis and
    --embedded it uses TAPECAST_REDIS_URL, else a running embedded server of yours, else
    redis://127.0.0.1:6379/0. Each other setting is a variable TAPECAST_* or a line in the file
    that --config or TAPECAST_CONFIG names.

    \b
    Examples:
      tapecast serve --embedded
      tapecast serve --embedded --data ./data --port 9000
      tapecast serve --redis redis://db.internal:6379/0 --host 0.0.0.0 --workers 2
    """
    from hub.cli.embedded import EmbeddedError, embedded_server
    from hub.server.run import run

    if embedded and redis:
        raise click.UsageError("expected --redis or --embedded, got both: leave one out.")
    if data and not embedded:
        raise click.UsageError(
            "--data is where the embedded server keeps its data: add --embedded."
        )
    given = {"host": host, "port": port, "workers": workers, "redis_url": redis}
    # Read once before anything is started, so that wrong settings start nothing.
    if not read_settings(config, options=given).jwt_secret:
        raise click.UsageError(NO_SECRET)
    with contextlib.ExitStack() as stack:
        if embedded:
            try:
                given["redis_url"] = stack.enter_context(embedded_server(os.environ, data))
            except EmbeddedError as error:
                raise click.ClickException(str(error)) from None
        status = run(read_settings(config, options=given, fallbacks=running_embedded()))
    sys.exit(status)
