"""What clients ask for, in right words and wrong ones, and what either adapter answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hub.broker.base import Broker
from hub.protocol import codes
from hub.protocol.streams import Kind
from tests.server.conftest import MakeHub, every_adapter
from tests.support.brokers import store
from tests.support.held_broker import HeldBroker
from tests.support.livehub import (
    LiveHub,
    token,
)
from tests.support.publications import value
from tests.support.socket_client import SocketClient, welcomed

adapter = every_adapter


@pytest.fixture
async def client(live: LiveHub) -> AsyncIterator[SocketClient]:
    """A client that may do everything."""
    async with welcomed(live.url, token()) as client:
        yield client


# Text that is no command.


async def test_text_that_is_no_object_is_a_strike(live: LiveHub) -> None:
    """It is answered with an error of id null; a handful of them ends the connection."""
    texts = [
        "",
        "nonsense",
        "{",
        '{"id":1',
        "[]",
        "1",
        "null",
        '"text"',
        '{"id":1} {}',
        "[" * 60_000,
    ]
    for text in texts:
        async with welcomed(live.url, token()) as client:
            for _ in range(4):
                await client.send(text)
                reply = await client.recv()
                assert reply["id"] is None
                assert reply["error"]["code"] == codes.BAD_REQUEST.number
                assert reply["error"]["retry"] is False
            assert await client.is_quiet()
            await client.send(text)
            assert (await client.closed())[0] == codes.BAD_REQUEST.number


async def test_an_id_that_is_no_number(client: SocketClient) -> None:
    """A command whose reply could not be told apart is refused, and is no strike."""
    for id in (
        "-1",
        "1.5",
        '"1"',
        "null",
        "true",
        "9007199254740992",
        "[]",
        "{}",
        '"\\ud83d\\ude00"',
    ):
        await client.send(f'{{"id":{id},"method":"ping"}}')
        reply = await client.recv()
        assert reply["id"] is None
        assert reply["error"]["code"] == codes.BAD_REQUEST.number
    assert await client.is_quiet()


async def test_an_unknown_method(client: SocketClient) -> None:
    """The reply says which methods there are."""
    for method in ("subscribed", "", "PING", None, 7, ["ping"], {"ping": 1}):
        await client.send(json.dumps({"id": 3, "method": method}))
        reply = await client.recv()
        assert reply["id"] == 3
        assert reply["error"]["code"] == codes.NOT_FOUND.number
        assert "subscribe" in reply["error"]["message"]
    assert await client.is_quiet()


BAD_PARAMS: list[tuple[str, Any]] = [
    ("subscribe", {}),
    ("subscribe", {"channel": 1}),
    ("subscribe", {"channel": "portfolio", "since": 3}),
    ("subscribe", {"channel": "portfolio", "since": {"epoch": "x", "seq": "1", "tag": ""}}),
    ("subscribe", {"channel": "portfolio", "interval_ms": -1}),
    ("subscribe", {"channel": "portfolio", "interval_ms": 60_001}),
    ("subscribe", []),
    ("subscribe", None),
    ("unsubscribe", {}),
    ("auth", {"token": 1}),
    ("publish", {"channel": "portfolio", "event": "e"}),
    ("publish", {"channel": "portfolio", "event": "an event", "data": 1}),
    ("publish", {"channel": "portfolio", "event": "e" * 65, "data": 1}),
    ("publish", {"channel": "portfolio", "event": "e", "data": 1, "n": -1}),
    ("publish", {"channel": "portfolio", "event": "e", "data": 1, "producer": "a b"}),
]


async def test_parameters_that_cannot_be(client: SocketClient, live: LiveHub) -> None:
    """The reply says what is wrong with them, and nothing else happens."""
    for method, params in BAD_PARAMS:
        await client.send(json.dumps({"id": 3, "method": method, "params": params}))
        reply = await client.recv()
        assert reply["id"] == 3
        assert reply["error"]["code"] == codes.BAD_REQUEST.number
    assert await client.is_quiet()
    assert not list(live.hub.registry)


async def test_a_bad_channel_name(client: SocketClient) -> None:
    """It is refused before anything is looked up under it."""
    names = ["", "Portfolio", "a b", "a:", ":a", "a::b", "a*", "*", "\u00fc", "a\n", "a/b", "{a}"]
    for channel in (*names, "a" * 256, "../a", "a\0"):
        for method in ("subscribe", "unsubscribe", "publish"):
            reply = await client.ask(method, channel=channel, event="e", data=1)
            assert reply["error"]["code"] == codes.BAD_REQUEST.number
            assert "expected a channel name" in reply["error"]["message"]


async def test_deep_nesting(client: SocketClient) -> None:
    """What is nested too deep to be looked at is refused, wherever it stands."""
    deep = "[" * 20_000 + "]" * 20_000
    for command in (
        '{"id":1,"method":"publish","params":{"channel":"portfolio","event":"e","data":%s}}',
        '{"id":1,"method":"subscribe","params":{"channel":%s}}',
        '{"id":1,"method":"ping","params":%s}',
        '{"id":1,"method":%s}',
    ):
        await client.send(command % deep)
        assert "error" in await client.recv()
    assert await client.is_quiet()


async def test_unknown_fields_are_ignored(client: SocketClient) -> None:
    """A newer client's additions do no harm."""
    await client.send('{"id":1,"method":"ping","params":{"new":[1]},"trace":{"a":"b"}}')
    assert await client.recv() == {"id": 1, "result": {}}


