"""How long a source that failed is left alone: longer each time, with jitter, and as long as it
asks for itself."""

from __future__ import annotations

import email.utils
import random
import time
from typing import Final, NamedTuple

from producers.errors import SourceBusy

FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 30.0
LONGEST_BUSY_SECONDS: Final = 3600.0
"""The longest that a source may ask to be left alone for: some answer with nonsense."""


def retry_after(header: str | None, otherwise: float) -> float:
    """The seconds that a Retry-After asks for, in seconds or by a date; `otherwise` where it says
    nothing that can be read. Never more than `LONGEST_BUSY_SECONDS`."""
    text = (header or "").strip()
    try:
        if text.replace(".", "", 1).isdecimal():
            seconds = float(text)
        else:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
    except (OverflowError, ValueError):
        return otherwise
    return min(max(0.0, seconds), LONGEST_BUSY_SECONDS)


class Pause(NamedTuple):
    """One pause; `at_most` is what it may have been by chance."""

    seconds: float
    at_most: float


class Pauses:
    """The pauses after failures in a row. first, longest: seconds, before jitter."""

    def __init__(
        self, first: float = FIRST_PAUSE_SECONDS, longest: float = LONGEST_PAUSE_SECONDS
    ) -> None:
        self._first = first
        self._longest = longest
        self._failures = 0
        self._pause = 0.0
        self._well_since: float | None = None

    def failed(self, error: Exception) -> Pause:
        """The pause after one more failure."""
        # One that is well for a moment each time would be tried again at once for ever.
        if self._well_since is not None and time.monotonic() - self._well_since >= self._pause:
            self._failures = 0
        self._well_since = None
        longest = min(self._longest, self._first * 2 ** min(self._failures, 16))
        self._failures, self._pause = self._failures + 1, longest
        asked_for = 0.0
        if isinstance(error, SourceBusy):
            asked_for = min(max(0.0, error.seconds), LONGEST_BUSY_SECONDS)
        return Pause(asked_for + longest * random.uniform(0.5, 1), asked_for + longest)

    def is_well(self) -> int:
        """Begin again from the first pause, if it stays so for as long as the last one was; how
        many failures there were before, 0 where it was well already."""
        if self._well_since is not None:
            return 0
        self._well_since = time.monotonic()
        return self._failures
