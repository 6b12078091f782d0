"""The compression benchmark, small: that it measures and reports, never how fast."""

from __future__ import annotations

import json

import pytest

from benchmarks import compression, load
from hub.server.deflate import deflate


@pytest.mark.skipif(load.compiler() is None, reason="there is no C compiler")
def test_it_measures_frames_and_joiners(capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON line holds what becomes of each frame and what joiners cost; two tables follow."""
    assert compression.main(["--connections", "3", "--runs", "1"]) == 0
    line, *shown = capsys.readouterr().out.splitlines()
    results = json.loads(line)
    assert (results["benchmark"], results["connections"], results["runs"]) == ("compression", 3, 1)
    for sample in results["samples"]:
        for deflated in sample["deflated"]:
            assert deflated["microseconds"]["median"] > 0
            assert 0 < deflated["bytes"] < sample["bytes"]
    received = {name: each["received_kb"]["median"] for name, each in results["joiners"].items()}
    assert 0 < received["offered"] < received["not offered"]
    assert shown[0].startswith("| frame ")
    assert len([row for row in shown if row.startswith("| ")]) == 2 + 7 + 2 + 3


def test_the_first_parameters_are_the_hubs() -> None:
    """What the table calls the hub's is what the hub does."""
    for payload in compression.samples().values():
        assert compression.OURS.deflate(payload) == deflate(payload)


def test_wrong_numbers_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A number that is not above 0 is wrong use."""
    with pytest.raises(SystemExit, match="2"):
        compression.main(["--runs", "0"])
    assert "--runs: expected a number above 0" in capsys.readouterr().err
