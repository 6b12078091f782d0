"""hub/server/push: subscribing a browser to alerts, over HTTP, kept in a real Valkey."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from redis.asyncio import Redis

from hub.broker.memory import MemoryBroker
from hub.protocol import codes, keys
from hub.protocol.push import MAX_CHANNELS, PushSubscription, read_subscription
from hub.server import pushing
from hub.server.keys import add_key, mint_key, revoke_key
from hub.server.push import BODY_BYTES
from hub.server.routes import CONTENT_SECURITY_POLICY, POLICY_WITH_PUSH
from tests.protocol.test_push import AUTH, POINT
from tests.server.test_rest import error_of
from tests.support.brokers import eventually
from tests.support.livehub import SECRET, LiveHub, token
from tests.support.valkey import Valkey

PUSH = "/api/v1/push"
SUBSCRIPTIONS = f"{PUSH}/subscriptions"
BROWSER: dict[str, Any] = {
    "endpoint": "https://fcm.googleapis.com/fcm/send/one",
    "expirationTime": None,
    "keys": {"p256dh": POINT, "auth": AUTH},
}


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    """The hub's file of API keys."""
    return tmp_path / "keys.json"


@pytest.fixture
async def live(valkey: Valkey, keys_file: Path) -> AsyncIterator[LiveHub]:
    """A hub with a public key."""
    settings = {"redis_url": valkey.url, "push_public_key": POINT, "keys_file": str(keys_file)}
    async with LiveHub(**settings) as live:
        yield live


