from __future__ import annotations

import os
import time
from typing import Any

import httpx
import pytest

from hub.protocol import codes
from hub.protocol.streams import Kind
from hub.server.app import create_app
from hub.server.board import Board
from hub.server.lag import BOUNDS_US
from hub.server.metrics import Gauges, Metrics
from hub.server.settings import Settings
from tests.server.test_rest import FlakyBroker, error_of
from tests.support.brokers import store
from tests.support.livehub import SECRET, LiveHub, token
from tests.support.publications import touch
from tests.support.socket_client import opened, welcomed

HUB = "/api/v1/hub"
GAUGES = Gauges(3, 2, 1, delivering=True, draining=False, failed_tasks=0)


async def look(url: str, **rights: Any) -> dict[str, Any]:
    """The answer to somebody with these rights."""
    headers = {"Authorization": f"Bearer {token(**rights)}"}
    async with httpx.AsyncClient(base_url=url, headers=headers) as http:
        response = await http.get(HUB)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def test_a_good_token_is_needed() -> None:
    """Totals name nobody, and are told to nobody all the same."""
    async with LiveHub(FlakyBroker()) as live, httpx.AsyncClient(base_url=live.url) as http:
        error_of(await http.get(HUB), 401, codes.UNAUTHORIZED)


async def test_the_hub_says_what_it_did() -> None:
    """Connections, deliveries, lag, closes, and the channels as the list has them."""
    async with LiveHub(FlakyBroker()) as live:
        empty = await look(live.url)
        async with welcomed(live.url, token()) as one, welcomed(live.url, token()) as two:
            async with opened(live.url, "nonsense") as refused:
                await refused.closed()
            for client in (one, two):
                await client.subscribe("decisions")
            await one.command("publish", channel="decisions", event="e", data={"n": 1})
            await two.until(lambda frame: frame.get("type") == "update")
            answer = await look(live.url)
    assert empty.keys() == answer.keys()
    assert abs(answer["ts"] / 1_000_000 - time.time()) < 60
    assert (answer["workers"], answer["connections"]) == (1, 2)
    assert (answer["accepted"], answer["delivered"], answer["received"]) == (3, 2, 1)
    assert answer["delivered_bytes"] > 0
    assert answer["conflated"] == 0
    assert answer["closes"] == {"4401": 1}
    assert answer["refusals"] == {}
    lag = answer["lag"]
    assert lag["bounds_us"] == list(BOUNDS_US)
    assert len(lag["counts"]) == len(BOUNDS_US) + 1
    assert lag["counts"] == sorted(lag["counts"])
    assert lag["counts"][-1] == 1
    [row] = answer["channels"]
    assert row.keys() == {"name", "kind", "head", "age_ms", "stale"}
    assert (row["name"], row["kind"], row["head"]["seq"], row["stale"]) == (
        "decisions",
        "log",
        1,
        False,
    )
    assert empty["lag"]["counts"] == [0] * (len(BOUNDS_US) + 1)
    assert empty["channels"] == []


async def test_channels_are_those_that_may_be_read() -> None:
    """Whoever may read nothing is told the totals and no channel."""
    broker = FlakyBroker()
    await store(broker, touch("orders:a", Kind.VALUE), touch("orders:b", Kind.VALUE))
    async with LiveHub(broker) as live:
        both = await look(live.url)
        one = await look(live.url, read=["orders:b"])
        none = await look(live.url, read=[])
    assert [row["name"] for row in both["channels"]] == ["orders:a", "orders:b"]
    assert [row["name"] for row in one["channels"]] == ["orders:b"]
    assert none["channels"] == []
    assert none["workers"] == 1


async def test_all_workers_answer_together() -> None:
    """Whichever worker is asked: the counts of the dead too, connections of those that live."""
    board = Board.shared(3)
    for number, count in ((1, 40), (2, 2)):
        metrics = Metrics()
        metrics.delivered = count
        metrics.closed(codes.TOO_SLOW)
        board.of(number).report(metrics, GAUGES, 1.0)
    board.vacate(2)
    app = create_app(Settings(jwt_secret=SECRET), FlakyBroker(), board)
    transport = httpx.ASGITransport(app)
    headers = {"Authorization": f"Bearer {token()}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://hub") as http:
        answer = (await http.get(HUB, headers=headers)).json()
    assert (answer["workers"], answer["connections"]) == (2, 3)
    assert answer["delivered"] == 42
    assert answer["closes"] == {"4508": 2}
    assert os.getpid() == board.workers()[0].pid


@pytest.mark.parametrize("listed_before", [True, False])
async def test_an_outage_of_the_broker_is_no_error(listed_before: bool) -> None:
    """The page of the hub is for such moments: totals, and the channels that are known."""
    broker = FlakyBroker()
    await store(broker, touch("orders", Kind.VALUE), touch("news", Kind.VALUE))
    async with LiveHub(broker) as live, welcomed(live.url, token()) as client:
        await client.subscribe("orders")
        if listed_before:
            await look(live.url)
        broker.away = True
        answer = await look(live.url)
        broker.away = False
    names = ["news", "orders"] if listed_before else ["orders"]
    assert [row["name"] for row in answer["channels"]] == names
    assert answer["connections"] == 1
