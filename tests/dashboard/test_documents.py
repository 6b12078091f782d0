"""docs/quickref.md and docs/migration.md say what there is."""

from __future__ import annotations

import re

import pytest

from hub.protocol.codes import TABLE
from hub.protocol.streams import KNOWN
from hub.server.settings import FROM_ENVIRONMENT, OTHER_NAMES
from producers.events import Event
from tests.docs.pages import blocks, page, section, table
from tests.support.node import DASHBOARD

QUICKREF = page("docs/quickref.md")
MIGRATION = page("docs/migration.md")
SRC = DASHBOARD / "src"


def exported(path: str) -> set[str]:
    """The values that a module of re-exports exports, without types."""
    text = (SRC / path).read_text(encoding="utf-8")
    lists = re.findall(r"^export \{([^}]*)\}", text, re.MULTILINE)
    names = {name.strip() for names in lists for name in names.split(",")}
    functions = set(re.findall(r"^export function (\w+)", text, re.MULTILINE))
    listed = {name.split(" as ")[-1] for name in names if name and not name.startswith("type ")}
    return listed | functions


def members(path: str, interface: str) -> list[str]:
    """The members of an interface, in its order."""
    text = (SRC / path).read_text(encoding="utf-8")
    found = re.search(rf"interface {interface}\b[^{{]*\{{(.*?)^\}}", text, re.DOTALL | re.MULTILINE)
    assert found, interface
    return re.findall(r"^  readonly (\w+)\??:", found[1], re.MULTILINE)


def states() -> list[str]:
    """The states of a connection, in the code's order."""
    text = (SRC / "client" / "link.ts").read_text(encoding="utf-8")
    found = re.search(r"export type State =(.*?);", text, re.DOTALL)
    assert found
    return re.findall(r'"(\w+)"', found[1])


def test_every_hook_and_component_is_listed() -> None:
    """The table has what `tapecast/react` exports, and nothing else."""
    assert {row[0] for row in table(QUICKREF, "name")} == exported("react/index.ts")


def test_every_field_of_a_hook_is_listed() -> None:
    """The table has what a hook of a channel gives, and its options are those that it takes."""
    assert {row[0] for row in table(QUICKREF, "field")} == set(members("react/live.ts", "Live"))
    options = "takes `{ key, select, enabled, intervalMs }`"
    assert options in QUICKREF
    assert set(re.findall(r"\w+", options)) - {"takes"} == set(
        members("react/live.ts", "LiveOptions")
    )


def test_every_state_is_listed() -> None:
    """The connection's states are those of the code, in its order."""
    assert [row[0] for row in table(QUICKREF, "state")] == states()


def test_every_code_is_listed() -> None:
    """Numbers, names and whether clients reconnect."""
    rows = [[str(row.number), row.name, "yes" if row.reconnect else "no"] for row in TABLE]
    assert table(QUICKREF, "code") == rows


def test_every_channel_and_event_is_listed() -> None:
    """The known streams with their kinds, and every event that a producer has a name for."""
    rows = table(QUICKREF, "channel")
    assert {row[0]: row[1] for row in rows} == {
        name: stream.kind.value for name, stream in KNOWN.items()
    }
    listed = {event for row in rows for event in re.findall(r"\w+", row[2])}
    assert listed == set(Event)


@pytest.mark.parametrize("text", [QUICKREF, MIGRATION], ids=["quickref", "migration"])
def test_settings_that_are_named_exist(text: str) -> None:
    """No variable is named that a hub would refuse."""
    named = set(re.findall(r"TAPECAST_[A-Z_]+", text))
    assert named <= {*FROM_ENVIRONMENT, *OTHER_NAMES}


def test_the_legacy_hooks_are_those_that_are_named() -> None:
    """Migration names each hook of `tapecast/react/legacy`, with its arguments."""
    text = section(MIGRATION, "Components")
    for name in exported("react/legacy/index.ts"):
        assert f"`{name}" in text, name


def test_the_changed_import_is_the_programs() -> None:
    """What the diff adds stands in the program below it, and what it removes does not."""
    components = section(MIGRATION, "Components")
    [diff] = blocks(components, "diff")
    after = blocks(components, "tsx")[0]
    for line in diff.splitlines():
        assert (line[1:] in after) == (line[0] == "+"), line
