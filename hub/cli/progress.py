"""How far a recording was played: a small file beside it, so that a play goes on where it ended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

import msgspec


class Played(msgspec.Struct, frozen=True):
    """A channel was played to up to number `n`, in the history `epoch`."""

    n: int
    epoch: str


_Plays: TypeAlias = dict[str, dict[str, Played]]


class Progress:
    """The plays of one recording, by their ids. Raises ValueError for a file that is none."""

    def __init__(self, path: Path, play: str) -> None:
        self._path = path
        self._play = play
        self._plays: _Plays = {}
        if path.exists():
            try:
                self._plays = msgspec.json.decode(path.read_bytes(), type=_Plays)
            except msgspec.DecodeError as error:
                raise ValueError(
                    f"{path}: expected how far a recording was played: {error}"
                ) from None

    def of(self, channel: str, epoch: str) -> int:
        """Up to which number `channel` was played to, where it still stands in that history."""
        played = self._plays.get(self._play, {}).get(channel)
        return played.n if played is not None and played.epoch == epoch else 0

    def note(self, played: dict[str, Played]) -> None:
        """Write down how far channels were played to; a kill leaves the file as it was before."""
        self._plays[self._play] = {**self._plays.get(self._play, {}), **played}
        partial = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        partial.write_bytes(msgspec.json.encode(self._plays))
        partial.replace(self._path)
