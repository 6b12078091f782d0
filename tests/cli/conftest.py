"""What the tests of commands share: an environment of their own, and a hub that runs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from hub.server.auth import mint_token
from tests.support.valkey import Valkey

SECRET = "0123456789abcdef0123456789abcdef"


class Command:
    """`tapecast` with one environment, in which nothing of this machine's user is found."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        kept = {name: value for name, value in os.environ.items() if "TAPECAST_" not in name}
        self.environ = {**kept, **environ}

    def run(self, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        command = [sys.executable, "-m", "hub.cli", *arguments]
        done = subprocess.run(
            command, env=self.environ, input=given, capture_output=True, timeout=60
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        return subprocess.CompletedProcess(command, done.returncode, out, err)

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start, with its output as lines; standard error goes where the test's own goes."""
        command = [sys.executable, "-m", "hub.cli", *arguments]
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE}
        return subprocess.Popen(command, env=self.environ, text=True, **{**streams, **options})


class RunningHub:
    """`tapecast serve` on a port of its own, that can be killed and started again."""

    def __init__(self, valkey: Valkey) -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.redis_url = valkey.url
        environ = {
            "XDG_RUNTIME_DIR": str(valkey.folder),
            "TAPECAST_REDIS_URL": valkey.url,
            "TAPECAST_JWT_SECRET": SECRET,
            "TAPECAST_PORT": str(port),
            "TAPECAST_DRAIN_SPREAD_SECONDS": "0",
            "TAPECAST_DRAIN_SECONDS": "1",
        }
        self._command = Command(environ)
        self._process: subprocess.Popen[str] | None = None

    def client(self, **rights: list[str]) -> Command:
        """`tapecast` with a token for this hub; every right where none is given."""
        rights = rights or {"read": ["*"], "publish": ["*"]}
        token = mint_token(SECRET, "test", ttl_seconds=600, now=time.time(), **rights)
        kept = {name: self._command.environ[name] for name in ("XDG_RUNTIME_DIR",)}
        return Command({**kept, "TAPECAST_URL": self.url, "TAPECAST_TOKEN": token})

    def start(self) -> None:
        """Start, and return when it listens."""
        self._process = self._command.start("serve")
        assert self._process.stdout
        assert self.url in self._process.stdout.readline()

    def kill(self, number: int = signal.SIGKILL) -> int:
        """End it by a signal, and return its exit status; once ended, it stays so."""
        assert self._process
        assert self._process.stdout
        self._process.send_signal(number)
        status = self._process.wait(timeout=60)
        self._process.stdout.close()
        return status


@pytest.fixture
def hub(valkey: Valkey) -> Iterator[RunningHub]:
    """A running hub on the test's `valkey`."""
    running = RunningHub(valkey)
    running.start()
    yield running
    running.kill()


@pytest.fixture
def alone(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """`tapecast` for a user who has nothing running."""
    return Command({"XDG_RUNTIME_DIR": str(tmp_path_factory.mktemp("run"))})
