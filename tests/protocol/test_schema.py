"""The types of what a hub says, held to the golden texts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hub.protocol import schema
from hub.protocol.agent_commands import STEP_PREFIX
from tests.support.vectors import vectors

FRAMES = vectors("frames")["frames"]
ENVELOPES = [entry for chain in vectors("envelopes")["chains"] for entry in chain["entries"]]
PUSHED = {
    "welcome": schema.Welcome,
    "snapshot": schema.Snapshot,
    "conflated": schema.Update,
    "foreign": schema.Update,
    "heartbeat": schema.Heartbeat,
    "channel_state": schema.Channel,
    "channel_reset": schema.Channel,
    "shutdown_notice": schema.Notice,
}
RESULTS = {
    "subscribed": schema.SubscribeResult,
    "published": schema.PublishResult,
    "commanded": schema.PublishResult,
}


def strictly(text: str, type: Any) -> Any:
    """Read a text as this type, and see that the type names each of its fields."""
    value = msgspec.json.decode(text, type=type)
    assert msgspec.to_builtins(value) == msgspec.json.decode(text)
    return value


@pytest.mark.parametrize("case", FRAMES, ids=lambda case: case["frame"])
def test_golden_frames_have_their_types(case: dict[str, Any]) -> None:
    """Each frame's fields are those of its type, none more and none less."""
    frame = case["frame"]
    if frame in PUSHED:
        pushed = strictly(case["text"], schema.Pushed)
        assert type(pushed) is PUSHED[frame]
        return
    reply = strictly(case["text"], schema.Reply)
    if frame in RESULTS:
        strictly(msgspec.json.encode(reply.result).decode(), RESULTS[frame])


@pytest.mark.parametrize("entry", ENVELOPES, ids=lambda entry: entry["tag"])
def test_envelopes_are_updates(entry: dict[str, Any]) -> None:
    """What is published is, unchanged, a frame of the hub."""
    assert isinstance(strictly(entry["text"], schema.Pushed), schema.Update)


@pytest.mark.parametrize(
    "entry",
    [entry for entry in ENVELOPES if "commands:desk-7" in entry["text"]],
    ids=lambda entry: entry["event"],
)
def test_commands_and_their_steps_have_their_types(entry: dict[str, Any]) -> None:
    """What the log of an agent's channel carries."""
    is_step = entry["event"].startswith(STEP_PREFIX)
    strictly(entry["data"], schema.CommandStep if is_step else schema.AgentCommand)


@pytest.mark.parametrize(
    ("text", "type"),
    [
        ('{"rows":{"p-1":{"size":"0.5"}}}', schema.Rows),
        ('{"upsert":{"p-1":{"size":"0.5"}},"delete":["p-2"]}', schema.Changes),
        ('{"entries":[{"seq":1,"event":"e","ts":2,"data":null}]}', schema.Entries),
        ('{"subject":"desk-1","expires_at":1700003600.0}', schema.AuthResult),
        ('{"subject":"desk-1","expires_at":null}', schema.AuthResult),
    ],
)
def test_data_has_its_types(text: str, type: Any) -> None:
    """So has what frames carry, as docs/protocol.md shows it."""
    strictly(text, type)
