"""Skips that are failures: where TAPECAST_REQUIRE_ALL is set, nothing may be missing.

A test whose outside part (redis-server, Chromium) is missing skips itself, so that a fresh
machine can run the rest. CI installs every part, and there a skip would hide a test that no
longer runs. A test marked `optional` needs what CI does not install, and may skip there too.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that skipped."""
    report = yield
    expected_to_fail = hasattr(report, "wasxfail")
    if not expected_to_fail and item.get_closest_marker("optional") is None:
        _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail a module that skipped as a whole."""
    report = yield
    _fail_if_skipped(report)
    return report


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and os.environ.get("TAPECAST_REQUIRE_ALL"):
        assert isinstance(report.longrepr, tuple)
        path, line, reason = report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{path}:{line}: {reason}, where TAPECAST_REQUIRE_ALL is set"