@pytest.fixture
async def http(live: LiveHub) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who asks it."""
    async with httpx.AsyncClient(base_url=live.url) as http:
        yield http


@pytest.fixture
async def redis(valkey: Valkey) -> AsyncIterator[Redis]:
    """What the hub keeps."""
    async with Redis.from_url(valkey.url) as redis:
        yield redis


def bearing(shown: str) -> dict[str, str]:
    """The header of a program."""
    return {"Authorization": f"Bearer {shown}"}


ANN = bearing(token(subject="ann", ttl_seconds=86_400))


async def all_kept(redis: Redis) -> list[PushSubscription]:
    """Every subscription."""
    reading: Any = redis.hgetall(keys.PUSH_SUBSCRIPTIONS)
    found = [read_subscription(content) for content in (await reading).values()]
    return [kept for kept in found if kept is not None]


async def test_whether_a_browser_can_subscribe(http: httpx.AsyncClient) -> None:
    """The hub says so, and with which key, to whoever may ask it anything."""
    response = await http.get(PUSH, headers=ANN)
    assert response.json() == {"on": True, "public_key": POINT}
    error_of(await http.get(PUSH), 401, codes.UNAUTHORIZED)


async def test_a_subscription_is_kept_until_its_token_ends(
    http: httpx.AsyncClient, redis: Redis
) -> None:
    """What the browser gave, with whose it is and until when; posted again it is renewed."""
    began = time.time()
    shown = token(subject="ann")
    response = await http.post(SUBSCRIPTIONS, json=BROWSER, headers=bearing(shown))
    answer = response.json()
    assert response.status_code == 201
    assert answer["channels"] == ["alerts"]
    [kept] = await all_kept(redis)
    assert kept == PushSubscription(
        endpoint=BROWSER["endpoint"],
        p256dh=POINT,
        auth=AUTH,
        channels=("alerts",),
        subject="ann",
        public_key=POINT,
        created=kept.created,
        expires=answer["expires"],
    )
    assert kept.id == answer["id"]
    assert began <= kept.created <= time.time()
    assert kept.expires == jwt.decode(shown, SECRET, ["HS256"])["exp"]
    bob = bearing(token(subject="bob", ttl_seconds=60))
    again = {**BROWSER, "channels": ["alerts", "alerts:acct-7"], "public_key": POINT}
    response = await http.post(SUBSCRIPTIONS, json=again, headers=bob)
    assert response.json()["id"] == kept.id
    [kept] = await all_kept(redis)
    assert (kept.subject, kept.channels) == ("bob", ("alerts", "alerts:acct-7"))


async def test_a_page_subscribes_by_its_cookie(
    http: httpx.AsyncClient, live: LiveHub, redis: Redis
) -> None:
    """From a page of the hub alone, as for anything else that changes something."""
    headers = {"Origin": live.url}
    shown = token(subject="ann")
    await http.post("/api/v1/session", json={"token": shown}, headers=headers)
    error_of(await http.post(SUBSCRIPTIONS, json=BROWSER), 403, codes.FORBIDDEN)
    strange = {"Origin": "https://elsewhere.example"}
    response = await http.post(SUBSCRIPTIONS, json=BROWSER, headers=strange)
    error_of(response, 403, codes.FORBIDDEN)
    assert await all_kept(redis) == []
    response = await http.post(SUBSCRIPTIONS, json=BROWSER, headers=headers)
    assert response.status_code == 201
    path = f"{SUBSCRIPTIONS}/{response.json()['id']}"
    error_of(await http.delete(path), 403, codes.FORBIDDEN)
    assert (await http.delete(path, headers=headers)).status_code == 204
    assert await all_kept(redis) == []


@pytest.mark.parametrize("read", [(), ("portfolio",), ("alerts:*",)])
async def test_who_may_not_read_alerts_is_refused(
    http: httpx.AsyncClient, redis: Redis, read: tuple[str, ...]
) -> None:
    """Whatever else the token allows."""
    headers = bearing(token(read=read))
    response = await http.post(SUBSCRIPTIONS, json=BROWSER, headers=headers)
    said = error_of(response, 403, codes.FORBIDDEN)
    assert said == "the token does not allow reading alerts"
    assert await all_kept(redis) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"endpoint": "https://10.0.0.1/x"}, "endpoint: expected a known push service"),
        ({"endpoint": "http://fcm.googleapis.com/x"}, "endpoint: expected https://HOST/..."),
        ({"endpoint": None}, "$.endpoint"),
        ({"keys": {"p256dh": POINT}}, "auth"),
        ({"keys": {"p256dh": "AAAA", "auth": AUTH}}, "keys: expected a public key of 65 bytes"),
        ({"keys": {"p256dh": POINT, "auth": "AAAA"}}, "keys: expected a secret of 16 bytes"),
        ({"channels": []}, "$.channels"),
        ({"channels": ["alerts"] * (MAX_CHANNELS + 1)}, "$.channels"),
        ({"channels": ["portfolio"]}, "expected channels of alerts, got 'portfolio'"),
        ({"channels": ["Alerts"]}, "expected a channel name"),
        ({"public_key": "other"}, "public_key: the hub has another one now"),
    ],
)
async def test_what_is_no_subscription_is_refused(
    http: httpx.AsyncClient, redis: Redis, change: dict[str, Any], said: str
) -> None:
    """The answer says what was expected; nothing is kept."""
    response = await http.post(SUBSCRIPTIONS, json={**BROWSER, **change}, headers=ANN)
    assert said in error_of(response, 400, codes.BAD_REQUEST)
    assert await all_kept(redis) == []


async def test_a_body_that_is_no_json_or_too_large(http: httpx.AsyncClient) -> None:
    """Either is refused before anything is made of it."""
    response = await http.post(SUBSCRIPTIONS, content=b"{", headers=ANN)
    assert "expected a browser's" in error_of(response, 400, codes.BAD_REQUEST)
    response = await http.post(SUBSCRIPTIONS, content=b"x" * (BODY_BYTES + 1), headers=ANN)
    error_of(response, 413, codes.TOO_LARGE)


async def test_only_its_subject_drops_a_subscription(http: httpx.AsyncClient, redis: Redis) -> None:
    """To anybody else it is not there."""
    response = await http.post(SUBSCRIPTIONS, json=BROWSER, headers=ANN)
    path = f"{SUBSCRIPTIONS}/{response.json()['id']}"
    bob = bearing(token(subject="bob"))
    error_of(await http.delete(path, headers=bob), 404, codes.NOT_FOUND)
    assert len(await all_kept(redis)) == 1
    assert (await http.delete(path, headers=ANN)).status_code == 204
    error_of(await http.delete(path, headers=ANN), 404, codes.NOT_FOUND)
    response = await http.delete(f"{SUBSCRIPTIONS}/x", headers=ANN)
    error_of(response, 400, codes.BAD_REQUEST)


async def test_a_revoked_keys_subscription_ends(
    http: httpx.AsyncClient, keys_file: Path, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though nobody asks: the hub looks through them. Others stay."""
    monkeypatch.setattr(pushing, "SWEEP_SECONDS", 0.01)
    shown, key = mint_key("wall", ("alerts",), (), now=0)
    add_key(keys_file, key)
    response = await http.post(SUBSCRIPTIONS, json=BROWSER, headers=bearing(shown))
    assert response.json()["expires"] is None
    other = {**BROWSER, "endpoint": f"{BROWSER['endpoint']}-other"}
    await http.post(SUBSCRIPTIONS, json=other, headers=ANN)
    [kept] = [each for each in await all_kept(redis) if each.key_id]
    assert (kept.key_id, kept.expires) == (key.id, None)
    revoke_key(keys_file, key.id)
    await _until(redis, lambda found: [each.subject for each in found] == ["ann"])


