"""The spool's file: what stands in it, and the calls of SQLite.

`sqlite3 FILE 'SELECT number, channel, event, operation FROM waiting'` shows what waits, once the
publisher has ended.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from hub.protocol.publication import AppendEntry, Change, PatchRows, ReplaceRows, SetValue
from hub.protocol.streams import Kind
from producers.answers import Ticket
from producers.buffer import Waiting
from producers.errors import SpoolError, SpoolInUse

logger = logging.getLogger(__name__)

# "TCSP", and the version of what stands below.
APPLICATION_ID: Final = 0x54435350
VERSION: Final = 1

_TABLE: Final = """CREATE TABLE waiting (
    number INTEGER PRIMARY KEY, producer TEXT NOT NULL, n INTEGER NOT NULL, channel TEXT NOT NULL,
    kind TEXT NOT NULL, event TEXT NOT NULL, lease_ms INTEGER NOT NULL, operation TEXT NOT NULL,
    body BLOB NOT NULL)"""
_PUT: Final = "INSERT OR REPLACE INTO waiting VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_FORGET: Final = "DELETE FROM waiting WHERE number = ?"
_ALL: Final = "SELECT * FROM waiting ORDER BY number"

_CHANGES: Final[dict[str, type[Change]]] = {
    "set": SetValue,
    "append": AppendEntry,
    "patch": PatchRows,
    "replace": ReplaceRows,
}
_OPERATIONS: Final = {change: operation for operation, change in _CHANGES.items()}


def open_file(path: Path, max_bytes: int) -> tuple[sqlite3.Connection, list[tuple[Any, ...]]]:
    """The file, made where it is missing and locked, and its rows in order.

    Raises SpoolInUse, SpoolError, and sqlite3.DatabaseError for a file that is damaged.
    """
    try:
        # Never opened and closed where it exists: that would end the locks that this process may
        # have on it (fcntl(2), "advisory record locking").
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise SpoolError(f"{path}: expected a file that can be written: {error}") from error
    try:
        return db, _take(db, path, max_bytes)
    except sqlite3.OperationalError as error:
        db.close()
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            text = f"{path}: another publisher has this spool; give each a file of its own"
            raise SpoolInUse(text) from error
        raise SpoolError(f"{path}: expected a spool, got {error}") from error
    except (sqlite3.Error, SpoolError):
        db.close()
        raise


def commit(
    db: sqlite3.Connection, rows: Sequence[tuple[Any, ...]], forgotten: Sequence[int]
) -> None:
    """Write rows and delete others: all of it or nothing, and synced where a row is new."""
    db.execute(f"PRAGMA synchronous={'FULL' if rows else 'NORMAL'}")
    db.execute("BEGIN IMMEDIATE")
    try:
        db.executemany(_PUT, rows)
        db.executemany(_FORGET, ((number,) for number in forgotten))
        db.execute("COMMIT")
    except sqlite3.Error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def set_aside(path: Path) -> Path:
    """Rename a damaged file and what belongs to it; its new name."""
    kept = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(kept.with_name(kept.name + suffix))
    return kept


def encode_row(waiting: Waiting[Ticket]) -> tuple[Any, ...]:
    """A publish as a row of the table."""
    return (
        waiting.row,
        waiting.producer,
        waiting.n,
        waiting.channel,
        waiting.kind.value,
        waiting.event,
        waiting.lease_ms,
        _OPERATIONS[type(waiting.change)],
        msgspec.msgpack.encode(waiting.change),
    )


def decode_row(path: Path, row: tuple[Any, ...]) -> Waiting[Ticket] | None:
    """The publish of a row, which an earlier run may have sent; None for one that is damaged."""
    number, producer, n, channel, kind, event, lease_ms, operation, body = row
    try:
        return Waiting(
            channel,
            Kind(kind),
            event,
            msgspec.msgpack.decode(body, type=_CHANGES[operation]),
            lease_ms,
            producer=producer,
            n=n,
            row=number,
            sealed=True,
        )
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError) as error:
        logger.error("%s: row %s of %s is damaged, left out: %s", path, number, channel, error)
        return None


def _take(db: sqlite3.Connection, path: Path, max_bytes: int) -> list[tuple[Any, ...]]:
    # Locks are held until the connection is closed or the process ends, however it does.
    db.execute("PRAGMA locking_mode=EXCLUSIVE")
    [(application,)] = db.execute("PRAGMA application_id")
    [(version,)] = db.execute("PRAGMA user_version")
    [(tables,)] = db.execute("SELECT count(*) FROM sqlite_master")
    if tables and (application, version) != (APPLICATION_ID, VERSION):
        what = "another version" if application == APPLICATION_ID else "another program"
        raise SpoolError(f"{path}: expected a spool, got a database of {what}; name another file")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("BEGIN EXCLUSIVE")
    if not tables:
        db.execute(f"PRAGMA application_id={APPLICATION_ID}")
        db.execute(f"PRAGMA user_version={VERSION}")
        db.execute(_TABLE)
    [(verdict,), *_more] = db.execute("PRAGMA quick_check(1)")
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)
    rows = db.execute(_ALL).fetchall()
    db.execute("COMMIT")
    [(page_bytes,)] = db.execute("PRAGMA page_size")
    db.execute(f"PRAGMA max_page_count={max(1, max_bytes // page_bytes)}")
    return rows
