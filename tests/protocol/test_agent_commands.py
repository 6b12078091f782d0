"""Commands to agents: names, rights' patterns and what they may carry."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hub.protocol import codes
from hub.protocol.agent_commands import (
    DEFAULT_EXPIRY_MS,
    MAX_COMMAND_BYTES,
    CommandRequest,
    agent_channel,
    check_command_pattern,
    check_outcome,
    check_publishable,
    command_request,
    is_commands,
)
from hub.protocol.errors import ChannelNameError, PayloadError, ProtocolError
from hub.protocol.payload import MAX_DEPTH


def request(event: str = "agent.pause", data: bytes = b"{}", **others: Any) -> CommandRequest:
    """A command from outside, checked."""
    fields = {"channel": "commands", "id": "c1", "sender": "ann", "origin": "socket", **others}
    return command_request(event=event, data=data, **fields)


def nested(levels: int) -> bytes:
    """An object so deep."""
    return b'{"x":' * levels + b"1" + b"}" * levels


@pytest.mark.parametrize(
    ("channel", "carries"),
    [("commands", True), ("commands:desk-7", True), ("commandsx", False), ("portfolio", False)],
)
def test_a_channel_of_commands_is_known_by_its_stream(channel: str, carries: bool) -> None:
    """And by nothing else; nobody publishes to it as to others."""
    assert is_commands(channel) is carries
    if carries:
        with pytest.raises(ProtocolError, match="sent through a hub") as refused:
            check_publishable(channel)
        assert refused.value.code is codes.FORBIDDEN
    else:
        assert check_publishable(channel) == channel


def test_an_agent_has_a_channel() -> None:
    """By its name; one without a name has the stream's own."""
    assert agent_channel(None) == "commands"
    assert agent_channel("desk:acct-7") == "commands:desk:acct-7"
    with pytest.raises(ChannelNameError):
        agent_channel("Desk 7")


@pytest.mark.parametrize("pattern", ["*", "commands", "commands:*", "commands:desk-7"])
def test_patterns_of_agents(pattern: str) -> None:
    """What the right to command may name."""
    assert check_command_pattern(pattern) == pattern


@pytest.mark.parametrize("pattern", ["positions:*", "desk-7", "commandsx", "Commands"])
def test_a_pattern_that_takes_no_agent_is_refused(pattern: str) -> None:
    """A right that somebody misspelled must not be one that does nothing."""
    with pytest.raises(ChannelNameError):
        check_command_pattern(pattern)


def test_a_command_is_checked_and_spelled_canonically() -> None:
    """So that the same one again has the same bytes."""
    made = request("my.own", b'{ "b": 1.50, "a": {} }', expires_in_ms=500)
    assert made == CommandRequest(
        "commands", "c1", "my.own", b'{"a":{},"b":1.50}', "ann", "socket", 500
    )
    assert request(data=b"null").data == b"{}"
    assert request().expires_in_ms == DEFAULT_EXPIRY_MS


@pytest.mark.parametrize(
    ("event", "data", "message"),
    [
        ("command.done", b"{}", "no event that begins with 'command.'"),
        ("a b", b"{}", "expected an event name"),
        ("agent.pause", b"[1]", "expected an object as data"),
        ("agent.pause", b'"lunch"', "expected an object as data"),
        ("agent.pause", b"{", "expected JSON"),
        ("agent.pause", b'{"x":"NaN"}', "expected a finite number"),
        ("agent.pause", nested(MAX_DEPTH), "levels of nesting"),
        ("position.close", b"{}", "the id of the position"),
        ("position.close", b'{"id":""}', "the id of the position"),
        ("position.close", b'{"id":7}', "the id of the position"),
        ("config.set", b"{}", "the settings to change"),
    ],
)
def test_what_no_agent_could_obey_is_refused(event: str, data: bytes, message: str) -> None:
    """Before an agent is asked."""
    with pytest.raises(ProtocolError, match=message):
        request(event, data)


def test_data_is_one_value() -> None:
    """What would be no JSON alone used to pass as a field of its own beside the data."""
    with pytest.raises(ProtocolError, match="expected JSON in UTF-8"):
        request(data=b'{},"x":1')


def test_as_deep_as_the_log_takes_it() -> None:
    """The data stands a level deeper there."""
    assert request(data=nested(MAX_DEPTH - 1)).data == nested(MAX_DEPTH - 1)


def test_what_known_commands_need() -> None:
    """The names that have a meaning say what they take."""
    assert request("position.close", b'{"id":"p-1"}').data == b'{"id":"p-1"}'
    assert request("config.set", b'{"min_confidence":60}').event == "config.set"


def test_a_large_command_is_refused() -> None:
    """By its canonical bytes."""
    data = msgspec.json.encode({"x": "y" * (MAX_COMMAND_BYTES - 8)})
    assert request(data=data).data == data
    with pytest.raises(PayloadError) as refused:
        request(data=data[:-2] + b'z"}')
    assert refused.value.code is codes.TOO_LARGE


def test_a_sender_that_reads_as_no_number_is_refused() -> None:
    """Its commands would be held for poison by every hub."""
    with pytest.raises(PayloadError, match="expected a finite number"):
        request(sender="nan")


def test_outcomes_are_checked() -> None:
    """As a command's data is: they travel to the same screens."""
    assert check_outcome("result", b'{ "b":1, "a":2 }') == b'{"a":2,"b":1}'
    assert check_outcome("reason", b'"no such position"') == b'"no such position"'
    for wrong in (b'"Infinity"', b"{", nested(MAX_DEPTH)):
        with pytest.raises(PayloadError):
            check_outcome("result", wrong)
    with pytest.raises(PayloadError, match="result: expected at most") as refused:
        check_outcome("result", b'"%b"' % (b"x" * MAX_COMMAND_BYTES))
    assert refused.value.code is codes.TOO_LARGE
