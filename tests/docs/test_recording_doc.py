"""docs/recording.md says what a recording is, as the code has it."""

from __future__ import annotations

import msgspec

from hub.client.recording import VERSION, Row, read_rows
from tests.docs.pages import blocks, page, section, table

TEXT = page("docs/recording.md")
FILE = section(TEXT, "The file")


def test_every_row_is_in_the_table() -> None:
    """Types and fields are those of the code, in its order."""
    types = {kind.__struct_config__.tag: kind for kind in Row.__args__}
    rows = table(FILE, "type")
    assert {row[0] for row in rows} == types.keys()
    for name, fields, meaning in rows:
        assert fields.replace("`", "").split(", ") == list(types[name].__struct_fields__), name
        assert meaning


def test_the_example_is_a_recording() -> None:
    """Every line of it is read, and written the same."""
    (example,) = blocks(FILE, "json")
    lines = example.encode().splitlines(keepends=True)
    assert [msgspec.json.encode(row) + b"\n" for row in read_rows(lines)] == lines


def test_the_version_is_that_of_the_code() -> None:
    """And so is what the page says of it."""
    assert f"`version` is {VERSION}." in FILE
