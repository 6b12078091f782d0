"""The benchmark of ways to send, small: that it measures and reports, never how fast."""

from __future__ import annotations

import json

import pytest

from benchmarks import load, sending


@pytest.mark.skipif(load.compiler() is None, reason="there is no C compiler")
def test_each_way_stands_beside_the_c_loop(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every number of connections has all ways, with the loop in C as their measure."""
    monkeypatch.setattr(sending, "CONNECTIONS", (1, 3))
    assert sending.main(["--rounds", "2", "--runs", "1"]) == 0
    line, *shown = capsys.readouterr().out.splitlines()
    results = json.loads(line)
    assert [of["connections"] for of in results["scenarios"]] == [1, 3]
    for of in results["scenarios"]:
        assert len(of["ways"]) == 5
        assert of["ways"][sending.FLOOR]["ratio"] == {"min": 1.0, "median": 1.0, "max": 1.0}
        assert all(way["cpu_us"]["median"] > 0 for way in of["ways"].values())
    assert any("3 connections" in text for text in shown)
