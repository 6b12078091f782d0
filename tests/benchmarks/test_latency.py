"""The latency benchmark, small: that it measures and reports, never how fast."""

from __future__ import annotations

import json

import pytest

from benchmarks import latency, load


@pytest.mark.skipif(load.compiler() is None, reason="there is no C compiler")
def test_each_percentile_stands_beside_the_floors(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every number of subscribers has its figures, and what is above the floor's."""
    monkeypatch.setattr(latency, "SUBSCRIBERS", (1, 3))
    arguments = ["--server", "floor", "--server", "tapecast", "--seconds", "0.3", "--runs", "1"]
    assert latency.main(arguments) == 0
    line, *shown = capsys.readouterr().out.splitlines()
    results = json.loads(line)
    assert [of["subscribers"] for of in results["scenarios"]] == [1, 3]
    for of in results["scenarios"]:
        floor, own = of["servers"]["floor"], of["servers"]["tapecast"]
        assert floor["p50_ms"]["median"] <= floor["p999_ms"]["median"]
        above = own["p50_ms"]["median"] - floor["p50_ms"]["median"]
        assert of["above"]["tapecast"]["p50_ms"]["median"] == pytest.approx(above, abs=0.002)
    assert "1 subscriber:" in shown
    assert "3 subscribers:" in shown
