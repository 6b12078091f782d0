"""The documents as tests read them: sections, blocks of code, tables and links."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^(#+) (.*)$", re.MULTILINE)
_CELL_END = re.compile(r"(?<!\\)\|")
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")


class Link(NamedTuple):
    """A link as it is written: its text, the path, and the heading after `#`."""

    text: str
    path: str
    heading: str


def page(name: str) -> str:
    """The text of a document, by its path in the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next one of its level or above."""
    found = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert found, f"no heading {heading!r}"
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", _blank(rest), re.MULTILINE)
    return rest[: end.start()] if end else rest


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language, "" for those that name none."""
    return [body for name, body in _FENCED.findall(text) if name == language]


def links(text: str) -> list[Link]:
    """The links outside of fenced blocks, but for those to other sites."""
    found = []
    for words, target in _LINK.findall(_blank(text)):
        if "://" not in target:
            path, _, heading = target.partition("#")
            found.append(Link(words, path, heading))
    return found


def anchors(text: str) -> set[str]:
    """What `#` can name: the headings, spelled as GitHub does."""
    headings = [heading for _, heading in _HEADING.findall(_blank(text))]
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def table(text: str, first: str) -> list[list[str]]:
    """The rows of the table whose first column is headed so; no back-ticks around a cell.

    A `\\|` within a cell is no end of it.
    """
    begin = text.index(f"\n| {first} |") + 1
    lines = text[begin:].split("\n\n")[0].splitlines()[2:]
    return [
        [cell.strip().strip("`").replace("\\|", "|") for cell in _CELL_END.split(line)[1:-1]]
        for line in lines
    ]


def _blank(text: str) -> str:
    """The text with blanks for its fenced blocks, in which nothing is a heading or a link."""
    return _FENCED.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
