"""Libraries that only one source needs, and that are installed for it."""

from __future__ import annotations

from importlib.util import find_spec

import click


def require(module: str, extra: str) -> None:
    """Refuse to begin without `module`; click.UsageError that says how to get it."""
    if find_spec(module) is None:
        raise click.UsageError(
            f"this source needs {module}, which is not installed: pip install 'tapecast[{extra}]'"
        )
