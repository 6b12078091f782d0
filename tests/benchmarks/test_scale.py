"""The scale benchmark, small: that it measures and reports, never how fast."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import load, scale
from benchmarks.report import Spread

needs_a_compiler = pytest.mark.skipif(load.compiler() is None, reason="there is no C compiler")
SMALL = ["--seconds", "0.2", "--runs", "1"]


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    """The JSON line and what follows it."""
    assert scale.main([*SMALL, *arguments]) == 0
    line, _, shown = capsys.readouterr().out.partition("\n")
    return json.loads(line), shown


@needs_a_compiler
def test_subscribers_and_channels(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A delivery's CPU time is told for each number of subscribers, and of channels."""
    monkeypatch.setattr(scale, "DELIVERIES", 400)
    monkeypatch.setattr(scale, "SUBSCRIBERS", (2, 4))
    monkeypatch.setattr(scale, "CHANNELS", (3,))
    results, shown = run(["--part", "subscribers", "--part", "channels"], capsys)
    assert list(results["subscribers"]) == ["2", "4"]
    assert results["subscribers"]["4"]["tapecast"]["cpu_us"]["median"] > 0
    assert results["channels"]["3"]["cpu_us"]["median"] > 0
    assert results["workers"] == results["replicas"] == {}
    assert "30 " in shown


@needs_a_compiler
def test_replicas(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Valkey's part is told with a hub and without."""
    monkeypatch.setattr(scale, "REPLICAS", (0, 1))
    monkeypatch.setattr(scale, "REPLICAS_IDLE_SECONDS", 0.2)
    results, _ = run(["--part", "replicas"], capsys)
    assert list(results["replicas"]) == ["0", "1"]
    assert results["replicas"]["0"]["redis_us"]["median"] > 0


@needs_a_compiler
def test_workers(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The most that one worker and two sustain is told, and its ratio; a rate that is too high
    for a round of its length ends the search."""
    monkeypatch.setattr(scale, "SUSTAINED_SUBSCRIBERS", 4)
    monkeypatch.setattr(scale, "SUSTAINED_CHANNELS", 2)
    monkeypatch.setattr(scale, "SUSTAINED_FROM", 40.0)
    monkeypatch.setattr(scale, "SUSTAINED_P99_MS", 10_000.0)
    monkeypatch.setattr(scale, "_sustain", up_to(scale.SUSTAINED_FROM))
    results, shown = run(["--part", "workers"], capsys)
    assert len(results["workers"]) == 3
    assert all(of["hub_cores"]["median"] > 0 for of in results["workers"].values())
    assert "The aim is at least 1.7." in shown


def up_to(rate: float) -> Any:
    """Sustains every rate up to this one, so that the search ends wherever it runs."""

    def sustain(session: Any, wanted: float, seconds: float) -> Any:
        return session.measure(wanted, seconds) if wanted <= rate else None

    return sustain


def test_its_plot_has_a_panel_for_each_part(tmp_path: Path) -> None:
    """Parts that were not measured have none."""
    empty = scale.Results(
        benchmark="scale",
        seconds=1,
        runs=1,
        shared_core=False,
        machine="",
        subscribers={},
        channels={1: {"cpu_us": Spread(1, 2, 3)}, 10: {"cpu_us": Spread(1, 2, 3)}},
        workers={},
        workers_ratio=None,
        replicas={},
    )
    assert scale.figure(empty).count("CPU us a delivery") == 1
