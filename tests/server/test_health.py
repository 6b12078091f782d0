from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import pytest
from redis.asyncio import Redis

from hub import __version__
from hub.broker.memory import MemoryBroker
from hub.server.app import create_app
from hub.server.board import Board
from hub.server.health import SILENT_SECONDS, Health
from hub.server.metrics import Gauges, Metrics
from hub.server.settings import Settings
from tests.server.test_metrics import samples, value
from tests.support.brokers import eventually
from tests.support.livehub import SECRET, LiveHub, token
from tests.support.socket_client import welcomed
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
    assert value(response.content, "tapecast_connections", worker="0") == 0
    assert value(response.content, "tapecast_delivering", worker="0") == 1


async def test_deliveries_are_counted_with_their_bytes(
    live: LiveHub, http: httpx.AsyncClient
) -> None:
    """An update to two subscribers is two deliveries, and its payload twice."""
    async with welcomed(live.url, token()) as first, welcomed(live.url, token()) as second:
        for client in (first, second):
            await client.subscribe("decisions")
        await first.command("publish", channel="decisions", event="decision_made", data={"n": 1})
        update = (await second.until(lambda frame: frame.get("type") == "update"))[-1]
    size = len(json.dumps(update, separators=(",", ":")))
    text = (await http.get("/metrics")).content
    assert value(text, "tapecast_frames_delivered_total") == 2
    assert value(text, "tapecast_bytes_delivered_total") == 2 * size
    # Of an envelope, not of a delivery.
    assert value(text, "tapecast_fanout_lag_seconds_count") == 1


async def test_hubs_in_one_process_count_apart(http: httpx.AsyncClient, live: LiveHub) -> None:
    """No count is shared between hubs, as Prometheus' own registry would."""
    live.hub.metrics.resets += 3
    async with (
        LiveHub(MemoryBroker()) as other,
        httpx.AsyncClient(base_url=other.url) as strange,
    ):
        assert value((await strange.get("/metrics")).content, "tapecast_feed_resets_total") == 0
    assert value((await http.get("/metrics")).content, "tapecast_feed_resets_total") == 3


@pytest.mark.parametrize(
    ("others", "age", "reasons"),
    [
        ({}, 0.0, []),
        ({"delivering": False}, 0.0, ["worker 1: the broker does not deliver"]),
        ({"failed_tasks": 1}, 0.0, ["worker 1: a task has failed"]),
        ({}, SILENT_SECONDS + 1, ["worker 1: has not reported for 6 s"]),
        # They have closed their listening socket.
        ({"draining": True, "delivering": False}, SILENT_SECONDS + 1, []),
    ],
)
async def test_readiness_is_that_of_all_workers(
    others: dict[str, float], age: float, reasons: list[str]
) -> None:
    """New connections are spread over all workers, so one that is ill is a reason for every one."""
    board = Board.shared(2)
    well = Gauges(0, 0, 0, delivering=True, draining=False, failed_tasks=0)
    hub = create_app(Settings(jwt_secret=SECRET), MemoryBroker(), board).state.hub
    health = Health(hub, board)
    async with hub:
        board.of(1).report(Metrics(), well._replace(**others), hub.clock() - age)
        assert health.reasons() == reasons
        board.vacate(1)
        assert health.reasons() == []


async def test_a_scrape_is_of_all_workers(valkey: Valkey) -> None:
    """Whichever worker is asked, the answer has what all of them count, and each one's gauges."""
    board = Board.shared(2)
    apps = [
        create_app(Settings(jwt_secret=SECRET, redis_url=valkey.url), board=board.of(number))
        for number in range(2)
    ]
    async with AsyncExitStack() as stack:
        for app in apps:
            await stack.enter_async_context(app.router.lifespan_context(app))
        for number, app in enumerate(apps):
            app.state.hub.metrics.delivered += 10 + number
        texts = []
        for app in apps:
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://hub") as http:
                texts.append((await http.get("/metrics")).content)
    # The first was asked when the second had, most likely, not reported again.
    first, second = (value(text, "tapecast_frames_delivered_total") for text in texts)
    assert 10 <= first <= second == 21
    for text in texts:
        assert value(text, "tapecast_worker_starts_total") == 2
        assert {labels["worker"] for name, labels, _ in samples(text) if "worker" in labels} == {
            "0",
            "1",
        }


async def test_a_worker_goes_on_from_the_counts_of_the_one_before() -> None:
    """What an ended worker had counted last is where the next begins; a reconnect counts on too."""
    board = Board.alone()
    for lives in (1, 2):
        app = create_app(Settings(jwt_secret=SECRET), MemoryBroker(), board)
        async with app.router.lifespan_context(app):
            app.state.hub.metrics.delivered += 5
        assert board.totals().delivered == 5 * lives
        assert board.totals().starts == lives


async def test_a_lost_link_to_the_broker_is_counted(valkey: Valkey) -> None:
    """Each link that had to be made anew counts once."""
    async with (
        LiveHub(redis_url=valkey.url, probe_seconds=0.05) as live,
        httpx.AsyncClient(base_url=live.url) as http,
        Redis.from_url(valkey.url) as admin,
    ):
        await eventually(lambda: live.hub.broker.delivering, "the first link")
        assert value((await http.get("/metrics")).content, "tapecast_broker_reconnects_total") == 0
        await admin.client_kill_filter(_type="pubsub")
        await eventually(lambda: live.hub.broker.reconnects == 1, "another link")
        assert value((await http.get("/metrics")).content, "tapecast_broker_reconnects_total") == 1
