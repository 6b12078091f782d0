"""`tapecast push-keys`: the pair of keys that alerts are pushed to browsers with."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import click


@click.command("push-keys", short_help="Make the keys of Web Push.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the private key there, readable by you alone, and print the public one.",
)
def push_keys(out: Path | None) -> None:
    """Make a VAPID pair (RFC 8292), as lines for an environment.

    Hubs get the public key, `tapecast produce alerts` the private one: whoever has that can push to
    every browser that subscribed. Keep both: with another pair each browser has to subscribe anew.

    \b
    Examples:
      tapecast push-keys
      tapecast push-keys --out web-push.key >> hub.env
    """
    if find_spec("cryptography") is None:
        raise click.UsageError("expected cryptography: pip install 'tapecast[web-push]'")
    from producers.sources.alerts.sinks.push_crypto import new_keys

    private, public = new_keys()
    if out is None:
        click.echo(f"WEB_PUSH_KEY={private}")
    else:
        try:
            # Never over one that browsers are subscribed with.
            descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise click.ClickException(f"cannot write {out}: {error.strerror}") from None
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{private}\n")
        click.echo(f"The private key is in {out}: WEB_PUSH_KEY_FILE={out.resolve()}", err=True)
    click.echo(f"TAPECAST_PUSH_PUBLIC_KEY={public}")
