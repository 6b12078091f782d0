"""Secrets of sources: from the environment or a file that it names, never from an option.

A variable `X` holds a secret, or `X_FILE` names the file that does, as container secrets do. What
was read is never shown: not in an error, and not in what is said of a platform's own errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from producers.settings import BadSettings

_QUERY: Final = re.compile(r"(https?://[^\s?]+|wss?://[^\s?]+)\?\S*")


def read_secret(environ: Mapping[str, str], name: str) -> str | None:
    """The secret of that name, None where there is none; raises BadSettings."""
    value, path = environ.get(name), environ.get(f"{name}_FILE")
    if value and path:
        raise BadSettings(f"expected {name} or {name}_FILE, got both: leave one out.")
    if not path:
        return value or None
    try:
        value = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise BadSettings(f"{name}_FILE: can't read {path}: {why}") from None
    return value or None


def require_secret(environ: Mapping[str, str], name: str, what: str) -> str:
    """The secret of that name; raises BadSettings that says how to give it."""
    value = read_secret(environ, name)
    if value is None:
        raise BadSettings(f"expected {what} in {name}, or in the file that {name}_FILE names.")
    return value


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """What a platform said, fit to be published and logged: without secrets, and without queries,
    in which keys and signatures travel."""
    text = _QUERY.sub(r"\1?...", text)
    # The longest first: one may be a part of another.
    for secret in sorted(secrets, key=len, reverse=True):
        if secret:
            text = text.replace(secret, "...")
    return text
