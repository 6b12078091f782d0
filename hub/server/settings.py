"""Every setting of the hub: its name, unit, bounds and default, in one place.

A value is looked for in this order: an option of the command line, the environment
(`TAPECAST_` and the name in upper case), one TOML file (the name as it is, and a table
`[streams.NAME]` a stream), the default. A name that nobody knows is an error, so that a
misspelled limit is never a missing limit. An empty variable counts as not set, as Compose files
produce them.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from hub.protocol.addresses import DEFAULT_HOST, DEFAULT_PORT, DEFAULT_REDIS_URL, default_keys_file
from hub.protocol.channels import check_channel
from hub.protocol.errors import ChannelNameError
from hub.protocol.push import check_point, check_service
from hub.protocol.streams import KNOWN, Stream

PREFIX = "TAPECAST_"
MIN_SECRET_BYTES = 32
"""RFC 7518 section 3.2: a key of at least the hash's size must be used with HS256."""

LEGACY_SUBSCRIPTIONS = 7
"""What a dashboard of the old bot server follows by one connection."""

OTHER_NAMES: Mapping[str, str] = {
    "TAPECAST_CONFIG": "the TOML file to read",
    "TAPECAST_URL": "the hub that clients use",
    "TAPECAST_TOKEN": "the token that clients show",
    "TAPECAST_DASHBOARD": "whether a build must have the dashboard, or leaves it out",
    "TAPECAST_REQUIRE_ALL": "fail tests that would be skipped",
}
"""Names in the environment that are no settings of the hub."""

_DAY = 86_400.0

Seconds = Annotated[float, Meta(gt=0, le=_DAY)]
Bytes = Annotated[int, Meta(ge=1024)]
Count = Annotated[int, Meta(ge=1)]

_ORIGIN = re.compile(r"https?://[a-z0-9.\-\[\]:]+")


