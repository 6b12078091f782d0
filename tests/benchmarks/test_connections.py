"""The connections benchmark, small: that it measures and reports, never how fast."""

from __future__ import annotations

import json

import pytest

from benchmarks import connections, load


@pytest.mark.skipif(load.compiler() is None, reason="there is no C compiler")
def test_it_measures_every_server_that_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON line holds each server's figures; a table of them follows."""
    arguments = [
        "--server",
        "floor",
        "--server",
        "websockets",
        "--connections",
        "20",
        "--runs",
        "1",
    ]
    assert connections.main(arguments) == 0
    line, *shown = capsys.readouterr().out.splitlines()
    results = json.loads(line)
    assert (results["benchmark"], results["connections"], results["runs"]) == ("connections", 20, 1)
    assert list(results["servers"]) == ["floor", "websockets"]
    assert all(server["per_second"]["median"] > 0 for server in results["servers"].values())
    assert shown[0].startswith("| server ")
    assert len(shown) == 2 + 2 + 1


def test_wrong_numbers_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A number below 1 is wrong use."""
    with pytest.raises(SystemExit, match="2"):
        connections.main(["--connections", "0"])
    assert "expected numbers of at least 1" in capsys.readouterr().err
