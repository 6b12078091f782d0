"""The paths of the old server, and that nothing of them is there where they are off."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hub.broker.memory import MemoryBroker
from hub.server.app import create_app
from hub.server.legacy.places import STREAM, STREAMS
from hub.server.settings import LEGACY_SUBSCRIPTIONS, Settings, SettingsError, load
from tests.support.livehub import SECRET

LOADED = """
import sys
from hub.broker.memory import MemoryBroker
from hub.server.app import create_app
from hub.server.settings import Settings
import hub.server.run
create_app(Settings(jwt_secret="{secret}", legacy_paths={on}), MemoryBroker())
print(sum(name.startswith("hub.server.legacy") for name in sys.modules))
"""


@pytest.mark.parametrize("on", [False, True])
def test_nothing_is_imported_unless_it_is_wanted(on: bool) -> None:
    """A hub without old dashboards has none of this code in it."""
    program = LOADED.format(secret=SECRET, on=on)
    shown = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert (int(shown.stdout) > 0) is on


def test_upgrades_are_known_by_their_path() -> None:
    """By the whole path, with or without a query; the stream is no WebSocket."""
    hub = create_app(Settings(jwt_secret=SECRET, legacy_paths=True), MemoryBroker()).state.hub
    assert hub.legacy is not None
    for path in STREAMS:
        for target in (path, f"{path}?", f"{path}?token=x?y"):
            place = hub.legacy.place_of(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert (place is None) is (path == STREAM)
    for line in ("GET /ws HTTP/1.1", "GET /api/v1/bot/ws/ HTTP/1.1", "GET", "", " ", "\xe4 \xe4"):
        assert hub.legacy.place_of(line.encode("latin-1")) is None


def test_the_most_that_is_followed_is_what_the_settings_know() -> None:
    """A connection of an old dashboard needs as many subscriptions as its path follows."""
    assert max(map(len, STREAMS.values())) == LEGACY_SUBSCRIPTIONS


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (
            {"TAPECAST_LEGACY_QUERY_TOKEN": "true"},
            "legacy_query_token: expected legacy_paths = true with it",
        ),
        (
            {"TAPECAST_LEGACY_ACCOUNT": "acct-7"},
            "legacy_account: expected legacy_paths = true with it",
        ),
        (
            {"TAPECAST_LEGACY_PATHS": "true", "TAPECAST_LEGACY_ACCOUNT": "Acct 7"},
            "legacy_account: expected a channel name",
        ),
        (
            {"TAPECAST_LEGACY_PATHS": "true", "TAPECAST_MAX_SUBSCRIPTIONS": "6"},
            "max_subscriptions: expected at least 7 with legacy_paths, got 6",
        ),
    ],
)
def test_settings_that_can_not_be(environ: dict[str, str], said: str) -> None:
    """What was expected is said, and what was got."""
    with pytest.raises(SettingsError) as refused:
        load(environ)
    assert said in str(refused.value)


def test_settings_that_go_together() -> None:
    """From the environment, by the names that the documents give."""
    settings = load(
        {
            "TAPECAST_LEGACY_PATHS": "true",
            "TAPECAST_LEGACY_QUERY_TOKEN": "true",
            "TAPECAST_LEGACY_ACCOUNT": "acct-7",
        }
    )
    assert settings.legacy_paths
    assert settings.legacy_query_token
    assert settings.legacy_account == "acct-7"
