"""What a hub asks of Redis's pub/sub: one link, and the channels that its clients want."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest
import redis

from hub.protocol import keys
from tests.server.conftest import MakeHub
from tests.support.brokers import eventually, store
from tests.support.livehub import OWN, Adapter, token
from tests.support.publications import entry
from tests.support.socket_client import welcomed
from tests.support.valkey import Valkey

CHANNELS = [f"decisions:acct-{number}" for number in range(1000)]
CLIENTS = 20


@pytest.fixture(params=[OWN], ids=lambda adapter: adapter.name)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    """Feeds know nothing of adapters."""
    found: Adapter = request.param
    return found


def followed(valkey: Valkey) -> set[str]:
    """The channels that somebody is subscribed to; a hub's probe of its link is none."""
    with redis.Redis.from_url(valkey.url) as client:
        names: Any = client.pubsub_channels(keys.pubsub("*"))
        return {keys.channel_of_pubsub(name) for name in names}


def links(valkey: Valkey) -> list[int]:
    """The pub/sub links to Redis, each by the number of its subscriptions."""
    with redis.Redis.from_url(valkey.url) as client:
        found: Any = client.client_list(_type="pubsub")
        return [int(link["sub"]) for link in found]


async def test_a_thousand_channels_share_one_link(make_hub: MakeHub, valkey: Valkey) -> None:
    """However many channels and clients, the hub has one pub/sub link, with each channel once; an
    entry of every channel arrives over it."""
    live = await make_hub(redis_url=valkey.url)
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(welcomed(live.url, token())) for _ in range(CLIENTS)
        ]
        for number, channel in enumerate(CHANNELS):
            await clients[number % CLIENTS].subscribe(channel)
        # Every channel has one more subscriber, whom Redis does not hear of.
        for number, channel in enumerate(CHANNELS):
            await clients[(number + 1) % CLIENTS].subscribe(channel)
        assert followed(valkey) == set(CHANNELS)
        [subscriptions] = links(valkey)
        # The hub's probe of its own link is one more.
        assert subscriptions == len(CHANNELS) + 1
        for at in range(0, len(CHANNELS), 100):
            entries = [entry(1, b"1", channel=channel) for channel in CHANNELS[at : at + 100]]
            await store(live.hub.broker, *entries)
        for number, client in enumerate(clients):
            heard = {(await client.recv())["channel"] for _ in range(2 * len(CHANNELS) // CLIENTS)}
            wanted = {number, (number - 1) % CLIENTS}
            assert heard == {name for n, name in enumerate(CHANNELS) if n % CLIENTS in wanted}


async def test_a_hub_follows_what_its_clients_want(make_hub: MakeHub, valkey: Valkey) -> None:
    """A hub that nobody asked follows no channel, whatever is published; it follows a channel from
    its first subscriber on, and lets go of it a while after the last has left."""
    live = await make_hub(redis_url=valkey.url, feed_linger_seconds=0.1)
    await store(live.hub.broker, *(entry(1, b"1", channel=channel) for channel in CHANNELS[:20]))
    assert followed(valkey) == set()
    async with welcomed(live.url, token()) as staying:
        async with welcomed(live.url, token()) as leaving:
            for channel in CHANNELS[:10]:
                await leaving.subscribe(channel)
            await staying.subscribe(CHANNELS[0])
            assert followed(valkey) == set(CHANNELS[:10])
            await leaving.ask("unsubscribe", channel=CHANNELS[9])
            await eventually(
                lambda: followed(valkey) == set(CHANNELS[:9]), "the channel was let go"
            )
        await eventually(lambda: followed(valkey) == {CHANNELS[0]}, "the others were let go")
        await store(live.hub.broker, entry(2, b"2", channel=CHANNELS[0]))
        assert (await staying.recv())["seq"] == 2
    await eventually(lambda: followed(valkey) == set(), "the last one was let go")
