"""What every test can use."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.support.required import pytest_make_collect_report, pytest_runtest_makereport
from tests.support.valkey import Valkey

__all__ = ["pytest_make_collect_report", "pytest_runtest_makereport"]


# A shell without job control has what it starts in the background ignore SIGINT, and whatever that
# starts: then no program under test would end by Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what `make exact` gives."""
    parser.addoption(
        "--full-size", action="store_true", help="run the tests of exact delivery at full size"
    )


@pytest.fixture
def full_size(request: pytest.FixtureRequest) -> bool:
    """Whether a test of exact delivery runs at full size: minutes, and as many clients as asked."""
    return bool(request.config.getoption("--full-size"))


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
