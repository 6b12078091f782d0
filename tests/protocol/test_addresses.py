"""Where the parts of one user's Tapecast find each other."""

from __future__ import annotations

import pytest

from hub.protocol.addresses import (
    DEFAULT_REDIS_URL,
    choose_redis_url,
    default_keys_file,
    demo_credentials,
    embedded_socket,
    private_folder,
    socket_url,
)


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"XDG_RUNTIME_DIR": "/run/user/7", "TMPDIR": "/scratch"}, "/run/user/7/tapecast-7"),
        ({"XDG_RUNTIME_DIR": "", "TMPDIR": "/scratch/"}, "/scratch/tapecast-7"),
        ({}, "/tmp/tapecast-7"),  # noqa: S108
    ],
)
def test_the_private_folder_is_the_users_own(environ: dict[str, str], folder: str) -> None:
    """Two users who share a folder for temporary files have two folders in it."""
    assert private_folder(environ, 7) == folder
    assert embedded_socket(environ, 7) == f"{folder}/valkey.sock"
    assert demo_credentials(environ, 7) == f"{folder}/demo.json"


def test_a_socket_has_a_url_that_redis_understands() -> None:
    """A path with other characters is escaped."""
    assert socket_url("/run/a b/valkey.sock") == "unix:///run/a%20b/valkey.sock"


def test_the_redis_url_is_the_first_that_is_known() -> None:
    """The option, the environment, a running embedded server, the default, in this order."""
    asked: list[str] = []

    def answers(path: str) -> bool:
        asked.append(path)
        return True

    environ = {"TAPECAST_REDIS_URL": "redis://b", "TMPDIR": "/t"}
    assert choose_redis_url("redis://a", environ, 7, answers) == "redis://a"
    assert choose_redis_url(None, environ, 7, answers) == "redis://b"
    assert asked == []
    environ["TAPECAST_REDIS_URL"] = ""
    assert choose_redis_url(None, environ, 7, answers) == "unix:///t/tapecast-7/valkey.sock"
    assert asked == ["/t/tapecast-7/valkey.sock"]
    assert choose_redis_url(None, environ, 7, lambda _path: False) == DEFAULT_REDIS_URL


def test_the_keys_file_needs_a_home() -> None:
    """A user without a home has no default file."""
    assert default_keys_file({}) == ""
    assert default_keys_file({"HOME": "/home/a"}) == "/home/a/.config/tapecast/keys.json"
    assert default_keys_file({"XDG_CONFIG_HOME": "/c/"}) == "/c/tapecast/keys.json"
