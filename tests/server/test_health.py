from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from hub import __version__
from hub.broker.memory import MemoryBroker
from tests.server.test_metrics import value
from tests.support.brokers import eventually
from tests.support.livehub import LiveHub, token
from tests.support.valkey import Valkey


@pytest.fixture
async def live() -> AsyncIterator[LiveHub]:
    async with LiveHub(MemoryBroker()) as live:
        yield live


@pytest.fixture
async def http(live: LiveHub) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a token."""
    async with httpx.AsyncClient(base_url=live.url) as http:
        yield http


async def test_a_living_process_says_so(http: httpx.AsyncClient) -> None:
    """Liveness needs no token and names the version."""
    response = await http.get("/healthz")
    assert (response.status_code, response.json()) == (
        200,
        {"status": "ok", "version": __version__},
    )


async def test_a_hub_is_ready_while_its_broker_delivers(http: httpx.AsyncClient) -> None:
    """With a broker that delivers and nothing ending, connections are welcome."""
    response = await http.get("/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "ready"})


async def test_a_hub_that_drains_is_alive_and_not_ready(
    live: LiveHub, http: httpx.AsyncClient
) -> None:
    """A hub that is about to end sends new connections elsewhere and is not restarted for it."""
    live.hub.draining = True
    response = await http.get("/readyz")
    assert response.status_code == 503
    assert response.json()["reasons"] == ["the hub is draining"]
    assert (await http.get("/healthz")).status_code == 200


async def test_a_failed_task_shows_in_readiness(live: LiveHub, http: httpx.AsyncClient) -> None:
    """A part that died is named: nobody has to look into the log for why."""
    live.hub.tasks.failed.append("ingest")
    response = await http.get("/readyz")
    assert (response.status_code, response.json()["reasons"]) == (
        503,
        ["the task 'ingest' has failed"],
    )


async def test_a_frozen_broker_shows_in_readiness_until_it_thaws(valkey: Valkey) -> None:
    """A broker that keeps its links open and delivers nothing is noticed by the probe."""
    async with (
        LiveHub(redis_url=valkey.url, probe_seconds=0.2) as live,
        httpx.AsyncClient(base_url=live.url) as http,
    ):

        async def is_ready(wanted: bool) -> None:
            await eventually(lambda: live.hub.broker.delivering is wanted, f"delivering: {wanted}")
            response = await http.get("/readyz")
            assert response.status_code == (200 if wanted else 503)
            if not wanted:
                assert response.json()["reasons"] == ["the broker does not deliver"]

        await is_ready(True)
        valkey.freeze()
        await is_ready(False)
        valkey.thaw()
        await is_ready(True)


async def test_metrics_show_what_the_hub_did(live: LiveHub, http: httpx.AsyncClient) -> None:
    """A scrape needs no token and shows this hub's counts and gauges as they are."""
    path = "/api/v1/channels/decisions"
    headers = {"Authorization": f"Bearer {token()}"}
    await http.post(path, json={"event": "e", "data": 1}, headers=headers)
    await http.post(path, json={"event": "e", "data": "NaN"}, headers=headers)
    response = await http.get("/metrics")
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    assert value(response.content, "tapecast_publishes_total") == 1
    assert value(response.content, "tapecast_publishes_refused_total") == 1
    assert value(response.content, "tapecast_connections") == 0
    assert value(response.content, "tapecast_delivering") == 1


async def test_hubs_in_one_process_count_apart(http: httpx.AsyncClient, live: LiveHub) -> None:
    """No count is shared between hubs, as Prometheus' own registry would."""
    live.hub.metrics.resets += 3
    async with (
        LiveHub(MemoryBroker()) as other,
        httpx.AsyncClient(base_url=other.url) as strange,
    ):
        assert value((await strange.get("/metrics")).content, "tapecast_feed_resets_total") == 0
    assert value((await http.get("/metrics")).content, "tapecast_feed_resets_total") == 3
