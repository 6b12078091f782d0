"""The settings: where they come from, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.protocol.streams import KNOWN, Kind, Stream
from hub.server.settings import (
    FROM_ENVIRONMENT,
    Settings,
    SettingsError,
    config_text,
    load,
    without_password,
)

SECRET = "0123456789abcdef0123456789abcdef"


def test_defaults_hold_where_nothing_is_said() -> None:
    """Nothing given gives the defaults of the class, and no keys file without a home."""
    assert load({}) == Settings()


def test_the_keys_file_lies_in_the_users_configuration_by_default() -> None:
    """The hub and `tapecast key` find the same file without being told."""
    assert load({"HOME": "/home/ann"}).keys_file == "/home/ann/.config/tapecast/keys.json"
    assert load({"HOME": "/x", "XDG_CONFIG_HOME": "/c"}).keys_file == "/c/tapecast/keys.json"


def test_options_go_before_environment_before_file_before_fallbacks() -> None:
    """Each source overrides the ones after it."""
    environ = {"TAPECAST_PORT": "2", "TAPECAST_HOST": "b"}
    toml = 'port = 3\nhost = "c"\nworkers = 3'
    fallbacks = {"workers": 4, "max_subscriptions": 4}
    settings = load(environ, toml, options={"port": 1, "host": None}, fallbacks=fallbacks)
    assert (settings.port, settings.host) == (1, "b")
    assert (settings.workers, settings.max_subscriptions) == (3, 4)


def test_the_environment_is_read_by_type() -> None:
    """Text becomes a number, an optional number or a list, as the setting wants it."""
    settings = load(
        {
            "TAPECAST_HEARTBEAT_SECONDS": "2.5",
            "TAPECAST_MAX_CONNECTIONS": "100",
            "TAPECAST_ALLOWED_ORIGINS": "https://a.example, http://localhost:5173,",
            "TAPECAST_PUSH_SERVICES": "push.example.com,https://a.example:8443",
            "TAPECAST_JWT_SECRET": SECRET,
        }
    )
    assert settings.push_services == ("push.example.com", "https://a.example:8443")
    assert settings.heartbeat_seconds == 2.5
    assert settings.max_connections == 100
    assert settings.allowed_origins == ("https://a.example", "http://localhost:5173")
    assert settings.jwt_secret == SECRET


def test_an_empty_variable_counts_as_not_set() -> None:
    """A Compose file that passes `TAPECAST_PORT=` does not break the start."""
    assert load({"TAPECAST_PORT": "", "TAPECAST_JWT_SECRET": ""}) == Settings()


def test_names_of_other_programs_and_of_clients_are_left_alone() -> None:
    """What clients and producers read from the environment is no error for the hub."""
    environ = {"TAPECAST_URL": "http://x", "TAPECAST_TOKEN": "t", "PATH": "/bin", "TAPE": "1"}
    assert load(environ) == Settings()


def test_streams_join_the_known_ones() -> None:
    """A new stream gets defaults for what its table leaves out; a known one keeps its kind."""
    toml = '[streams.orders]\nkind = "table"\n[streams.positions]\ndeadline_seconds = 3'
    streams = load({}, toml).streams
    assert streams["orders"] == Stream(Kind.TABLE)
    assert streams["positions"] == Stream(Kind.TABLE, deadline_seconds=3)
    assert streams["decisions"] == KNOWN["decisions"]


@pytest.mark.parametrize(
    ("environ", "toml", "said"),
    [
        ({"TAPECAST_PROT": "1"}, "", "TAPECAST_PROT. Did you mean TAPECAST_PORT? Known are: "),
        ({}, "stall_second = 1", "stall_second. Did you mean stall_seconds? Known are: "),
        ({"TAPECAST_STREAMS": "x"}, "", "unknown setting in the environment: TAPECAST_STREAMS"),
        ({"TAPECAST_PORT": "x"}, "", "TAPECAST_PORT: Expected `int`, got 'x'"),
        ({"TAPECAST_PORT": "65536"}, "", "TAPECAST_PORT: Expected `int` <= 65535, got '65536'"),
        ({}, 'port = "1"', "port: Expected `int`, got '1'"),
        ({"TAPECAST_PROBE_SECONDS": "nan"}, "", "PROBE_SECONDS: Expected `float` > 0.0"),
        ({}, "probe_seconds = inf", "probe_seconds: Expected `float` <= 86400.0"),
        ({}, f"jwt_secret = '{SECRET}'", "set TAPECAST_JWT_SECRET in the environment"),
        ({"TAPECAST_JWT_SECRET": "short"}, "", "expected at least 32 bytes, got 5"),
        ({"TAPECAST_ALLOWED_ORIGINS": "*"}, "", "expected 'https://host[:port]', got '*'"),
        ({"TAPECAST_PUSH_PUBLIC_KEY": "AAAA"}, "", "push_public_key: expected a public key"),
        (
            {"TAPECAST_PUSH_SERVICES": "a.b,com"},
            "",
            "push_services: expected 'push.exam",
        ),
        ({"TAPECAST_REDIS_URL": "localhost:6379"}, "", "expected redis://"),
        ({}, "drain_seconds = 1", "expected at most drain_seconds (1.0), got 3.0"),
        ({}, "= 1", "the settings file is no TOML"),
        ({}, "[streams.a]\nkeeep = 1", "[streams.a]: keeep. Did you mean keep?"),
        ({}, '[streams.a]\nkind = "list"', "[streams.a]: Invalid enum value 'list'"),
        ({}, "[streams.a]\nhistory = 301", "expected 1 to 300 entries, got 301"),
        ({}, "[streams.A]", "[streams.A]: expected a channel name"),
        ({}, '[streams."a:b"]', "a name without ':'"),
        ({}, "streams = 1", "expected a table a stream"),
        ({}, "[streams]\na = 1", "expected a table a stream"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(
    environ: dict[str, str], toml: str, said: str
) -> None:
    """An unknown name or a bad value says where it stands, what was expected and what was got."""
    with pytest.raises(SettingsError) as refused:
        load(environ, toml)
    assert said in str(refused.value)


def test_secrets_show_in_no_repr_and_no_error() -> None:
    """A traceback or a log line with the settings gives nobody a secret."""
    url = "redis://hub:pa55@db:6379/0?password=pa55"
    settings = Settings(jwt_secret=SECRET, redis_url=url)
    shown = f"{settings!r} {settings.__rich_repr__()}"
    assert SECRET not in shown
    assert "pa55" not in shown
    assert "redis://hub:***@db:6379/0" in shown
    with pytest.raises(SettingsError) as refused:
        load({"TAPECAST_REDIS_URL": "rediss:hub:pa55@db", "TAPECAST_JWT_SECRET": "pa55"})
    assert "pa55" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://:pw@h:1", "redis://:***@h:1"),
        ("unix:///run/valkey.sock?password=pw", "unix:///run/valkey.sock"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    """The password is left out wherever redis-py accepts one."""
    assert without_password(url) == shown


def test_every_setting_but_streams_has_a_variable() -> None:
    """Nothing can be set in the file alone, except what needs tables."""
    assert set(FROM_ENVIRONMENT.values()) | {"streams"} == set(Settings.__struct_fields__)


def test_every_setting_is_explained() -> None:
    """The docstring of the class, which users read, names each setting."""
    for name in Settings.__struct_fields__:
        assert name in (Settings.__doc__ or "")


def test_the_file_is_named_by_option_or_environment(tmp_path: Path) -> None:
    """The option goes first; nothing named is an empty file; a missing file is an error."""
    first, second = tmp_path / "1.toml", tmp_path / "2.toml"
    first.write_text("port = 1")
    second.write_text("port = 2")
    assert config_text({}) == ""
    assert config_text({"TAPECAST_CONFIG": str(first)}) == "port = 1"
    assert config_text({"TAPECAST_CONFIG": str(first)}, second) == "port = 2"
    with pytest.raises(SettingsError, match="cannot read the settings file"):
        config_text({"TAPECAST_CONFIG": str(tmp_path / "3.toml")})
