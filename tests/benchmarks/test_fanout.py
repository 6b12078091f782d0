"""The fan-out benchmark, small: that it measures and reports, never how fast."""

from __future__ import annotations

import json
import shutil

import pytest

from benchmarks import fanout, load, node

SMALL = ["--subscribers", "5", "--rate", "40", "--burst", "2", "--seconds", "0.3", "--runs", "1"]


@pytest.mark.skipif(load.compiler() is None, reason="there is no C compiler")
def test_it_measures_every_server_that_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON line holds each server's figures and its ratio to the floor; a table follows."""
    names = ["floor", "tapecast", "websockets", "starlette", "broadcaster"]
    arguments = [part for name in names for part in ("--server", name)]
    assert fanout.main([*SMALL, *arguments]) == 0
    line, *shown = capsys.readouterr().out.splitlines()
    results = json.loads(line)
    assert (results["benchmark"], results["runs"]) == ("fanout", 1)
    [of_scenario] = results["scenarios"]
    assert of_scenario["scenario"] == {"subscribers": 5, "rate": 40, "burst": 2}
    assert list(of_scenario["servers"]) == names
    assert of_scenario["servers"]["floor"]["p99_ms"]["median"] > 0
    assert shown[0] == "5 subscribers, 40/s in bursts of 2:"
    assert len(shown) == 2 + 2 + len(names)


def test_without_node_its_peer_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A machine without Node measures the others, and says so."""

    def which(name: str) -> str | None:
        return None if name == "node" else real(name)

    real = shutil.which
    monkeypatch.setattr(shutil, "which", which)
    assert fanout.available(["floor", "node-ws"]) == ["floor"]
    assert "node-ws is left out: there is no node" in capsys.readouterr().err
    assert node.version() is None


def test_one_option_of_a_scenario_makes_it_the_only_one() -> None:
    """What was not given of it has its default."""
    assert fanout.read_options(["--rate", "5"]).scenarios == (fanout.Scenario(1000, 5, 1),)
    assert fanout.read_options([]).scenarios == fanout.SCENARIOS


@pytest.mark.parametrize("wrong", [["--subscribers", "0"], ["--seconds", "0"]])
def test_wrong_numbers_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A number below 1, or no time to publish, is wrong use."""
    with pytest.raises(SystemExit, match="2"):
        fanout.main(wrong)
    assert "expected numbers of at least 1" in capsys.readouterr().err
