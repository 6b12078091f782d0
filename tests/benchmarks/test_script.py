"""What the benchmarks do alike."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from benchmarks import load, report, script
from benchmarks.servers import Cores


class Results(msgspec.Struct, frozen=True):
    """The least that a benchmark prints."""

    benchmark: str
    machine: str
    figure: int


def run(arguments: list[str], measured: Results | script.Failed) -> int:
    """Run a benchmark that measures this."""

    def measure(cores: Cores) -> Results:
        if isinstance(measured, script.Failed):
            raise measured
        return measured

    options = script.parse(script.parser("one", "One.\n\nMore.", ""), arguments, {})
    return script.run(options, arguments, measure, lambda results: "a table", lambda _: "<svg/>")


def test_cases_are_measured_in_turn() -> None:
    """A noisy minute falls on every case, not on the runs of one."""
    order: list[str] = []

    def measure(case: str) -> int:
        order.append(case)
        return len(order)

    assert script.rounds(2, ["a", "b"], measure) == {"a": [1, 3], "b": [2, 4]}
    assert order == ["a", "b", "a", "b"]


def test_short_changes_defaults_alone() -> None:
    """What is given with --short stands."""
    parser = script.parser("one", "One.", "")
    parser.add_argument("--seconds", type=float, default=9.0)
    short = {"seconds": 1.0}
    assert script.parse(parser, ["--short"], short).seconds == 1.0
    assert script.parse(parser, ["--short", "--seconds", "2", "--runs", "4"], short).runs == 4


def test_results_are_printed_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line, the section, the plot and the kept JSON say the same."""
    document = tmp_path / "performance.md"
    document.write_text("<!-- one:begin -->\n<!-- one:end -->\n")
    (tmp_path / "images").mkdir()
    monkeypatch.setattr(script, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(script, "IMAGES", tmp_path / "images")
    monkeypatch.setattr(report, "PERFORMANCE", document)
    assert run(["--write-docs"], Results("one", "a machine", 7)) == 0
    line, table = capsys.readouterr().out.splitlines()
    assert json.loads(line)["figure"] == 7
    assert table == "a table"
    assert json.loads((tmp_path / "results" / "one.json").read_text())["figure"] == 7
    assert (tmp_path / "images" / "one.svg").read_text() == "<svg/>"
    written = document.read_text()
    for part in ("python -m benchmarks.one --write-docs", "a table", "one.svg", "a machine"):
        assert part in written


def test_a_failure_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """A server that did not do its work ends the benchmark with its words."""
    assert run([], script.Failed("it lost half")) == 1
    assert capsys.readouterr().err == "it lost half\n"
    assert issubclass(load.LoadError, script.ERRORS)
