"""Hubs that serve the old server's paths."""

from __future__ import annotations

import pytest

from tests.server.conftest import MakeHub
from tests.server.legacy.samples import Agent
from tests.support.livehub import LiveHub


@pytest.fixture
async def live(make_hub: MakeHub) -> LiveHub:
    """A hub on channels in memory that serves the old server's paths."""
    return await make_hub(legacy_paths=True)


@pytest.fixture
def agent(live: LiveHub) -> Agent:
    """Publishes where `live` reads."""
    return Agent(live.hub.broker)