# Publishing.


async def test_money_that_is_no_number(client: SocketClient, broker: Broker) -> None:
    """A NaN as a string is refused too: wrong money must not reach a screen."""
    for data in ("NaN", {"equity": "Infinity"}, {"rows": [{"pnl": "-inf"}]}, ["nan"], "sNaN"):
        reply = await client.ask("publish", channel="portfolio", event="e", data=data)
        assert reply["error"]["code"] == codes.INVALID_DATA.number
    assert await broker.heads(["portfolio"]) == [None]


async def test_a_literal_that_json_has_not(client: SocketClient, broker: Broker) -> None:
    """A bare NaN is malformed JSON, whichever encoder wrote it."""
    for number in ("NaN", "Infinity", "-Infinity"):
        params = f'{{"channel":"portfolio","event":"e","data":{{"equity":{number}}}}}'
        await client.send(f'{{"id":1,"method":"publish","params":{params}}}')
        assert "error" in await client.recv()
    assert await broker.heads(["portfolio"]) == [None]


async def test_a_table_change_that_is_none(client: SocketClient, broker: Broker) -> None:
    """The reply says what a table expects, or which key is wrong."""
    changes: list[Any] = [
        [],
        1,
        {},
        {"rows": []},
        {"rows": {}, "upsert": {}},
        {"upsert": {"a": 1}, "delete": ["a"]},
        {"upsert": {"": 1}},
        {"delete": ["a" * 256]},
        {"delete": [1]},
        {"deleted": []},
    ]
    for data in changes:
        reply = await client.ask("publish", channel="positions", event="e", data=data)
        assert reply["error"]["code"] == codes.INVALID_DATA.number
    assert await broker.heads(["positions"]) == [None]


async def test_publish_answers_with_the_position(client: SocketClient, broker: Broker) -> None:
    """The reply of a publish says where it stands; an unchanged value where its equal does."""
    data = {"equity": "10.50"}
    first = await client.ask("publish", channel="portfolio", event="portfolio_update", data=data)
    [head] = await broker.heads(["portfolio"])
    assert head is not None
    assert first["result"] == {
        "channel": "portfolio",
        "epoch": head.epoch,
        "seq": 1,
        "tag": head.tag,
        "unchanged": False,
    }
    again = await client.ask("publish", channel="portfolio", event="portfolio_update", data=data)
    assert again["result"] == {**first["result"], "unchanged": True}


