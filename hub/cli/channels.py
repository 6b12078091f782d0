"""`tapecast channels`: what there is."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from typing import Any

import click

from hub.cli.target import Target, find_target

ANSWER_SECONDS = 10.0


@click.command(short_help="List the channels of a hub.")
@click.option("--url", metavar="URL", help="The hub; otherwise TAPECAST_URL, or a running demo.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def channels(url: str | None, as_json: bool) -> None:
    """List the channels that your token may read: kind, head, age of the last change, and state.

    \b
    Examples:
      tapecast channels
      tapecast channels --json | jq -r 'select(.stale) | .name'
    """
    found = _fetch(find_target(url, os.environ))
    if as_json:
        for channel in found:
            click.echo(json.dumps(channel))
        return
    if not found:
        click.echo("No channels yet: nothing was published that your token may read.", err=True)
        return
    _show(found)


def _show(found: list[dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from hub.cli.output import age, console

    table = Table("channel", "kind", box=None)
    table.add_column("head", justify="right")
    table.add_column("age", justify="right")
    table.add_column("state")
    for channel in found:
        age_ms = channel["age_ms"]
        state = Text("stale", "bold red") if channel["stale"] else Text("live", "green")
        shown_age = "" if age_ms is None else age(age_ms / 1000)
        table.add_row(
            channel["name"], channel["kind"], str(channel["head"]["seq"]), shown_age, state
        )
    console().print(table)


def _fetch(target: Target) -> list[dict[str, Any]]:
    address = f"{target.url.rstrip('/')}/api/v1/channels"
    if not address.startswith(("http://", "https://")):
        raise click.UsageError(f"expected a hub's URL such as https://host, got {target.url!r}")
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked
        address, headers={"Authorization": f"Bearer {target.token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310
            found: list[dict[str, Any]] = json.load(answer)["channels"]
            return found
    except urllib.error.HTTPError as error:
        raise click.ClickException(f"{address} answered {error.code}: {_reason(error)}") from None
    except (OSError, ValueError, KeyError) as error:
        reason = getattr(error, "reason", error)
        raise click.ClickException(
            f"no answer from a hub at {target.url}: {reason}. Is it running? "
            "--url or TAPECAST_URL says which hub to ask."
        ) from None


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        reason = json.load(error)["error"]["message"]
    except (OSError, ValueError, KeyError, TypeError):
        reason = error.reason
    return str(reason)
