"""What the operating system tells of one folder, as a coroutine.

`watchfiles.awatch` begins to watch at its first iteration, without a sign when. Reading the folder
first would lose what is written before that, so this stands on the documented layer below, whose
constructor returns with the watch in place.
"""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Final

from watchfiles import Change
from watchfiles._rust_notify import RustNotify

from producers.errors import SourceGone

# Changes that come within a step of each other are told together, after the longest wait at the
# latest.
_STEP_MS: Final = 20
_LONGEST_WAIT_MS: Final = 200


class FolderWatch:
    """Watches from its making until `close`; raises SourceGone where there is no such folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._closed = threading.Event()
        try:
            self._notify = RustNotify(
                [str(self._folder)],
                debug=False,
                force_polling=False,
                poll_delay_ms=0,
                recursive=False,
                ignore_permission_denied=False,
            )
        except FileNotFoundError as error:
            raise SourceGone(f"{folder}: expected a folder, found none") from error

    async def changed(self, deadline: float | None = None) -> frozenset[str]:
        """The names of the files that changed since the last call, as soon as one did.

        None of them when `deadline` (of `time.monotonic`) comes first. Raises SourceGone when the
        folder itself was removed or renamed: nothing more would be heard of it.
        """
        # Zero stands for "without an end".
        wait_ms = 0 if deadline is None else max(1, round(1000 * (deadline - time.monotonic())))
        heard = await asyncio.to_thread(
            self._notify.watch, _LONGEST_WAIT_MS, _STEP_MS, wait_ms, self._closed
        )
        if isinstance(heard, str):
            return frozenset()
        if (Change.deleted.value, str(self._folder)) in heard:
            raise SourceGone(f"{self._folder} was removed or renamed")
        return frozenset(Path(path).name for _change, path in heard)

    def close(self) -> None:
        """Stop watching; a call of `changed` that is cancelled leaves its thread within a step."""
        self._closed.set()
