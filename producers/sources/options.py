"""Options that several sources have."""

from __future__ import annotations

from typing import Final

import click

ACCOUNT: Final = click.Option(
    ["--account"], metavar="NAME", help="Publish to portfolio:NAME, positions:NAME and so on."
)


def seconds(name: str, default: float, help: str) -> click.Option:
    """How often, or how long."""
    return click.Option(
        [name],
        type=click.FloatRange(min=0.05),
        metavar="SECONDS",
        default=default,
        show_default=True,
        help=help,
    )
