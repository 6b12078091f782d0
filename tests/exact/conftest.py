"""What the scenarios of exact delivery show when they are over."""

from __future__ import annotations

import pytest

COLUMNS = (
    ("scenario", 28),
    ("entries", 9),
    ("deliveries", 12),
    ("joins", 7),
    ("resumes", 9),
    ("recovered", 11),
    ("silence", 9),
    ("closes", 12),
    ("breaches", 10),
)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a line for each scenario, before pytest's own summary."""
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        if report.when == "call"
    ]
    lines = [dict(report.user_properties) for report in reports]
    lines = [line for line in lines if "scenario" in line]
    if not lines:
        return
    terminalreporter.section("exact delivery")
    terminalreporter.write_line("".join(_cell(name, width, name) for name, width in COLUMNS))
    for line in lines:
        cells = (_cell(name, width, str(line[name])) for name, width in COLUMNS)
        terminalreporter.write_line("".join(cells))


def _cell(name: str, width: int, text: str) -> str:
    return text.ljust(width) if name == "scenario" else text.rjust(width)
