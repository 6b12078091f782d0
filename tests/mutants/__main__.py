"""Break the core in each way that is known, and show which check notices: `make mutants`."""

from __future__ import annotations

import sys
import time

import click

from tests.mutants.variants import VARIANTS


def main() -> int:
    """Print a table of variants and what catches them; returns how many nothing caught."""
    missed = 0
    for variant in VARIANTS:
        began = time.monotonic()
        failure = variant.caught()
        seconds = time.monotonic() - began
        check = variant.check.file if failure is not None else "NOTHING"
        click.echo(f"{variant.name:<40}{check:<40}{seconds:>6.1f} s")
        missed += failure is None
    return missed


if __name__ == "__main__":
    sys.exit(main())
