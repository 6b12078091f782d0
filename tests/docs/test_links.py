"""The documents lead somewhere, and what they promise is tested."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, links, page, section

MAX_IMAGE_BYTES = 400_000


@cache
def functions(path: Path) -> set[str]:
    """The names of the functions in a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    """Each relative link names a file that is there, and a heading that it has."""
    for link in links(path.read_text(encoding="utf-8")):
        target = (path.parent / link.path) if link.path else path
        assert target.exists(), link
        if link.heading:
            assert link.heading in anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_tests_that_are_named_exist(path: Path) -> None:
    """A link whose text is a test's name leads to the file in which that test is."""
    for link in links(path.read_text(encoding="utf-8")):
        if link.text.startswith("test_"):
            assert link.text in functions(path.parent / link.path), link


def test_every_guarantee_has_a_test() -> None:
    """No sentence among the guarantees stands without a link to its test."""
    lines = section(page("README.md"), "Guarantees").splitlines()
    guarantees = [line for line in lines if line.startswith("- ")]
    assert guarantees
    for guarantee in guarantees:
        assert any(link.text.startswith("test_") for link in links(guarantee)), guarantee


def test_every_page_is_linked_from_the_readme() -> None:
    """Whoever begins at the README finds every document."""
    linked = {link.path for link in links(page("README.md"))}
    docs = {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}
    assert docs <= linked


def test_pictures_are_small() -> None:
    """A clone is not slowed down by pictures."""
    for picture in (ROOT / "docs" / "images").iterdir():
        assert picture.stat().st_size <= MAX_IMAGE_BYTES, picture.name