async def test_what_has_ended_is_taken_away(
    valkey: Valkey, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while Redis was away in between, which no task dies of."""
    monkeypatch.setattr(pushing, "SWEEP_SECONDS", 0.01)
    async with (
        LiveHub(redis_url=valkey.url, push_public_key=POINT) as live,
        httpx.AsyncClient(base_url=live.url) as http,
    ):
        valkey.kill()
        valkey.start()
        headers = bearing(token(ttl_seconds=2))
        await eventually(lambda: live.hub.broker.delivering, "the broker is back")
        assert (await http.post(SUBSCRIPTIONS, json=BROWSER, headers=headers)).status_code == 201
        await _until(redis, lambda found: found == [])
        assert live.hub.tasks.failed == []


async def test_where_there_is_no_place(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, live: LiveHub
) -> None:
    """The hub says how many there are."""
    store = live.hub.pushing.require_store()
    add = store.add

    async def add_to_few(subscription: PushSubscription, now: float) -> None:
        await add(subscription, now, most=1)

    monkeypatch.setattr(store, "add", add_to_few)
    await http.post(SUBSCRIPTIONS, json=BROWSER, headers=ANN)
    other = {**BROWSER, "endpoint": f"{BROWSER['endpoint']}-other"}
    bob = bearing(token(subject="bob"))
    response = await http.post(SUBSCRIPTIONS, json=other, headers=bob)
    said = error_of(response, 429, codes.TOO_MANY)
    assert said.startswith("1 browsers are subscribed")


@pytest.mark.parametrize("has_key", [False, True])
async def test_a_hub_that_offers_no_web_push_says_so(has_key: bool) -> None:
    """For want of a key, or of a Redis that producers could read."""
    settings = {"push_public_key": POINT} if has_key else {}
    async with (
        LiveHub(MemoryBroker(), **settings) as live,
        httpx.AsyncClient(base_url=live.url) as http,
    ):
        assert (await http.get(PUSH, headers=ANN)).json() == {"on": False, "public_key": None}
        for response in (
            await http.post(SUBSCRIPTIONS, json=BROWSER, headers=ANN),
            await http.delete(f"{SUBSCRIPTIONS}/{'0' * 32}", headers=ANN),
        ):
            said = error_of(response, 404, codes.NOT_FOUND)
            assert ("in its memory" if has_key else "TAPECAST_PUSH_PUBLIC_KEY") in said


async def test_the_page_may_have_one_worker(http: httpx.AsyncClient) -> None:
    """With Web Push its policy lets the page name a service worker, through one trusted type;
    without it there is none."""
    policy = (await http.get("/page/")).headers["Content-Security-Policy"]
    assert policy == POLICY_WITH_PUSH != CONTENT_SECURITY_POLICY
    assert policy.endswith("; trusted-types tapecast-push")


async def _until(redis: Redis, holds: Callable[[list[PushSubscription]], bool]) -> None:
    while not holds(await all_kept(redis)):
        pass
