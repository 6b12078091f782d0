"""What a producer has to know besides its own options: which Redis, and the streams.

The same rules as the hub's: an option, else the environment, else the TOML file that both read,
else a running embedded server of this user, else the default. Of the file, `redis_url` and the
tables `[streams.NAME]` and `[sources.NAME]` are a producer's business; a name that the hub does not
know either is an error, here as there.
"""

from __future__ import annotations

import os
import socket
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from hub.protocol.addresses import choose_redis_url
from hub.protocol.channels import check_channel
from hub.protocol.errors import ChannelNameError
from hub.protocol.streams import KNOWN, Stream
from producers.errors import ProducerError

_PROBE_SECONDS: Final = 1.0

HUB_SETTINGS: Final = frozenset(
    {
        "allowed_origins",
        "auth_seconds",
        "batched_writes",
        "body_bytes",
        "compression",
        "compression_bytes",
        "drain_seconds",
        "drain_spread_seconds",
        "feed_linger_seconds",
        "frame_bytes",
        "handshake_seconds",
        "header_bytes",
        "heartbeat_seconds",
        "host",
        "idle_check_seconds",
        "keys_file",
        "legacy_account",
        "legacy_paths",
        "legacy_query_token",
        "max_connections",
        "max_subscriptions",
        "outbox_bytes",
        "outbox_seconds",
        "port",
        "probe_seconds",
        "push_public_key",
        "push_services",
        "stall_seconds",
        "workers",
    }
)
"""What else may stand in the file. Spelled out, since producers do not import the hub; a test
compares it with the hub's settings."""


class BadSettings(ProducerError):
    """Settings that can't be used."""


class Settings(msgspec.Struct, frozen=True):
    redis_url: str
    streams: Mapping[str, Stream]


def read_source(
    environ: Mapping[str, str], name: str, *, config: Path | None = None
) -> dict[str, Any]:
    """The table `[sources.NAME]` of the file, empty where it has none; raises BadSettings."""
    tables = _read_file(config or environ.get("TAPECAST_CONFIG")).get("sources", {})
    table = tables.get(name, {}) if isinstance(tables, dict) else None
    if not isinstance(table, dict):
        raise BadSettings(f"sources: expected a table a source, such as [sources.{name}]")
    return table


def read_settings(
    environ: Mapping[str, str], *, redis: str | None = None, config: Path | None = None
) -> Settings:
    """The settings for these options; raises BadSettings."""
    given = _read_file(config or environ.get("TAPECAST_CONFIG"))
    # The file comes after the environment, and before anything that has to be looked for.
    url = redis or environ.get("TAPECAST_REDIS_URL") or given.get("redis_url")
    return Settings(
        choose_redis_url(url, environ, os.getuid(), _answers), _streams(given.get("streams", {}))
    )


def _read_file(path: Path | str | None) -> dict[str, Any]:
    if not path:
        return {}
    try:
        given = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSettings(f"{path}: {error}") from error
    known = HUB_SETTINGS | {"redis_url", "streams", "sources"}
    for name in given.keys() - known:
        names = ", ".join(sorted(known))
        raise BadSettings(f"{path}: unknown setting {name}. Known are: {names}.")
    if not isinstance(given.get("redis_url", ""), str):
        raise BadSettings(f"{path}: redis_url: expected a URL, got {given['redis_url']!r}")
    return given


def _streams(tables: Any) -> dict[str, Stream]:
    """The known streams with the file's options over them."""
    streams = dict(KNOWN)
    try:
        for name, table in msgspec.convert(tables, dict[str, dict[str, Any]]).items():
            if ":" in check_channel(name):
                raise BadSettings(f"streams: expected a name without ':', got {name!r}")
            known = msgspec.structs.asdict(KNOWN[name]) if name in KNOWN else {}
            streams[name] = msgspec.convert({**known, **table}, Stream)
    except (msgspec.ValidationError, ChannelNameError) as error:
        raise BadSettings(f"streams: {error}") from error
    return streams


def _answers(path: str) -> bool:
    """Whether a server answers at a socket that nobody but this user can have put there."""
    try:
        folder = Path(path).parent.lstat()
    except OSError:
        return False
    if not stat.S_ISDIR(folder.st_mode) or folder.st_uid != os.getuid() or folder.st_mode & 0o077:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(_PROBE_SECONDS)
        try:
            link.connect(path)
            link.sendall(b"PING\r\n")
            return link.recv(7) == b"+PONG\r\n"
        except OSError:
            return False
