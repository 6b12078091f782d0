"""The ingest benchmark, small: that it measures and reports, never how fast."""

from __future__ import annotations

import json

import pytest

from benchmarks import ingest, load


@pytest.mark.skipif(load.compiler() is None, reason="there is no C compiler")
def test_every_kind_is_published_alone_and_beside_a_hub(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each kind has the CPU time of a publish at the producer, at Valkey and at the hub; an entry
    of the inlet has that of who adds it, who publishes it, and Valkey."""
    options = ["--tasks", "4", "--seconds", "0.2", "--entries", "1200", "--runs", "1"]
    assert ingest.main(options) == 0
    line, *shown = capsys.readouterr().out.splitlines()
    results = json.loads(line)
    assert list(results["kinds"]) == ["value", "table", "log"]
    for of in results["kinds"].values():
        for figure in ("per_second", "producer_us", "redis_us", "hub_us"):
            assert of[figure]["median"] > 0, figure
    for figure in ("per_second", "adding_us", "worker_us", "redis_us"):
        assert results["inlet"][figure]["median"] > 0, figure
    assert len(shown) == (2 + 2 + 3) + 1 + (2 + 2 + 1)
