"""docs/protocol.md says what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hub.core.limits import Limits
from hub.protocol import codes
from hub.protocol.agent_commands import (
    DEFAULT_EXPIRY_MS,
    MAX_EXPIRY_MS,
    MIN_EXPIRY_MS,
    CommandState,
    Name,
    Step,
)
from hub.protocol.codes import TABLE
from hub.protocol.command_calls import MAX_OPEN
from hub.protocol.commands import MAX_INTERVAL_MS
from hub.protocol.frames import SUBPROTOCOL, ChannelState
from hub.protocol.payload import MAX_DATA_BYTES, MAX_DEPTH
from hub.protocol.scripts import ANSWERS_KEPT
from hub.protocol.streams import MAX_HISTORY, UNCONFIGURED, Kind
from hub.server.settings import Settings
from tests.support.vectors import vectors

TEXT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
EXAMPLES = [
    line
    for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    for line in block.split("\n")
    if line
]
COMMANDS = vectors("commands")["accepted"]
FRAMES = vectors("frames")["frames"]
ENVELOPES = [entry for chain in vectors("envelopes")["chains"] for entry in chain["entries"]]


def table(heading: str) -> list[list[str]]:
    """The rows of the table whose header begins so, cell by cell."""
    lines = TEXT[TEXT.index(f"| {heading} |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def names(value: Any) -> set[str]:
    """Every field's name in a decoded frame but for what its data holds."""
    if not isinstance(value, dict):
        return set()
    inner = [names(value[part]) for part in ("result", "error", "params") if part in value]
    return set(value).union(*inner)


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_golden_texts(example: str) -> None:
    """Each example is, byte for byte, what the tests of the protocol send or expect."""
    assert example in {case["text"] for case in [*COMMANDS, *FRAMES, *ENVELOPES]}


def test_every_command_and_frame_has_an_example() -> None:
    """No method and no frame is left without an example."""
    shown = set(EXAMPLES)
    assert {c["method"] for c in COMMANDS} == {c["method"] for c in COMMANDS if c["text"] in shown}
    assert {f["frame"] for f in FRAMES} == {f["frame"] for f in FRAMES if f["text"] in shown}
    assert shown & {entry["text"] for entry in ENVELOPES}


def test_every_field_is_named() -> None:
    """Each field of a command or frame stands in the text, as code."""
    fields = set().union(*(names(json.loads(case["text"])) for case in [*COMMANDS, *FRAMES]))
    prose = re.sub(r"```json\n.*?```", "", TEXT, flags=re.DOTALL)
    # The vectors show that unknown fields are ignored, by this name.
    missing = {name for name in fields - {"unknown"} if f"`{name}`" not in prose}
    assert not missing


def test_the_table_of_codes_is_the_code() -> None:
    """Numbers, names, meanings and what to do are those of `codes.TABLE`, in its order."""
    expected = [
        [str(code.number), code.name, code.meaning, "yes" if code.reconnect else "no"]
        for code in TABLE
    ]
    assert table("code") == expected


def test_the_bounds_are_the_defaults() -> None:
    """Each bound is the default of the setting or constant, with the code that the hub uses."""
    settings, limits = Settings(), Limits()
    expected = [
        (settings.frame_bytes, codes.TOO_BIG),
        (MAX_DATA_BYTES, codes.TOO_LARGE),
        (MAX_DEPTH, codes.INVALID_DATA),
        (settings.auth_seconds, codes.AUTH_TIMEOUT),
        (limits.max_strikes, codes.BAD_REQUEST),
        (settings.max_subscriptions, codes.TOO_MANY),
        (limits.max_publishes, codes.TOO_MANY),
        (settings.outbox_bytes, codes.TOO_SLOW),
        (settings.outbox_seconds, codes.TOO_SLOW),
        (settings.stall_seconds, codes.ABNORMAL),
    ]
    rows = table("bound")
    assert [float(row[1].split()[0]) for row in rows] == [float(value) for value, _ in expected]
    for row, (_, code) in zip(rows, expected, strict=True):
        assert str(code.number) in row[2]


def test_the_steps_of_a_command_are_the_code() -> None:
    """The table has each step once, and the text each known command and state."""
    assert [row[0].strip("`") for row in table("event")] == [step.value for step in Step]
    for name in (*Name, *CommandState):
        assert f"`{name}`" in TEXT, name


def test_the_kinds_are_the_code() -> None:
    """The table of kinds has each kind once."""
    assert [row[0].strip("`") for row in table("kind")] == [kind.value for kind in Kind]


@pytest.mark.parametrize(
    "phrase",
    [
        f"`{SUBPROTOCOL}`",
        f"0 to {MAX_INTERVAL_MS}",
        f"the newest {UNCONFIGURED.history} by default and {MAX_HISTORY} at most",
        f"the last {ANSWERS_KEPT} of a producer",
        f"{MIN_EXPIRY_MS} to {MAX_EXPIRY_MS} and {DEFAULT_EXPIRY_MS} by default",
        f"{MAX_OPEN} commands to the agent",
        f"more than {Limits().answer_bytes // 1024**2} MiB",
        *(f"`{state}`" for state in ChannelState),
    ],
)
def test_other_facts_are_the_code(phrase: str) -> None:
    """What is said in passing is held against its constant too."""
    assert phrase in TEXT


def test_links_lead_somewhere() -> None:
    """Each relative link names a file that is there."""
    folder = Path(__file__).parents[2] / "docs"
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", TEXT):
        assert (folder / target).exists(), target