class SettingsError(Exception):
    """A setting that cannot be used; the text says what was expected, what was got, and where."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `serve` runs with.

    host: the address to listen on; 0.0.0.0 for all.
    port: the port to listen on; 0 takes a free one.
    workers: processes that share the port; each holds its own feeds.
    redis_url: redis://, rediss:// or unix://, with the password in it where there is one.
    jwt_secret: what tokens are signed with (HS256), at least 32 bytes; from the environment alone.
    keys_file: the file of API keys, which `tapecast key` writes. By default keys.json in the
        folder tapecast of XDG_CONFIG_HOME or ~/.config; no such file, no API keys.
    allowed_origins: pages that may open a socket, as "https://host[:port]"; empty: the hub's own.
        In the environment, separated by commas.

    heartbeat_seconds: between two heartbeats to a connection.
    handshake_seconds: from accepting a connection to the end of its request's headers.
    auth_seconds: from the open socket to its token.
    stall_seconds: after a connection took no more bytes, until it is aborted.

    outbox_bytes, outbox_seconds: what may wait for one connection, by size and by age.
    frame_bytes: the largest frame from a client, also once it is inflated.
    header_bytes: the largest request line with headers.
    body_bytes: the largest body of an HTTP request, a batch of publishes among them.
    max_connections: per worker; None: nine tenths of the limit on open files.
    max_subscriptions: per connection.

    batched_writes: whether many sockets are written to by one system call (Linux' io_submit),
        where the kernel lets it.
    compression: whether messages are compressed for clients that offer it (permessage-deflate).
    compression_bytes: the smallest frame that is compressed then.

    feed_linger_seconds: a feed without subscribers is kept so long, for those who come back.
    idle_check_seconds: a channel quiet for so long has its position compared with the broker's.
    probe_seconds: between two deliveries of the hub to itself, which readiness counts on.
    drain_seconds: from SIGTERM to the last close.
    drain_spread_seconds: the window over which the closes are staged, within drain_seconds.

    push_public_key: of the VAPID pair that alerts are pushed to browsers with, as
        `tapecast push-keys` makes it; "": the dashboard offers no Web Push.
    push_services: hosts of push services besides those of the known browsers, and origins, as
        "https://HOST:PORT". In the environment, separated by commas.

    legacy_paths: whether the paths of the old bot server are served, for its dashboards.
    legacy_query_token: whether a token counts there that is shown in the URL.
    legacy_account: whose channels are shown there, as in portfolio:ACCOUNT; "": portfolio itself.

    streams: options by the stream's name; those known from the start are always there.
    """

    host: str = DEFAULT_HOST
    port: Annotated[int, Meta(ge=0, le=65535)] = DEFAULT_PORT
    workers: Annotated[int, Meta(ge=1, le=256)] = 1
    redis_url: str = DEFAULT_REDIS_URL
    jwt_secret: str = ""
    keys_file: str = ""
    allowed_origins: tuple[str, ...] = ()

    heartbeat_seconds: Seconds = 5.0
    handshake_seconds: Seconds = 5.0
    auth_seconds: Seconds = 5.0
    stall_seconds: Seconds = 10.0

    outbox_bytes: Bytes = 1024 * 1024
    outbox_seconds: Seconds = 10.0
    frame_bytes: Bytes = 64 * 1024
    header_bytes: Bytes = 64 * 1024
    body_bytes: Bytes = 1024 * 1024
    max_connections: Count | None = None
    max_subscriptions: Count = 128

    batched_writes: bool = True
    compression: bool = False
    compression_bytes: Count = 1024

    feed_linger_seconds: Annotated[float, Meta(ge=0, le=_DAY)] = 30.0
    idle_check_seconds: Seconds = 5.0
    probe_seconds: Seconds = 1.0
    drain_seconds: Seconds = 5.0
    drain_spread_seconds: Annotated[float, Meta(ge=0, le=_DAY)] = 3.0

    push_public_key: str = ""
    push_services: tuple[str, ...] = ()

    legacy_paths: bool = False
    legacy_query_token: bool = False
    legacy_account: str = ""

    streams: Mapping[str, Stream] = msgspec.field(default_factory=lambda: dict(KNOWN))

    def __post_init__(self) -> None:
        size = len(self.jwt_secret.encode())
        if self.jwt_secret and size < MIN_SECRET_BYTES:
            raise ValueError(f"jwt_secret: expected at least {MIN_SECRET_BYTES} bytes, got {size}")
        _check_redis_url(self.redis_url)
        for origin in self.allowed_origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"allowed_origins: expected 'https://host[:port]', got {origin!r}")
        if self.drain_spread_seconds > self.drain_seconds:
            raise ValueError(
                f"drain_spread_seconds: expected at most drain_seconds ({self.drain_seconds}), "
                f"got {self.drain_spread_seconds}"
            )
        self._check_push()
        self._check_legacy()

    def _check_push(self) -> None:
        try:
            if self.push_public_key:
                check_point(self.push_public_key)
        except ValueError as error:
            raise ValueError(f"push_public_key: {error}; `tapecast push-keys` makes one") from None
        try:
            for service in self.push_services:
                check_service(service)
        except ValueError as error:
            raise ValueError(f"push_services: {error}") from None

    def _check_legacy(self) -> None:
        for name in ("legacy_query_token", "legacy_account"):
            if getattr(self, name) and not self.legacy_paths:
                raise ValueError(f"{name}: expected legacy_paths = true with it")
        if self.legacy_account:
            try:
                check_channel(f"portfolio:{self.legacy_account}")
            except ChannelNameError as error:
                raise ValueError(f"legacy_account: {error.message}") from None
        if self.legacy_paths and self.max_subscriptions < LEGACY_SUBSCRIPTIONS:
            raise ValueError(
                f"max_subscriptions: expected at least {LEGACY_SUBSCRIPTIONS} with legacy_paths, "
                f"got {self.max_subscriptions}"
            )

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Name and value of every setting, without its secrets."""
        shown: list[tuple[str, Any]] = []
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if name == "jwt_secret" and value:
                value = "<secret>"
            elif name == "redis_url":
                value = without_password(value)
            shown.append((name, value))
        return shown

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


def _check_redis_url(url: str) -> None:
    # What was got may hold a password, so not all of it is repeated.
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("redis", "rediss", "unix") and parts.port != 0
    except ValueError as error:
        raise ValueError(f"redis_url: {error}") from None
    if not known:
        got = f"{parts.scheme}:" if parts.scheme else "no scheme"
        raise ValueError(
            f"redis_url: expected redis://HOST:PORT/0, rediss:// or unix:///PATH, got {got}"
        )


def without_password(url: str) -> str:
    """`url` as it may be shown: without the password, and without the query, which may hold one."""
    scheme, _, rest = url.partition("?")[0].partition("://")
    authority, slash, path = rest.partition("/")
    credentials, at, host = authority.rpartition("@")
    user, colon, _ = credentials.partition(":")
    return f"{scheme}://{user}{':***' if colon else ''}{at}{host}{slash}{path}"


def variable(name: str) -> str:
    """The name in the environment of the setting `name`."""
    return PREFIX + name.upper()


FROM_ENVIRONMENT: Mapping[str, str] = {
    variable(name): name for name in Settings.__struct_fields__ if name != "streams"
}
"""Settings by their names in the environment; streams are tables, so the file alone has them."""
_FROM_FILE = frozenset(Settings.__struct_fields__) - {"jwt_secret"}
_LISTS = frozenset({"allowed_origins", "push_services"})
_OF_PRODUCERS = "sources"
"""The tables of the file that producers alone read: one file serves both."""
_TYPES = get_type_hints(Settings, include_extras=True)


def load(
    environ: Mapping[str, str],
    toml: str = "",
    *,
    options: Mapping[str, Any] | None = None,
    fallbacks: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings that options, `environ` and the text of the TOML file say, in that order.

    options: by name; None as a value is not given. fallbacks: what to use in place of a default.
    Raises SettingsError.
    """
    values: dict[str, Any] = {"keys_file": default_keys_file(environ), **(fallbacks or {})}
    values |= _read_file(toml)
    values |= _read_environment(environ)
    for name, given in (options or {}).items():
        if given is not None:
            values[name] = _convert(name, given, f"--{name.replace('_', '-')}", strict=True)
    values["streams"] = {**KNOWN, **values.get("streams", {})}
    try:
        return Settings(**values)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def config_text(environ: Mapping[str, str], option: str | Path | None = None) -> str:
    """The text of the TOML file that the option or `TAPECAST_CONFIG` names; "" where neither does.

    Raises SettingsError for a file that cannot be read.
    """
    path = option or environ.get("TAPECAST_CONFIG")
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read the settings file {path}: {error}") from None


