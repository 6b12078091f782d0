"""API keys: how they look, and the file that knows them by their SHA-256.

A key is `tck_<id>_<secret>`. The file holds the id, whom the key is for, what it allows and the
digest of the whole key, so reading the file gives nobody a key. The secret has 256 random bits,
which is why one fast hash is enough. The file is replaced as a whole, never written in place:
a hub that reads meanwhile sees the old or the new one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hmac
import logging
import os
import secrets
import stat
import tempfile
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import msgspec

from hub.protocol.agent_commands import check_command_pattern
from hub.protocol.channels import check_pattern
from hub.protocol.errors import ChannelNameError

_log = logging.getLogger(__name__)

KEY_PREFIX = "tck_"
_SECRET_BYTES = 32
_ID_BYTES = 4


MAX_SUBJECT_CHARACTERS = 256


class KeysError(Exception):
    """A file of keys that cannot be used; the text names the file and says why."""


class ApiKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key as the file knows it. created_at: Unix seconds; sha256: in hexadecimal digits."""

    id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{8}$")]
    subject: str
    read: tuple[str, ...] = ()
    publish: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    created_at: int
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]

    def __post_init__(self) -> None:
        check_subject(self.subject)
        try:
            check_rights(self.read, self.publish, self.command)
        except ChannelNameError as error:
            raise ValueError(str(error)) from None

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [(name, getattr(self, name)) for name in self.__struct_fields__ if name != "sha256"]


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    keys: list[ApiKey] = []


def check_rights(read: Iterable[str], publish: Iterable[str], command: Iterable[str]) -> None:
    """Raise ChannelNameError for a pattern that is none, or takes nothing."""
    for pattern in (*read, *publish):
        check_pattern(pattern)
    for pattern in command:
        check_command_pattern(pattern)


def check_subject(subject: str) -> str:
    """Return `subject`, or raise ValueError: it names whom a token or key is for."""
    if 1 <= len(subject) <= MAX_SUBJECT_CHARACTERS and subject.isprintable():
        return subject
    raise ValueError(
        f"expected a subject of 1 to {MAX_SUBJECT_CHARACTERS} printable characters, got {subject!r}"
    )


def mint_key(
    subject: str,
    read: tuple[str, ...],
    publish: tuple[str, ...],
    command: tuple[str, ...] = (),
    *,
    now: float,
) -> tuple[str, ApiKey]:
    """A new key, to be shown once, and what the file keeps of it. now: Unix seconds.

    Raises ValueError for a bad subject or pattern.
    """
    id = secrets.token_hex(_ID_BYTES)
    key = f"{KEY_PREFIX}{id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    kept = ApiKey(
        id=id,
        subject=subject,
        read=read,
        publish=publish,
        command=command,
        created_at=int(now),
        sha256=sha256(key.encode()).hexdigest(),
    )
    return key, kept


class KeyFile:
    """The keys in one file, read again whenever it changes; no file, no keys.

    A file that cannot be used makes every key invalid, and is complained of once in the log.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._keys: dict[str, ApiKey] = {}
        self._complaint = ""

    def find(self, key: str) -> ApiKey | None:
        """What the file knows of `key`, or None.

        Looks at the file's times on every call (microseconds), so that a revoked key ends at once.
        """
        self._refresh()
        id = key.removeprefix(KEY_PREFIX).partition("_")[0]
        kept = self._keys.get(id)
        digest = sha256(key.encode()).hexdigest()
        # Compare with something in any case: time must not tell which ids exist.
        same = hmac.compare_digest(digest, kept.sha256 if kept else "0" * len(digest))
        return kept if same else None

    def has(self, id: str) -> bool:
        """Whether there is a key with this id, which is no secret, now."""
        self._refresh()
        return id in self._keys

    def _refresh(self) -> None:
        seen = self._look()
        if self._path is None or (seen is not None and seen == self._seen):
            return
        # What cannot be read now is tried again on the next call.
        self._seen, self._keys = None, {}
        try:
            self._keys = {key.id: key for key in read_keys(self._path)}
        except KeysError as error:
            if self._complaint != str(error):
                self._complaint = str(error)
                _log.error("no API key is valid: %s", error)
        else:
            self._seen, self._complaint = seen, ""

    def _look(self) -> tuple[int, int, int] | None:
        try:
            info = self._path.stat() if self._path else None
        except OSError:
            return None
        # The time of change, since that of modification leaves out a chmod.
        return (info.st_ctime_ns, info.st_ino, info.st_size) if info else None


def read_keys(path: Path) -> list[ApiKey]:
    """The keys in the file, oldest first; none where there is no file. Raises KeysError."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise KeysError(f"cannot read the keys in {path}: {error.strerror}") from error
    if mode & 0o022:
        raise KeysError(
            f"others may write the keys in {path} ({stat.filemode(mode)}): run chmod 600 {path}"
        )
    try:
        return msgspec.json.decode(content, type=_Document).keys
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise KeysError(f"the keys in {path} cannot be understood: {error}") from error


def add_key(path: Path, key: ApiKey) -> None:
    """Add `key` to the file, which is made with mode 0600 where it is missing. Raises KeysError."""
    with _changing(path):
        _replace(path, [*read_keys(path), key])


def revoke_key(path: Path, id: str) -> ApiKey | None:
    """Take the key out of the file and return it; None where there is none. Raises KeysError."""
    with _changing(path):
        keys = read_keys(path)
        found = next((key for key in keys if key.id == id), None)
        if found is not None:
            _replace(path, [key for key in keys if key is not found])
    return found


@contextlib.contextmanager
def _changing(path: Path) -> Iterator[None]:
    """Let one process at a time read, change and replace the file."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.with_name(f"{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise KeysError(f"cannot write the keys in {path}: {error.strerror}") from error


def _replace(path: Path, keys: list[ApiKey]) -> None:
    content = msgspec.json.format(msgspec.json.encode(_Document(keys)), indent=2) + b"\n"
    # mkstemp gives mode 0600 from the start.
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
