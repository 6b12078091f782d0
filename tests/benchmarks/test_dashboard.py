"""The dashboard's benchmark, small: that it measures and reports, never how fast."""

from __future__ import annotations

import json

import pytest

from benchmarks import chromium, dashboard, load
from dashboard.node import NodeMissing, find_node


@pytest.mark.skipif(load.compiler() is None, reason="there is no C compiler")
@pytest.mark.skipif(chromium.find() is None, reason="needs Chromium")
def test_every_page_has_its_main_thread_and_memory(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loads are timed by the page's own clock, and each page is watched while a desk publishes."""
    try:
        find_node()
    except NodeMissing as error:
        pytest.skip(str(error))
    monkeypatch.setattr(dashboard, "START_SECONDS", 0.5)
    quickly = ["--seconds", "0.5", "--warm", "0.5", "--loads", "1", "--runs", "1"]
    assert dashboard.main(quickly) == 0
    line, *shown = capsys.readouterr().out.splitlines()
    results = json.loads(line)
    assert results["load"]["again_ms"]["median"] > 0
    assert list(results["pages"]) == list(dashboard.PAGES)
    for of in results["pages"].values():
        assert of["per_second"]["median"] > 0
        assert 0 < of["scripts"]["median"] < of["main_thread"]["median"] < 1
        assert of["heap_after_mb"]["median"] > 1
        assert of["nodes_after"]["median"] > 100
    assert any(row.startswith("| developer ") for row in shown)
