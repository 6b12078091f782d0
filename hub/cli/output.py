"""How commands show things: tables and colours on a terminal, whole lines elsewhere."""

from __future__ import annotations

from rich.console import Console

PIPED_WIDTH = 400
"""Characters a line where there is no terminal: what another program reads is not cut."""


def console() -> Console:
    """Standard output; colours only on a terminal (and not where NO_COLOR is set)."""
    screen = Console(highlight=False, soft_wrap=False)
    return screen if screen.is_terminal else Console(highlight=False, width=PIPED_WIDTH)


def age(seconds: float) -> str:
    """How long ago something was, as somebody would say it: 3s, 2m 05s, 1h 20m, 4d 6h."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02}s"
    if whole < 86_400:
        return f"{whole // 3600}h {whole % 3600 // 60:02}m"
    return f"{whole // 86_400}d {whole % 86_400 // 3600}h"
