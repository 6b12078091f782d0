"""Count what the hub does, and hold it against the budget: `python -m tests.budget`.

With --write what was counted becomes the budget; with --json it is printed as JSON.
"""

from __future__ import annotations

import sys

import click
import msgspec

from tests.budget import ledger
from tests.budget.figures import measure, script_calls


@click.command(help=__doc__)
@click.option("--write", is_flag=True, help="Record what was counted as the budget.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures alone, as JSON.")
def main(write: bool, as_json: bool) -> None:
    figures = measure()
    if as_json:
        click.echo(msgspec.json.encode(figures))
        return
    for name, figure in figures.items():
        held = "" if figure.allocated_bytes is None else f"{figure.allocated_bytes:7g} bytes"
        click.echo(f"{name:<22}{figure.python_calls:7g} python{figure.c_calls:7g} C{held}")
    calls = script_calls()
    click.echo(", ".join(f"{name}: {count:g}" for name, count in calls.items()))
    if write:
        ledger.write(figures, calls)
        return
    budget = ledger.read()
    found = list(ledger.faults(figures, budget))
    found += [
        f"{name}: expected {budget.script_calls[name]:g} calls of Redis, got {count:g}"
        for name, count in calls.items()
        if count != budget.script_calls[name]
    ]
    for fault in found:
        click.echo(fault, err=True)
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
