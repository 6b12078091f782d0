"""A real redis-server for a test, where one is installed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.valkey import Valkey


class RedisServer(Valkey):
    """The same as `Valkey`, on the installed redis-server; skips the test where there is none."""

    def __init__(self, **config: Any) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("redis-server is not installed")
        super().__init__(**config)
        self._server._binary_path = Path(program)
