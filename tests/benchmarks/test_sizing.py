"""The sizing rule: linear in what it is computed from."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import script, sizing

COSTS = sizing.Costs(
    delivery_us=5.0,
    idle_us=1.0,
    opening_us=100.0,
    connections_per_second=10_000.0,
    connection_kb=2.0,
    kernel_kb=2.0,
    hub_publish_us=20.0,
    redis_publish_us=40.0,
    redis_worker_us=2.0,
    redis_worker_commands=1.0,
)


def test_a_small_deployment_is_one_worker() -> None:
    """One worker is the least, whatever little it has to do."""
    size = sizing.size(COSTS, 1)
    assert size.workers == 1
    assert size.redis_busy == pytest.approx(sizing.PUBLISHES * 42e-6)


def test_a_million_connections() -> None:
    """Six seconds of CPU time a second, on workers that have 0.49 s left for them each."""
    size = sizing.size(COSTS, 1_000_000)
    assert size.workers == 13
    assert size.memory_gb == pytest.approx(4e6 / 1024**2)
    assert size.all_again_seconds == pytest.approx(1e6 / 130_000)


def test_missing_results_name_their_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is computed from figures that are not there."""
    monkeypatch.setattr(script, "RESULTS", tmp_path)
    assert sizing.main([]) == 1
    assert "run python -m benchmarks.connections --write-docs" in capsys.readouterr().err
