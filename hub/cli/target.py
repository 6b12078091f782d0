"""Which hub a client's command talks to, and the token it shows.

What is given explicitly goes first: `--url` or `TAPECAST_URL`, and `TAPECAST_TOKEN`. Where neither
is set and a demo of this user runs, its own are used: it leaves them in the private folder, so that
`tapecast tail` in a second terminal needs nothing copied.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import click
import msgspec

from hub.protocol.addresses import DEFAULT_URL, demo_credentials

NO_TOKEN = """\
expected a token in TAPECAST_TOKEN, got none. Where you know the hub's secret, make one:

  export TAPECAST_TOKEN=$(tapecast token me --read '*')"""


class Target(msgspec.Struct, frozen=True):
    """A hub and the token for it. pid: of the demo that left this, None for any other hub."""

    url: str
    token: str
    pid: int | None = None

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("url", self.url), ("pid", self.pid)]


def find_target(url: str | None, environ: Mapping[str, str]) -> Target:
    """The hub to use; click.UsageError where there is no token for it."""
    wanted = url or environ.get("TAPECAST_URL")
    if token := environ.get("TAPECAST_TOKEN"):
        return Target(wanted or DEFAULT_URL, token)
    demo = _running_demo(environ)
    if demo is not None and wanted in (None, demo.url):
        return demo
    raise click.UsageError(NO_TOKEN)


def leave_target(target: Target, environ: Mapping[str, str]) -> Path:
    """Write the demo's URL and token, for its user alone; return the path, to remove at the end."""
    path = Path(demo_credentials(environ, os.getuid()))
    path.unlink(missing_ok=True)
    # The folder is private; the mode is for whoever copies the file.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.encode(target))
    return path


def _running_demo(environ: Mapping[str, str]) -> Target | None:
    from hub.cli.embedded import is_private

    path = Path(demo_credentials(environ, os.getuid()))
    if not is_private(path.parent):
        return None
    try:
        target = msgspec.json.decode(path.read_bytes(), type=Target)
        if target.pid is not None:
            os.kill(target.pid, 0)
    except (OSError, msgspec.DecodeError):
        return None  # none was left, or the demo that left it was killed
    return target
