"""producers/settings.py: the Redis and the streams, by the hub's rules."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hub.protocol.streams import KNOWN, Kind, Stream
from hub.server.settings import Settings, load
from producers.settings import HUB_SETTINGS, BadSettings, read_settings, read_source
from tests.support.valkey import Valkey

DEFAULT = "redis://127.0.0.1:6379/0"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_RUNTIME_DIR": str(tmp_path)}


@pytest.fixture
def private(tmp_path: Path) -> Path:
    folder = tmp_path / f"tapecast-{os.getuid()}"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def embedded(private: Path, valkey: Valkey) -> Path:
    """A server that answers where the embedded one of this user would."""
    socket = private / "valkey.sock"
    socket.symlink_to(valkey.socket)
    return socket


def test_order(environ: dict[str, str], tmp_path: Path, embedded: Path) -> None:
    """The option, else the environment, else the file, else a running embedded server."""
    config = tmp_path / "tapecast.toml"
    config.write_text('redis_url = "redis://file"')
    assert read_settings(environ).redis_url == f"unix://{embedded}"
    assert read_settings(environ, config=config).redis_url == "redis://file"
    environ["TAPECAST_REDIS_URL"] = "redis://environment"
    assert read_settings(environ, config=config).redis_url == "redis://environment"
    assert read_settings(environ, redis="redis://option").redis_url == "redis://option"


def test_default(environ: dict[str, str], private: Path) -> None:
    """Without any of them, and with a socket on which nobody listens, the default."""
    (private / "valkey.sock").write_text("")
    assert read_settings(environ).redis_url == DEFAULT


def test_a_folder_that_others_can_write_to(environ: dict[str, str], embedded: Path) -> None:
    """A socket that somebody else may have put there is not used."""
    embedded.parent.chmod(0o777)
    assert read_settings(environ).redis_url == DEFAULT


def test_streams(environ: dict[str, str], tmp_path: Path) -> None:
    """The file's options stand over those of the known streams; the hub's own are left to it."""
    config = tmp_path / "tapecast.toml"
    config.write_text('port = 9\n[streams.agent]\nkeep = 500\n[streams.prices]\nkind = "value"\n')
    environ["TAPECAST_CONFIG"] = str(config)
    streams = read_settings(environ).streams
    assert streams["agent"] == Stream(Kind.LOG, keep=500)
    assert streams["prices"] == Stream(Kind.VALUE)
    assert streams["positions"] == KNOWN["positions"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[streams", "Expected"),
        ("[streams.a]\nkind = 'queue'", "queue"),
        ("[streams.a]\nkept = 1", "kept"),
        ("streams = 1", "streams"),
        ("[streams.'orders:1']", "without ':'"),
        ("[streams.Orders]", "expected a channel name"),
        ("[stream.orders]", r"unknown setting stream\. Known are: .*streams"),
        ("jwt_secret = 'x'", "unknown setting jwt_secret"),
        ("redis_url = 6379", "redis_url: expected a URL, got 6379"),
    ],
)
def test_bad_files(environ: dict[str, str], tmp_path: Path, text: str, why: str) -> None:
    """A file that can't be used is refused, not guessed at."""
    config = tmp_path / "tapecast.toml"
    config.write_text(text)
    with pytest.raises(BadSettings, match=why):
        read_settings(environ, config=config)


def test_the_hubs_own_settings() -> None:
    """One file serves both, so a producer knows every name that a hub takes from it."""
    expected = set(Settings.__struct_fields__) - {"jwt_secret", "redis_url", "streams"}
    assert expected == HUB_SETTINGS


def test_no_file(environ: dict[str, str], tmp_path: Path) -> None:
    """So is one that isn't there."""
    environ["TAPECAST_CONFIG"] = str(tmp_path / "nothing.toml")
    with pytest.raises(BadSettings, match=r"nothing\.toml"):
        read_settings(environ)


def test_the_table_of_a_source(environ: dict[str, str], tmp_path: Path) -> None:
    """A source gets its own table, whatever the file has for others; none is an empty one."""
    assert read_source(environ, "paper") == {}
    config = tmp_path / "tapecast.toml"
    config.write_text("port = 9\n[sources.paper]\nseed = 7\n[sources.other.rules]\nx = 1\n")
    assert read_source(environ, "paper", config=config) == {"seed": 7}
    environ["TAPECAST_CONFIG"] = str(config)
    assert read_source(environ, "other") == {"rules": {"x": 1}}
    assert read_source(environ, "none") == {}


@pytest.mark.parametrize("text", ["sources = 1", "[sources]\npaper = 7"])
def test_what_is_no_table_of_a_source(environ: dict[str, str], tmp_path: Path, text: str) -> None:
    """It is refused, saying what one looks like."""
    config = tmp_path / "tapecast.toml"
    config.write_text(text)
    with pytest.raises(BadSettings, match=r"such as \[sources\.paper\]"):
        read_source(environ, "paper", config=config)


def test_hubs_leave_sources_to_producers() -> None:
    """A hub takes the same file, and no interest in its sources."""
    assert load({}, "port = 9\n[sources.paper]\nseed = 7\n").port == 9
