"""How results are shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.report import spread, table, write_section


def test_a_spread_shows_its_range() -> None:
    """A figure of several runs is its median with the least and the greatest."""
    assert f"{spread([3000.0, 1000.0, 2000.0]):,.0f}" == "2,000 (1,000 to 3,000)"


def test_a_single_run_has_no_range() -> None:
    """A figure that was the same in every run stands alone."""
    assert f"{spread([2.04, 2.04]):.1f}" == "2.0"


def test_a_table_is_markdown_with_aligned_columns() -> None:
    """Names stand to the left and figures to the right."""
    assert table(["server", "rate"], [["floor", "45,000"], ["tapecast", "8"]]).splitlines() == [
        "| server   |   rate |",
        "| -------- | -----: |",
        "| floor    | 45,000 |",
        "| tapecast |      8 |",
    ]


def test_a_section_is_replaced_and_the_rest_kept(tmp_path: Path) -> None:
    """Writing a section twice leaves the second text, between the same neighbours."""
    document = tmp_path / "performance.md"
    document.write_text("before\n<!-- one:begin -->\nold\n<!-- one:end -->\nafter\n")
    write_section("one", "new\n", document)
    write_section("one", "newer\n", document)
    assert document.read_text() == ("before\n<!-- one:begin -->\nnewer\n<!-- one:end -->\nafter\n")


def test_a_missing_section_is_an_error(tmp_path: Path) -> None:
    """A document without the section's marks stays as it is."""
    document = tmp_path / "performance.md"
    document.write_text("before\n")
    with pytest.raises(ValueError, match="has no section from <!-- one:begin -->"):
        write_section("one", "new", document)
    assert document.read_text() == "before\n"
