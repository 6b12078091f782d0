"""`tapecast key`: make, list and revoke API keys."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from hub.cli.options import config_option, read_settings, rights_options, warn_of_no_rights

_file_option = click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The file of keys; otherwise what the hub itself would use.",
)


@click.group(short_help="Make, list and revoke API keys.")
def key() -> None:
    """Make, list and revoke API keys, for programs that shall have access until further notice.

    The hub reads them from one file: TAPECAST_KEYS_FILE, else tapecast/keys.json in your
    configuration folder. It holds digests alone, and running hubs follow it at once.

    \b
    Examples:
      tapecast key new agent-7 --publish 'decisions:*'
      tapecast key list
      tapecast key revoke 1f0c9a3e
    """


@key.command(short_help="Make a key.")
@click.argument("subject")
@rights_options
@_file_option
@config_option
def new(
    subject: str,
    read: tuple[str, ...],
    publish: tuple[str, ...],
    command: tuple[str, ...],
    file: Path | None,
    config: Path | None,
) -> None:
    """Print a new key for SUBJECT, and nothing else. It is shown this once.

    \b
    Examples:
      tapecast key new agent-7 --publish 'decisions:*'
      tapecast key new watchdog --command '*'
      export TAPECAST_TOKEN=$(tapecast key new wall-display --read '*')
    """
    from hub.server.keys import KeysError, add_key, mint_key

    path = _path(file, config)
    try:
        minted, kept = mint_key(subject, read, publish, command, now=time.time())
        add_key(path, kept)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except KeysError as error:
        raise click.ClickException(str(error)) from None
    warn_of_no_rights("key", read, publish, command)
    click.echo(minted)


@key.command("list", short_help="List the keys.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@_file_option
@config_option
def list_keys(as_json: bool, file: Path | None, config: Path | None) -> None:
    """List the keys: their ids, whom they are for, and what they allow.

    \b
    Examples:
      tapecast key list
      tapecast key list --json | jq -r .id
    """
    from rich.table import Table

    from hub.cli.output import console
    from hub.server.keys import KeysError, read_keys

    path = _path(file, config)
    try:
        keys = read_keys(path)
    except KeysError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        for kept in keys:
            click.echo(json.dumps(dict(kept.__rich_repr__())))
        return
    if not keys:
        click.echo(f"No keys in {path}.", err=True)
        return
    table = Table("id", "subject", "read", "publish", "command", "made", box=None)
    for kept in keys:
        made = datetime.fromtimestamp(kept.created_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
        rights = (" ".join(patterns) for patterns in (kept.read, kept.publish, kept.command))
        table.add_row(kept.id, kept.subject, *rights, made)
    console().print(table)


@key.command(short_help="Revoke a key.")
@click.argument("id")
@_file_option
@config_option
def revoke(id: str, file: Path | None, config: Path | None) -> None:
    """Revoke the key with this ID: no hub lets it in again.

    Connections that it opened are closed with their next heartbeat.

    \b
    Examples:
      tapecast key revoke 1f0c9a3e
    """
    from hub.server.keys import KeysError, revoke_key

    path = _path(file, config)
    try:
        found = revoke_key(path, id)
    except KeysError as error:
        raise click.ClickException(str(error)) from None
    if found is None:
        raise click.ClickException(
            f"no key {id!r} in {path}: `tapecast key list` shows the ids there are"
        )
    click.echo(f"Revoked {found.id} of {found.subject}.", err=True)


def _path(file: Path | None, config: Path | None) -> Path:
    chosen = file or read_settings(config).keys_file
    if not chosen:
        raise click.UsageError(
            "expected a file to keep keys in, and there is no home folder: "
            "give --file or set TAPECAST_KEYS_FILE."
        )
    return Path(chosen)
