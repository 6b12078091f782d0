"""The fan-out benchmark, small: that it measures and reports, never how fast."""

from __future__ import annotations

import json

import pytest

from benchmarks import fanout, load
from benchmarks.delivery import Scenario

SMALL = ["--subscribers", "5", "--rate", "40", "--burst", "2", "--seconds", "0.3", "--runs", "1"]


@pytest.mark.skipif(load.compiler() is None, reason="there is no C compiler")
def test_it_measures_every_server_that_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON line holds each server's figures and its ratio to the floor; a table follows."""
    names = ["floor", "tapecast", "websockets", "broadcaster"]
    arguments = [part for name in names for part in ("--server", name)]
    assert fanout.main([*SMALL, *arguments]) == 0
    line, *shown = capsys.readouterr().out.splitlines()
    results = json.loads(line)
    assert (results["benchmark"], results["runs"]) == ("fanout", 1)
    [of_scenario] = results["scenarios"]
    assert of_scenario["scenario"] == {"subscribers": 5, "rate": 40, "burst": 2, "channels": 1}
    assert list(of_scenario["servers"]) == list(of_scenario["ratios"]) == names
    assert of_scenario["ratios"]["floor"]["median"] == 1
    assert all(of["p99_ms"]["median"] > 0 for of in of_scenario["servers"].values())
    assert shown[2] == "5 subscribers, 40/s in bursts of 2:"
    assert len(shown) == 4 + 2 + len(names)


def test_one_option_of_a_scenario_makes_it_the_only_one() -> None:
    """What was not given of it has its default."""
    floor = ["--server", "floor"]
    assert fanout.read_options([*floor, "--rate", "5"]).scenarios == (Scenario(1000, 5, 1),)
    assert fanout.read_options(floor).scenarios == fanout.SCENARIOS
    assert fanout.read_options([*floor, "--short"]).scenarios == fanout.SCENARIOS[1:2]
