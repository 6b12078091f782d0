"""What is known of the files in a decision folder, so that only news is told.

The rules, without a clock and without reading a file:

1. A file with the same bytes as before is no news.
2. A file that can't be read may still be being written. It counts as broken when it has stayed so
   for `GRACE_SECONDS`, and is told as broken once for each content.
3. A decision belongs to the first file that holds its id. Another file with that id is broken,
   until the first one is gone; otherwise two files would take turns in updating one decision.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import msgspec

from producers.errors import BrokenFile
from producers.events import Decision
from producers.sources.decision_store.parsing import parse_decision

GRACE_SECONDS: Final = 2.0


class Broken(msgspec.Struct, frozen=True):
    """A file that stayed broken; `digest` names the content that it was broken with."""

    name: str
    why: str
    digest: str


class _Suspect(msgspec.Struct, frozen=True):
    broken: Broken
    overdue_at: float


class DecisionFolder:
    """The files by name. `now` is in seconds, from any start."""

    def __init__(self, grace_seconds: float = GRACE_SECONDS) -> None:
        self._grace_seconds = grace_seconds
        self._digests: dict[str, str] = {}
        self._owners: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        self._suspects: dict[str, _Suspect] = {}

    def saw(self, name: str, content: bytes, now: float) -> Decision | None:
        """Take in a file's content; returns its decision where that is news."""
        digest = blake2b(content, digest_size=8).hexdigest()
        if self._digests.get(name) == digest:
            return None
        self._digests[name] = digest
        self._suspects.pop(name, None)
        try:
            decision = parse_decision(name, content)
            self._claim(decision.id, name)
        except BrokenFile as error:
            self._suspect(Broken(name, error.why, digest), now)
            return None
        return decision

    def failed(self, name: str, why: str, now: float) -> None:
        """A file could not be read at all, so its content is not known."""
        self._digests.pop(name, None)
        self._suspect(Broken(name, why, digest=""), now)

    def lost(self, name: str) -> None:
        """A file is not there any more; what it said stays said."""
        self._digests.pop(name, None)
        self._suspects.pop(name, None)
        self._release(name)

    def next_deadline(self) -> float | None:
        """When the next file counts as broken, if it doesn't change before."""
        return min((each.overdue_at for each in self._suspects.values()), default=None)

    def take_broken(self, now: float) -> list[Broken]:
        """The files that stayed broken up to now, each once."""
        overdue = [name for name, each in self._suspects.items() if each.overdue_at <= now]
        return [self._suspects.pop(name).broken for name in sorted(overdue)]

    def _suspect(self, broken: Broken, now: float) -> None:
        self._suspects[broken.name] = _Suspect(broken, now + self._grace_seconds)

    def _claim(self, decision_id: str, name: str) -> None:
        owner = self._owners.get(decision_id, name)
        if owner != name:
            raise BrokenFile(name, f"decision {decision_id} stands in {owner} already")
        self._release(name)
        self._owners[decision_id] = name
        self._ids[name] = decision_id

    def _release(self, name: str) -> None:
        decision_id = self._ids.pop(name, None)
        if decision_id is not None:
            del self._owners[decision_id]
