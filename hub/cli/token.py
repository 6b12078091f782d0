"""`tapecast token`: make a token."""

from __future__ import annotations

import time
from pathlib import Path

import click

from hub.cli.options import (
    NO_SECRET,
    config_option,
    read_settings,
    rights_options,
    warn_of_no_rights,
)
from hub.cli.values import DURATION


@click.command(short_help="Make a token for somebody.")
@click.argument("subject")
@rights_options
@click.option(
    "--ttl",
    type=DURATION,
    default="12h",
    show_default=True,
    help="How long it is valid: 30s, 15m, 12h, 7d.",
)
@config_option
def token(
    subject: str,
    read: tuple[str, ...],
    publish: tuple[str, ...],
    command: tuple[str, ...],
    ttl: int,
    config: Path | None,
) -> None:
    """Print a token for SUBJECT, whoever shall use it, and nothing else.

    It is signed with TAPECAST_JWT_SECRET, so every hub with the same secret takes it. It cannot be
    taken back: for something that shall last, use `tapecast key`.

    \b
    Examples:
      tapecast token ann --read '*'
      tapecast token agent-7 --publish 'decisions:*' --ttl 7d
      tapecast token ann --read '*' --command commands:desk-7
      export TAPECAST_TOKEN=$(tapecast token me --read '*')
    """
    from hub.server.auth import mint_token

    secret = read_settings(config).jwt_secret
    if not secret:
        raise click.UsageError(NO_SECRET)
    try:
        minted = mint_token(
            secret,
            subject,
            read=read,
            publish=publish,
            command=command,
            ttl_seconds=ttl,
            now=time.time(),
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    warn_of_no_rights("token", read, publish, command)
    click.echo(minted)
