"""docs/sources.md says what the sources are and take."""

from __future__ import annotations

import json
import re
import tomllib
from importlib.metadata import entry_points

import click
import pytest

from producers.cli import SourceCommand
from producers.sources.base import ENTRY_POINT_GROUP
from tests.docs.pages import blocks, page, section, table

TEXT = page("docs/sources.md")
OURS = entry_points(group=ENTRY_POINT_GROUP)
COMMON = {"redis", "config", "name", "quiet"}


def shown(option: click.Parameter) -> str:
    """An option as its table has it: by its longest name, an argument in upper case."""
    if isinstance(option, click.Option):
        return max(option.opts, key=len)
    assert option.name is not None
    return option.name.upper()


@pytest.mark.parametrize("name", sorted(OURS.names))
def test_every_option_is_in_the_table(name: str) -> None:
    """Each source has a section whose table has its options, each with a meaning."""
    [found] = entry_points(group=ENTRY_POINT_GROUP, name=name)
    command = SourceCommand(name, found.load())
    wanted = [shown(each) for each in command.params if each.name not in COMMON]
    rows = table(section(TEXT, name), "option")
    assert [row[0] for row in rows] == wanted
    for _option, default, meaning in rows:
        assert default
        assert meaning


def test_every_source_is_listed() -> None:
    """The list at the top has each of them, with a link to its section."""
    listed = [re.sub(r"^\[`(.*)`\]\(.*", r"\1", row[0]) for row in table(TEXT, "source")]
    assert sorted(listed) == sorted(OURS.names)


def test_examples_are_read() -> None:
    """The blocks of TOML and JSON are what they look like."""
    for block in blocks(TEXT, "toml"):
        assert tomllib.loads(block)
    for block in blocks(TEXT, "json"):
        assert json.loads(block)
