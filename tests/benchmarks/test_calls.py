"""The benchmark of calls, small: that it measures and reports, never how fast."""

from __future__ import annotations

import json

import pytest

from benchmarks import calls


def test_every_case_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """Each publisher is timed with Redis there and away, and answered as its case says."""
    options = ["--calls", "64", "--tasks", "4", "--threads", "4", "--runs", "1"]
    assert calls.main(options) == 0
    line, *shown = capsys.readouterr().out.splitlines()
    results = json.loads(line)
    assert list(results["cases"]) == [case.name for case in calls.CASES]
    for of in results["cases"].values():
        for figure in ("one_us", "many_us", "many_cpu_us"):
            assert of[figure]["median"] > 0, figure
    assert len(shown) == 2 + 2 + len(calls.CASES)
