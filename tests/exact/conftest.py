"""What the scenarios of exact delivery show when they are over."""

from __future__ import annotations

from collections.abc import Callable

import pytest

COLUMNS = {
    "scenario": 36,
    "entries": 9,
    "deliveries": 12,
    "joins": 7,
    "resumes": 9,
    "recovered": 11,
    "silence": 10,
    "closes": 12,
    "breaches": 10,
}
"""Width by name. deliveries: updates that clients took. resumes: subscribes with `since`; asked
again where Valkey was away. silence: the longest that a connected client waited for an entry.
closes: connections that the clients did not end, by code."""


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Takes what a scenario came to, a cell for each column that has one."""

    def keep(**cells: str | int) -> None:
        for name in COLUMNS:
            cell = cells.pop(name, "-")
            record_property(name, f"{cell:,}" if isinstance(cell, int) else cell)
        assert not cells, f"no such columns: {cells}"

    return keep


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a line for each scenario, before pytest's own summary."""
    rows = [
        cells
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        if report.when == "call" and "scenario" in (cells := dict(report.user_properties))
    ]
    if rows:
        terminalreporter.section("exact delivery")
        for cells in ({name: name for name in COLUMNS}, *rows):
            terminalreporter.write_line(_line({name: str(cells[name]) for name in COLUMNS}))


def _line(cells: dict[str, str]) -> str:
    first, *others = COLUMNS
    return cells[first].ljust(COLUMNS[first]) + "".join(
        cells[name].rjust(COLUMNS[name]) for name in others
    )
