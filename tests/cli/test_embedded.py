"""The embedded server: one for a user, private, and never without its parent."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from hub.cli import embedded
from hub.cli.embedded import EmbeddedError, answers, embedded_server, make_private_folder
from hub.protocol.addresses import embedded_socket, private_folder
from tests.support.processes import is_alive, wait_until

PARENT = """
import os, pathlib, sys
from hub.cli.embedded import embedded_server
data = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else None
with embedded_server(os.environ, data) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def environ(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """A user's environment of its own; the path is short, as a socket's must be."""
    return {"XDG_RUNTIME_DIR": str(tmp_path_factory.mktemp("run"))}


def client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url)


@contextmanager
def other_process(
    environ: Mapping[str, str], data: Path | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process of the user that runs an embedded server."""
    command = [sys.executable, "-c", PARENT, *([str(data)] if data else [])]
    with subprocess.Popen(
        command,
        env={**os.environ, **environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_it_answers_on_a_private_socket_and_on_no_port(environ: Mapping[str, str]) -> None:
    """Only this user's processes can reach it, and it is gone after the block."""
    folder = Path(private_folder(environ, os.getuid()))
    path = embedded_socket(environ, os.getuid())
    with embedded_server(environ) as url:
        assert url == f"unix://{path}"
        assert answers(path)
        with client(url) as link:
            assert link.config_get("port") == {"port": "0"}
            assert link.config_get("save") == {"save": ""}
            pid = link.info("server")["process_id"]
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o700
    assert not answers(path)
    assert not is_alive(pid)
    assert sorted(entry.name for entry in folder.iterdir()) == ["valkey.lock", "valkey.log"]


def test_it_dies_with_a_parent_that_is_killed(environ: Mapping[str, str]) -> None:
    """kill -9 of the parent ends it, and the next one starts over the stale socket."""
    with other_process(environ) as (parent, url):
        with client(url) as link:
            pid = link.info("server")["process_id"]
            link.set("a", 1)
        parent.kill()
        parent.wait()
        wait_until(lambda: not is_alive(pid), "the end of the server")
    with embedded_server(environ) as url, client(url) as link:
        assert link.get("a") is None


def test_a_successor_starts_while_its_predecessor_is_ending(environ: Mapping[str, str]) -> None:
    """No wait is needed between the kill of one and the start of the next."""
    with other_process(environ) as (parent, _url):
        parent.kill()
        parent.wait()
        with embedded_server(environ) as url, client(url) as link:
            assert link.ping()


def test_a_socket_that_nobody_serves_is_taken_over(environ: Mapping[str, str]) -> None:
    """A server killed with -9 leaves its socket behind, which says nothing."""
    path = embedded_socket(environ, os.getuid())
    make_private_folder(Path(path).parent)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    assert not answers(path)
    with embedded_server(environ):
        assert answers(path)


def test_a_user_has_one_at_a_time(
    environ: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second one is refused, and told who runs the first; the first goes on."""
    monkeypatch.setattr(embedded, "LOCK_SECONDS", 0.1)
    with other_process(environ) as (parent, url):
        with (
            pytest.raises(EmbeddedError, match=f"already runs.*process {parent.pid}\\."),
            embedded_server(environ),
        ):
            pass
        with client(url) as link:
            assert link.ping()


def test_a_data_folder_has_one_server_at_a_time(
    environ: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two users' servers never write the same append-only file."""
    monkeypatch.setattr(embedded, "LOCK_SECONDS", 0.1)
    (tmp_path / "run").mkdir()
    other = {"XDG_RUNTIME_DIR": str(tmp_path / "run")}
    with (
        other_process(environ, tmp_path / "data"),
        pytest.raises(EmbeddedError, match=f"already runs on {tmp_path / 'data'}"),
        embedded_server(other, tmp_path / "data"),
    ):
        pass


def test_data_is_kept_where_a_folder_is_given(environ: Mapping[str, str], tmp_path: Path) -> None:
    """The append-only file brings everything back, and is nobody else's to read."""
    data = tmp_path / "new" / "data"
    with embedded_server(environ, data) as url, client(url) as link:
        assert link.config_get("appendfsync") == {"appendfsync": "everysec"}
        link.set("a", 1)
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    with embedded_server(environ, data) as url, client(url) as link:
        assert link.get("a") == b"1"


def test_a_folder_that_others_can_open_is_not_trusted(environ: Mapping[str, str]) -> None:
    """Somebody else may have made the folder first, to listen in."""
    folder = Path(private_folder(environ, os.getuid()))
    folder.mkdir()
    folder.chmod(0o755)
    assert not answers(embedded_socket(environ, os.getuid()))
    with pytest.raises(EmbeddedError, match=r"mode 0700, got drwxr-xr-x"), embedded_server(environ):
        pass


def test_a_link_in_place_of_the_folder_is_not_followed(
    environ: Mapping[str, str], tmp_path: Path
) -> None:
    """Nor is a link trusted, whoever made it."""
    (tmp_path / "private").mkdir(mode=0o700)
    folder = Path(private_folder(environ, os.getuid()))
    folder.symlink_to(tmp_path / "private")
    with pytest.raises(EmbeddedError, match="got lrwxrwxrwx"), embedded_server(environ):
        pass


def test_a_parent_folder_that_is_missing_is_named() -> None:
    """The text says what could not be made and what to set."""
    environ = {"XDG_RUNTIME_DIR": "/does/not/exist"}
    with (
        pytest.raises(EmbeddedError, match=r"/does/not/exist/tapecast-\d+: No such .*XDG_RUNTIME"),
        embedded_server(environ),
    ):
        pass


def test_a_path_too_long_for_a_socket_is_refused() -> None:
    """The operating system would cut it or fail with less to go by."""
    environ = {"XDG_RUNTIME_DIR": "/run/" + "x" * 100}
    with pytest.raises(EmbeddedError, match="at most 100 bytes, got 1"), embedded_server(environ):
        pass


def test_a_server_that_cannot_start_leaves_its_last_words(
    environ: Mapping[str, str], tmp_path: Path
) -> None:
    """An append-only file that is damaged is reported with what the server said of it."""
    data = tmp_path / "data"
    with embedded_server(environ, data) as url, client(url) as link:
        link.set("a", 1)
    (next(data.glob("appendonlydir/*.manifest"))).write_text("no manifest")
    with (
        pytest.raises(EmbeddedError, match=r"ended with status 1(.|\n)*manifest"),
        embedded_server(environ, data),
    ):
        pass
