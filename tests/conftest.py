"""What every test can use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.required import pytest_make_collect_report, pytest_runtest_makereport
from tests.support.valkey import Valkey

__all__ = ["pytest_make_collect_report", "pytest_runtest_makereport"]


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    """A running Valkey that keeps nothing: killed and started again, it is empty."""
    with Valkey() as server:
        yield server


@pytest.fixture
def durable_valkey() -> Iterator[Valkey]:
    """A running Valkey on an append-only file: killed and started again, it has everything."""
    with Valkey(appendonly=True) as server:
        yield server
