"""A recording as a file that one recorder at a time appends to."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from hub.cli.parquet import is_parquet, read
from hub.client.recording import (
    Places,
    RecordingError,
    Reset,
    Row,
    Update,
    encode_row,
    read_rows,
)

FIRST_WORDS = b'{"type":"recording"'


class RecordingFile:
    """Opened for appending, after what is there already; locked against a second recorder.

    places: where its channels stand. rows, updates, resets: how many were written by this run.
    Raises RecordingError, for what is no recording and what another recorder writes to.
    """

    def __init__(self, path: Path) -> None:
        self.places = Places()
        self.rows = self.updates = self.resets = 0
        # Neither truncated nor moved before it was read: it may be somebody's other file.
        self._file = path.open("a+b")
        try:
            _lock(self._file.fileno(), path)
            self._end = self._read(path)
            self._file.truncate(self._end)
        except BaseException:
            self._file.close()
            raise

    def _read(self, path: Path) -> int:
        """Take in what is there; returns where its last whole line ends."""
        self._file.seek(0)
        end = 0

        def lines() -> Iterator[bytes]:
            nonlocal end
            for line in self._file:
                end += len(line) if line.endswith(b"\n") else 0
                yield line

        try:
            for row in read_rows(lines()):
                self.places.take(row)
            if end == 0:
                self._file.seek(0)
                if not FIRST_WORDS.startswith(self._file.read(len(FIRST_WORDS))):
                    raise RecordingError("expected a recording, got something else")
        except RecordingError as error:
            raise RecordingError(f"{path}: {error}") from None
        return end

    def write(self, row: Row) -> None:
        """Append a row; a killed recorder leaves it whole, or a last line without its end."""
        self._file.write(encode_row(row))
        self._file.flush()
        self.places.take(row)
        self.rows += 1
        self.updates += isinstance(row, Update)
        self.resets += isinstance(row, Reset)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()


@contextmanager
def open_recording(path: Path) -> Iterator[Iterator[Row]]:
    """The rows of a recording, while it is open. Raises RecordingError that names the file."""
    try:
        if is_parquet(path):
            yield read(path)
            return
        with path.open("rb") as lines:
            yield read_rows(lines)
    except RecordingError as error:
        raise RecordingError(f"{path}: {error}") from None


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RecordingError(f"{path}: another recorder writes to it") from None
