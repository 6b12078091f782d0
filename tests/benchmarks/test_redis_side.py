"""The benchmark of the Redis side, small: that it measures and reports, never how fast."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import redis_side, report

SMALL = ["--publishes", "60", "--messages", "70", "--runs", "2"]


def test_it_measures_script_reader_and_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One JSON line holds every figure; the tables follow, and go into the docs when asked for."""
    docs = tmp_path / "performance.md"
    docs.write_text("<!-- redis-side:begin -->\n<!-- redis-side:end -->\n")
    write_section = report.write_section
    monkeypatch.setattr(report, "write_section", lambda name, text: write_section(name, text, docs))
    assert redis_side.main([*SMALL, "--write-docs"]) == 0
    line, *shown = capsys.readouterr().out.splitlines()
    results = json.loads(line)
    assert (results["benchmark"], results["runs"]) == ("redis_side", 2)
    assert list(results["script"]) == list(redis_side.PUBLISHES)
    assert all(of["us"]["median"] > 0 for of in results["script"].values())
    bursts = [str(burst) for burst in redis_side.BURSTS]
    assert list(results["reader_us"]) == list(results["way_us"]) == bursts
    assert list(results["stages_us"]) == list(redis_side.STAGES)
    assert "\n".join(shown) in docs.read_text()


def test_unchanged_values_make_fewer_calls_than_changed_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each kind of publish is what its name says; Redis is asked as often for 50 rows as for 1."""
    assert redis_side.main(["--json", *SMALL]) == 0
    [line] = capsys.readouterr().out.splitlines()
    calls = {name: of["calls"] for name, of in json.loads(line)["script"].items()}
    assert calls["value, touched"] < calls["value, unchanged"] < calls["value, changed"]
    assert calls["log, keyed, known"] < calls["log, keyed"]
    assert calls["table, 50 rows"] == calls["table, 1 row"]


@pytest.mark.parametrize("wrong", [["--runs", "0"], ["--messages", "1"], ["--publishes", "0"]])
def test_wrong_numbers_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing to measure is wrong use."""
    with pytest.raises(SystemExit, match="2"):
        redis_side.main(wrong)
    assert "expected at least 1 publish" in capsys.readouterr().err
