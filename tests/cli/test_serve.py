"""`tapecast serve`: what it needs, and how it ends."""

from __future__ import annotations

import http.client
import os
import signal
import socket
from pathlib import Path

import pytest
import redis

from hub.protocol.addresses import embedded_socket
from tests.cli.conftest import SECRET, Command, RunningHub
from tests.support.processes import is_alive, wait_until
from tests.support.valkey import Valkey


@pytest.fixture
def command(alone: Command) -> Command:
    """`tapecast` with a secret, for a user who has nothing running."""
    alone.environ["TAPECAST_JWT_SECRET"] = SECRET
    return alone


def embedded_url(command: Command) -> str:
    return f"unix://{embedded_socket(command.environ, os.getuid())}"


def test_without_a_secret_it_refuses_and_says_how_to_make_one(alone: Command) -> None:
    """No hub runs that anybody could enter, and the line to copy makes a secret that is taken."""
    refused = alone.run("serve", "--port", "0", "--embedded")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "export TAPECAST_JWT_SECRET=$(openssl rand -base64 48)" in refused.stderr
    assert not Path(embedded_socket(alone.environ, 0)).parent.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--embedded", "--redis", "redis://h"], "got both: leave one out"),
        (["--data", "d"], "add --embedded"),
        (["--port", "65536"], "0<=x<=65535"),
        (["--workers", "0"], "1<=x<=256"),
        (["--redis", "h:6379"], "redis_url: expected redis://"),
        (["--config", "/does/not/exist"], "cannot read the settings file /does/not/exist"),
    ],
)
def test_wrong_use_starts_nothing(command: Command, arguments: list[str], said: str) -> None:
    """Exit status 2, and what was expected."""
    refused = command.run("serve", *arguments)
    assert refused.returncode == 2
    assert said in refused.stderr


def test_a_misspelled_variable_is_wrong_use(command: Command) -> None:
    """The nearest name is told."""
    command.environ["TAPECAST_HEARTBEAT_SECOND"] = "1"
    refused = command.run("serve")
    assert refused.returncode == 2
    assert "Did you mean TAPECAST_HEARTBEAT_SECONDS?" in refused.stderr


def test_it_uses_the_redis_it_is_told_of_and_drains_on_sigterm(
    hub: RunningHub, valkey: Valkey
) -> None:
    """It is ready once its probe came back through Redis, and SIGTERM ends it with status 0."""
    host, port = hub.url.removeprefix("http://").split(":")

    def is_ready() -> bool:
        link = http.client.HTTPConnection(host, int(port), timeout=5)
        link.request("GET", "/readyz")
        status = link.getresponse().status
        link.close()
        return status == 200

    wait_until(is_ready, "readiness")
    with redis.Redis.from_url(valkey.url) as link:
        assert link.client_list()
    assert hub.kill(signal.SIGTERM) == 0


def test_the_embedded_server_ends_with_the_hub(command: Command, tmp_path: Path) -> None:
    """SIGTERM ends both in order, and what was published is kept for the next start."""
    arguments = ["serve", "--port", "0", "--embedded", "--data", str(tmp_path / "data")]
    for value in (None, b"1"):
        with command.start(*arguments) as process:
            assert process.stdout
            assert "Tapecast listens on http://127.0.0.1:" in process.stdout.readline()
            with redis.Redis.from_url(embedded_url(command)) as link:
                assert link.get("kept") == value
                link.set("kept", 1)
                pid = link.info("server")["process_id"]
            process.terminate()
            process.communicate()
        assert process.returncode == 0
        assert not is_alive(pid)


def test_the_embedded_server_dies_with_a_hub_that_is_killed(command: Command) -> None:
    """kill -9 of the hub leaves neither a Valkey nor a worker behind that holds the port."""
    with command.start("serve", "--port", "0", "--embedded", "--workers", "2") as process:
        assert process.stdout
        port = int(process.stdout.readline().rpartition(":")[2])
        with redis.Redis.from_url(embedded_url(command)) as link:
            pid = link.info("server")["process_id"]
        process.kill()
    wait_until(lambda: not is_alive(pid), "the end of the embedded server")

    def is_free() -> bool:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                return False
            return True

    wait_until(is_free, "the end of the workers")


def test_a_running_embedded_server_is_found(command: Command) -> None:
    """A second hub, and `publish`, use the first one's Valkey without being told."""
    with command.start("serve", "--port", "0", "--embedded") as process:
        assert process.stdout
        process.stdout.readline()
        assert command.run("publish", "alerts", "note", "1").returncode == 0
        with redis.Redis.from_url(embedded_url(command)) as link:
            assert link.exists("tapecast:{alerts}:log")
        process.terminate()


def test_a_port_that_is_taken_is_a_failure(command: Command, hub: RunningHub) -> None:
    """Exit status 1, and what to do."""
    port = hub.url.rpartition(":")[2]
    failed = command.run("serve", "--port", port)
    assert failed.returncode == 1
    assert "--port" in failed.stderr
