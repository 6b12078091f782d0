"""docs/legacy.md says what the code does."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from starlette.routing import Route, WebSocketRoute

from hub.broker.memory import MemoryBroker
from hub.protocol import codes
from hub.server.app import create_app
from hub.server.legacy import shapes
from hub.server.legacy.agents import DONE, EXPIRES_MS, WAIT_MS
from hub.server.legacy.commands import ACTIONS
from hub.server.legacy.dialect import PONG
from hub.server.legacy.frames import REFUSED, close_number, encode_event
from hub.server.legacy.heartbeats import HEARTBEAT_SECONDS
from hub.server.legacy.places import NEEDED, PACE_MS, PREFIX, STREAM, STREAMS
from hub.server.legacy.rest import DEFAULT_DECISIONS, MAX_DECISIONS
from hub.server.legacy.routes import COMMANDS
from hub.server.settings import Settings
from producers.encoding import encode as published
from producers.events import Event
from tests.docs.pages import blocks, page, table
from tests.server.legacy.samples import DECISION, PORTFOLIO, POSITION, STATUS
from tests.server.legacy.test_rest import HEALTH
from tests.support.livehub import SECRET

TEXT = page("docs/legacy.md")


def carried(payload: object) -> Any:
    """What a channel carries of a payload."""
    return shapes.decode(published(payload))


def examples() -> Mapping[str, Any]:
    """What the blocks of the page show, in their order."""
    account = carried(PORTFOLIO)
    portfolio = shapes.portfolio(account)
    decision = shapes.decision(carried(DECISION), 0)
    return {
        "frame": encode_event("portfolio_update", portfolio),
        "portfolio": shapes.encode(portfolio),
        "position": shapes.encode(shapes.position("p-1", carried(POSITION))),
        "decision": shapes.encode(decision),
        "agent status": shapes.encode(
            shapes.agent_status(carried(STATUS), account=account, decided=decision)
        ),
        "health": shapes.encode(
            shapes.health(
                carried(HEALTH),
                timestamp="2026-01-02T03:04:05Z",
                uptime_seconds=90.5,
                portfolio_balance=account["balance"],
            )
        ),
    }


@pytest.mark.parametrize("number", range(6), ids=list(examples()))
def test_the_examples_are_what_is_sent(number: int) -> None:
    """Each block is, byte by byte, what the code makes of the samples of the tests."""
    shown = blocks(TEXT, "json")
    assert len(shown) == len(examples())
    assert shown[number].rstrip("\n").encode() == list(examples().values())[number]


def kinds_of(route: Route | WebSocketRoute) -> set[str]:
    """How a path is asked."""
    if isinstance(route, WebSocketRoute):
        return {"WebSocket"}
    return set(route.methods or ()) - {"HEAD"}


def test_every_path_is_documented() -> None:
    """The table has the paths that are served besides those of a hub without them."""
    served = {
        on: {
            (route.path_format, kind)
            for route in create_app(
                Settings(jwt_secret=SECRET, legacy_paths=on), MemoryBroker()
            ).routes
            if isinstance(route, Route | WebSocketRoute)
            for kind in kinds_of(route)
        }
        for on in (False, True)
    }
    rows = table(TEXT, "path")
    documented = {(path, kind.replace("server-sent events", "GET")) for path, kind, _ in rows}
    assert documented == served[True] - served[False]
    assert [path for path, kind, _ in rows if kind == "server-sent events"] == [STREAM]


def test_what_is_told_at_a_path_is_what_it_follows() -> None:
    """A path of one channel is documented by the events of that channel."""
    told = {path: what for path, _, what in table(TEXT, "path")}
    for path, name in COMMANDS.items():
        assert told[f"{PREFIX}/{path}"] == name
    for path, streams in STREAMS.items():
        if len(streams) > 1:
            assert told[path].startswith("everything")
        else:
            event = {"portfolio": "portfolio_update", "positions": "positions_update"}
            assert told[path].startswith(event.get(streams[0], "decision_made"))


def test_every_event_of_a_producer_is_documented() -> None:
    """The table names each event that Tapecast's own producers have, and the frames besides."""
    named = set(
        re.findall(r"`([a-z_]+)`", "\n".join(f"`{row[0]}`" for row in table(TEXT, "event")))
    )
    assert named == {*Event, "heartbeat", json.loads(PONG.payload)["event"]}


def test_the_codes_of_closes() -> None:
    """The two of the table, and those that are named beside it."""
    assert [row[0] for row in table(TEXT, "close code")] == [
        str(REFUSED),
        str(codes.TRY_LATER.number),
    ]
    for code in (codes.RESTART, codes.TOO_SLOW, codes.UNAVAILABLE, codes.BAD_REQUEST):
        assert close_number(code) == code.number
        assert str(code.number) in TEXT


def test_figures_and_names_in_passing_are_the_code() -> None:
    """Numbers that the page has from constants are those."""
    for phrase in (
        f"every {HEARTBEAT_SECONDS:g} seconds",
        f"every {PACE_MS} milliseconds",
        f"within {EXPIRES_MS // 1000} s",
        f"{WAIT_MS // 1000} s at most",
        *(f"`{word}`" for word in DONE.values()),
        f"1 to {MAX_DECISIONS}, {DEFAULT_DECISIONS} by default",
        *(f"`{name}`" for name in NEEDED),
        *(f'"{name}"' for name in ACTIONS),
        *(f"`{name}`" for name in shapes.MONEY),
        *(f"`{state}`" for state, _ in shapes._STATES.values()),
        *(f"`{unified}`" for unified in shapes._DESCRIPTIONS),
    ):
        assert phrase in TEXT, phrase