async def test_a_retried_publish_is_not_published_twice(
    client: SocketClient, broker: Broker
) -> None:
    """With the same producer and n a publish has the same answer, and is stored once."""
    params = {"channel": "decisions", "event": "e", "data": 1, "producer": "agent-1", "n": 7}
    seqs = [(await client.ask("publish", **params))["result"]["seq"] for _ in range(3)]
    assert seqs == [1, 1, 1]
    assert (await client.ask("publish", **{**params, "n": 8}))["result"]["seq"] == 2
    assert len((await broker.read("decisions", 0, 10)).entries) == 2


async def test_nobody_is_silenced_by_anothers_publish_id(
    live: LiveHub, client: SocketClient
) -> None:
    """The same producer and n under another subject are another publish."""
    params = {"channel": "decisions", "event": "e", "data": 1, "producer": "agent-1", "n": 7}
    assert (await client.ask("publish", **params))["result"]["seq"] == 1
    async with welcomed(live.url, token(subject="somebody else")) as other:
        assert (await other.ask("publish", **params))["result"]["seq"] == 2


async def test_publishes_of_one_client_stay_in_order(client: SocketClient) -> None:
    """What a client publishes without waiting is stored as it was sent."""
    await client.subscribe("decisions")
    for n in range(30):
        await client.command("publish", channel="decisions", event="e", data=n)
    heard: list[int] = []
    while len(heard) < 30:
        frame = await client.recv()
        if frame.get("type") == "update":
            heard.append(frame["data"])
    assert heard == list(range(30))


async def test_a_channel_keeps_its_kind(client: SocketClient, broker: Broker) -> None:
    """A channel takes what the kind of its first publish takes, whatever its stream's would be."""
    await store(broker, value(1, b'"up"', channel="unconfigured"))
    for data in ("up", "down"):
        await client.ask("publish", channel="unconfigured", event="e", data=data)
    reading = await broker.read("unconfigured", None, 10)
    assert (reading.kind, reading.value, len(reading.entries)) == (Kind.VALUE, b'"down"', 2)


async def test_unanswered_publishes_are_bounded(make_hub: MakeHub) -> None:
    """A client that publishes faster than the broker answers is told to wait."""
    broker = HeldBroker()
    live = await make_hub(broker)
    async with welcomed(live.url, token()) as client:
        broker.storing.clear()
        for n in range(65):
            await client.command("publish", channel="decisions", event="e", data=n)
        refused = await client.recv()
        assert refused["id"] == 65
        assert refused["error"]["code"] == codes.TOO_MANY.number
        broker.storing.set()
        assert [(await client.recv())["result"]["seq"] for _ in range(64)] == list(range(1, 65))


# Rights.


async def test_rights(make_hub: MakeHub) -> None:
    """A token reads and publishes what its patterns allow, and nothing else."""
    live = await make_hub()
    shown = token(read=["positions:*", "portfolio"], publish=["fills"])
    async with welcomed(live.url, shown) as client:
        for channel in ("positions:acct-7", "positions:desk:acct-7", "portfolio"):
            await client.subscribe(channel)
        for channel in ("positions", "portfolio:a", "decisions", "positionsx"):
            reply = await client.ask("subscribe", channel=channel)
            assert reply["error"]["code"] == codes.FORBIDDEN.number
        reply = await client.ask("publish", channel="fills", event="fill", data={})
        assert reply["result"]["seq"] == 1
        for channel in ("portfolio", "fills:a", "commands"):
            reply = await client.ask("publish", channel=channel, event="e", data=1)
            assert reply["error"]["code"] == codes.FORBIDDEN.number


async def test_a_token_without_rights_allows_nothing(make_hub: MakeHub) -> None:
    """Absent claims mean none."""
    live = await make_hub()
    async with welcomed(live.url, token(read=(), publish=())) as client:
        for reply in (
            await client.ask("subscribe", channel="portfolio"),
            await client.ask("publish", channel="portfolio", event="e", data=1),
        ):
            assert reply["error"]["code"] == codes.FORBIDDEN.number
    assert not list(live.hub.registry)