def check_names(environ: Mapping[str, str]) -> None:
    """Refuse names in the environment that nobody knows, also those of clients; SettingsError."""
    known = FROM_ENVIRONMENT.keys() | OTHER_NAMES.keys()
    for name in environ:
        if name.startswith(PREFIX) and name not in known:
            raise SettingsError(_unknown("setting in the environment", name, known))


def _read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    check_names(environ)
    values: dict[str, Any] = {}
    for name, setting in FROM_ENVIRONMENT.items():
        text = environ.get(name)
        if not text:
            continue
        given: Any = text
        if setting in _LISTS:
            given = [part.strip() for part in text.split(",") if part.strip()]
        values[setting] = _convert(setting, given, name, strict=False)
    return values


def _read_file(toml: str) -> dict[str, Any]:
    try:
        document = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"the settings file is no TOML: {error}") from None
    values: dict[str, Any] = {}
    for name, given in document.items():
        if name == "jwt_secret":
            raise SettingsError(
                "jwt_secret does not belong into a file that is shared and kept: "
                f"set {variable(name)} in the environment"
            )
        if name == _OF_PRODUCERS:
            continue
        if name not in _FROM_FILE:
            raise SettingsError(_unknown("setting in the file", name, _FROM_FILE))
        if name == "streams":
            values[name] = _read_streams(given)
        else:
            values[name] = _convert(name, given, name, strict=True)
    return values


def _read_streams(given: Any) -> dict[str, Stream]:
    """Streams by name; what a table leaves out is as the known stream has it, else the default."""
    if not isinstance(given, dict) or not all(isinstance(table, dict) for table in given.values()):
        raise SettingsError("streams: expected a table a stream, such as [streams.orders]")
    streams: dict[str, Stream] = {}
    for name, table in given.items():
        where = f"[streams.{name}]"
        try:
            check_channel(name)
        except ChannelNameError as error:
            raise SettingsError(f"{where}: {error}") from None
        if ":" in name:
            raise SettingsError(f"{where}: expected a stream, which is a name without ':'")
        for option in table:
            if option not in Stream.__struct_fields__:
                raise SettingsError(
                    _unknown(f"option in {where}", option, Stream.__struct_fields__)
                )
        base = msgspec.structs.asdict(KNOWN[name]) if name in KNOWN else {}
        try:
            streams[name] = msgspec.convert({**base, **table}, Stream)
        except msgspec.ValidationError as error:
            raise SettingsError(f"{where}: {error}") from None
    return streams


def _convert(setting: str, given: Any, where: str, *, strict: bool) -> Any:
    try:
        return msgspec.convert(given, _TYPES[setting], strict=strict)
    except msgspec.ValidationError as error:
        expected = str(error).partition(", got ")[0]
        shown = "something else" if setting in ("jwt_secret", "redis_url") else repr(given)
        raise SettingsError(f"{where}: {expected}, got {shown}") from None


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"unknown {what}: {name}.{hint} Known are: {', '.join(names)}."
