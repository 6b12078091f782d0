"""What old dashboards say, and what it leads to."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.protocol.commands import NotACommand, Ping, Subscribe, decode_command
from hub.server.legacy.commands import ACTIONS, Answer, Command, Start, react, subscribe


@pytest.mark.parametrize(
    "text",
    ['{"event":"ping"}', '{"event":"ping","data":{}}', '{"action":"ping"}',
     '{"action":"ping","payload":{"x":1}}'],
)  # fmt: skip
def test_both_pings_are_one_command(text: str) -> None:
    """The session answers it."""
    reaction = react(text.encode())
    assert isinstance(reaction, Command)
    assert isinstance(decode_command(reaction.text).params, Ping)


@pytest.mark.parametrize("text", ["", "x", "[]", "null", "7", '"ping"', '{"action":1e999}', "{"])
def test_what_is_no_object_is_a_strike(text: str) -> None:
    """The session hears that there was one, and never the text itself."""
    reaction = react(text.encode())
    assert isinstance(reaction, Command)
    with pytest.raises(NotACommand):
        decode_command(reaction.text)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "event": st.sampled_from(["ping", "pong", 1, None, []]),
            "action": st.sampled_from(["ping", "start", "stop", "subscribe", {}, None]),
            "payload": st.sampled_from([{}, {"asset_pairs": []}, [], 1, "x", None]),
            "id": st.just(1),
            "method": st.sampled_from(["publish", "subscribe", "auth"]),
            "params": st.just({"channel": "portfolio", "event": "e", "data": 1, "token": "t"}),
        },
    )
)
def test_no_object_is_a_command_by_accident(said: dict[str, object]) -> None:
    """Whatever a dashboard says is a ping, a start with an object, or is answered."""
    reaction = react(json.dumps(said).encode())
    if isinstance(reaction, Command):
        assert isinstance(decode_command(reaction.text).params, Ping)
    elif isinstance(reaction, Start):
        assert said["action"] == "start"
        assert reaction.payload == (said.get("payload") or {})
    else:
        assert isinstance(reaction, Answer)
        frame = json.loads(reaction.frame.payload)
        assert frame["event"] == "error"
        assert frame["message"] == frame["data"]["message"]


def test_the_actions() -> None:
    """Those that the old server knew."""
    assert set(ACTIONS) == {"ping", "start"}


def test_a_subscribe_on_behalf_of_a_dashboard() -> None:
    """Is one as the protocol has it."""
    command = decode_command(subscribe(2, "positions:acct-7", 100))
    assert command.id == 2
    assert command.params == Subscribe("positions:acct-7", interval_ms=100)
