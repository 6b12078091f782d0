"""The connections benchmark, small: that it measures and reports, never how fast."""

from __future__ import annotations

import json

import pytest

from benchmarks import connections, load, usage

SMALL = ["--connections", "100", "--runs", "1", "--seconds", "0.3"]


@pytest.mark.skipif(load.compiler() is None, reason="there is no C compiler")
def test_it_measures_every_server_that_was_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One JSON line holds each server's figures; a table of them follows, and one of delays."""
    monkeypatch.setattr(connections, "RUNNING_SUBSCRIBERS", 5)
    monkeypatch.setattr(connections, "RUNNING_RATE", 100.0)
    monkeypatch.setattr(usage, "_SETTLED_SECONDS", 0.2)
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.1)
    monkeypatch.setattr(connections, "WARM_UP_SECONDS", 0.1)
    arguments = ["--server", "tapecast-one-token", "--server", "floor", *SMALL]
    assert connections.main(arguments) == 0
    line, *shown = capsys.readouterr().out.splitlines()
    results = json.loads(line)
    assert (results["benchmark"], results["connections"]) == ("connections", 100)
    assert list(results["servers"]) == ["tapecast-one-token", "floor"]
    assert all(server["per_second"]["median"] > 0 for server in results["servers"].values())
    assert list(results["running"]) == ["floor"]
    assert results["running"]["floor"]["ratio"]["median"] > 0
    assert shown[2].startswith("| server ")
    assert len(shown) == 2 + 5 + 3 + 4


def test_wrong_numbers_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A number that is not above 0 is wrong use."""
    with pytest.raises(SystemExit, match="2"):
        connections.main(["--connections", "0"])
    assert "--connections: expected a number above 0, got 0" in capsys.readouterr().err
