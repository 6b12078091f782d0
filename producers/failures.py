"""What a source raised, as a failure of it that is told and tried again.

A source is somebody else's code, and stands on libraries that are somebody else's again: some raise
what is no Exception, cancel the task that they are called in, or say a page of HTML.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from producers.errors import SourceError

MAX_DETAIL: Final = 300


def failure_of(error: BaseException) -> Exception:
    """What to tell and try again after; raises `error` where it is meant for this process."""
    match error:
        case Exception():
            return error
        case asyncio.CancelledError():
            task = asyncio.current_task()
            if task is not None and not task.cancelling():
                return SourceError("it was cancelled from within")
            raise error
        case GeneratorExit() | KeyboardInterrupt():
            raise error
    return RuntimeError(f"{type(error).__name__}: {error}")


def detail_of(error: Exception, shown: Callable[[str], str] = str) -> str:
    """What is told of a failure. shown: what of its text may be: all but secrets."""
    # A name from the file system may hold what is no text.
    text = str(error).encode(errors="replace").decode()
    return shown(text or type(error).__name__)[:MAX_DETAIL]
