"""What several commands share: reading the settings, and how a token's rights are given."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hub.cli.values import COMMAND_PATTERN, PATTERN
from hub.protocol.addresses import embedded_socket, socket_url

if TYPE_CHECKING:
    from hub.server.settings import Settings

_Command = TypeVar("_Command", bound=Callable[..., Any])

NO_SECRET = """\
expected a secret to sign tokens with in TAPECAST_JWT_SECRET, got none. Make one and keep it, the \
same for every hub and for `tapecast token`:

  export TAPECAST_JWT_SECRET=$(openssl rand -base64 48)

or without openssl:

  export TAPECAST_JWT_SECRET=$(python3 -c 'import secrets; print(secrets.token_urlsafe(48))')"""


def read_settings(
    config: Path | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    fallbacks: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings of this process; click.UsageError for what cannot be used."""
    from hub.server.settings import SettingsError, config_text, load

    try:
        text = config_text(os.environ, config)
        return load(os.environ, text, options=options, fallbacks=fallbacks)
    except SettingsError as error:
        raise click.UsageError(str(error)) from None


def running_embedded() -> dict[str, str]:
    """The Redis to fall back on: the embedded server of this user, where one runs."""
    from hub.cli.embedded import answers

    path = embedded_socket(os.environ, os.getuid())
    return {"redis_url": socket_url(path)} if answers(path) else {}


def config_option(command: _Command) -> _Command:
    """`--config FILE`, for commands that read the settings."""
    return click.option(
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="The TOML file of streams and settings; otherwise TAPECAST_CONFIG names it.",
    )(command)


def rights_options(command: _Command) -> _Command:
    """`--read`, `--publish` and `--command`: channel patterns, each as often as needed."""
    command = click.option(
        "--command",
        multiple=True,
        type=COMMAND_PATTERN,
        metavar="PATTERN",
        help="Agents that it may command: 'commands:NAME', 'commands:*' or '*'. May be repeated.",
    )(command)
    for right, what in (("publish", "publish to"), ("read", "read")):
        command = click.option(
            f"--{right}",
            multiple=True,
            type=PATTERN,
            metavar="PATTERN",
            help=f"Channels that it may {what}: a name, 'name:*' or '*'. May be repeated.",
        )(command)
    return command


def warn_of_no_rights(what: str, *rights: tuple[str, ...]) -> None:
    """Say on standard error that a token or key is good for nothing."""
    if not any(rights):
        click.echo(f"This {what} may do nothing: give --read, --publish or --command.", err=True)
