"""hub/protocol/push: what a subscription may be, and the scripts that keep them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import redis

from hub.protocol import keys
from hub.protocol.errors import ProtocolError
from hub.protocol.push import (
    ADD,
    DROP,
    MAX_ENDPOINT,
    MAX_OF_SUBJECT,
    PushSubscription,
    add_call,
    check_auth,
    check_endpoint,
    check_id,
    check_point,
    check_service,
    drop_call,
    from_base64url,
    origin_of,
    read_subscription,
    subscription_id,
    to_base64url,
)
from tests.support.redis_server import RedisServer
from tests.support.valkey import Valkey

POINT = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"


def subscription(name: str = "one", **changes: Any) -> PushSubscription:
    """What a hub would keep of a browser."""
    usual: dict[str, Any] = {
        "endpoint": f"https://fcm.googleapis.com/fcm/send/{name}",
        "p256dh": POINT,
        "auth": AUTH,
        "channels": ("alerts",),
        "subject": "ann",
        "public_key": POINT,
        "created": 1.0,
    }
    return PushSubscription(**{**usual, **changes})


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://fcm.googleapis.com/fcm/send/abc:APA91b",
        "https://updates.push.services.mozilla.com/wpush/v2/gAAA",
        "https://web.push.apple.com/QGk",
        "https://wns2-db5p.notify.windows.com/w/?token=BQ%3d",
        "https://eu.push.example.com/x",
        "https://push.example.com./x",
        "http://127.0.0.1:8123/push/1",
    ],
)
def test_an_endpoint_at_a_push_service_is_taken(endpoint: str) -> None:
    """Those of the browsers' makers, and the operator's: hosts, and origins as they are."""
    assert check_endpoint(endpoint, ("push.example.com", "http://127.0.0.1:8123")) == endpoint


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "fcm.googleapis.com/x",
        "http://fcm.googleapis.com/x",
        "https://fcm.googleapis.com",
        "https://fcm.googleapis.com:6379/x",
        "https://ann:secret@fcm.googleapis.com/x",
        "https://fcm.googleapis.com@127.0.0.1/x",
        "https://fcm.googleapis.com\\@127.0.0.1/x",
        "https://fcm.googleapis.com#@127.0.0.1/x",
        "https://fcm.googleapis.com?/x",
        "https://fcm.googleapis.com/x#y",
        "https://fcm.googleapis.com/x y",
        "https://fcm.googleapis.com/x\r\nHost: other",
        "https://fcm.googleapis.com/é",
        "https://FCM.googleapis.com/x",
        "https://evilfcm.googleapis.com/x",
        "https://fcm.googleapis.com.evil.example/x",
        "https://fcm.googleapis.com../x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://2130706433/x",
        "https://localhost/x",
        "https://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:81230/push/1",
        "https://127.0.0.1:8123/push/1",
        "http://push.example.com/x",
        "gopher://push.example.com/x",
        f"https://fcm.googleapis.com/{'x' * MAX_ENDPOINT}",
    ],
)
def test_any_other_endpoint_is_refused(endpoint: str) -> None:
    """Nothing else can be reached through us: no other host, scheme or port, and no name that only
    looks like one of them."""
    with pytest.raises(ProtocolError, match=r"^endpoint: expected"):
        check_endpoint(endpoint, ("push.example.com", "http://127.0.0.1:8123"))


def test_a_service_is_a_host_or_an_origin() -> None:
    """One word is none: it would take whatever ends so."""
    for service in ("push.example.com", "https://push.example.com:8443", "http://[::1]:80"):
        assert check_service(service) == service
    for service in ("", "com", ".com", "push.example.com/x", "ftp://push.example.com", "*.a.b"):
        with pytest.raises(ValueError, match=r"expected 'push\.example\.com' or"):
            check_service(service)


def test_the_origin_of_an_endpoint() -> None:
    """What a signature is made for."""
    assert origin_of("https://web.push.apple.com/QGk?x") == "https://web.push.apple.com"
    assert origin_of("http://127.0.0.1:8123/x") == "http://127.0.0.1:8123"


def test_a_key_is_a_point_of_the_curve() -> None:
    """Not one beside it, of another length or form, or beyond the field."""
    assert check_point(POINT) == POINT
    point = from_base64url(POINT)
    for wrong, said in (
        (b"", "65 bytes that begin with 4, got 0"),
        (b"\2" + point[1:33], "65 bytes that begin with 4, got 33"),
        (b"\5" + point[1:], "65 bytes"),
        (point[:-1] + b"\x0f", "not on its curve"),
        (b"\4" + b"\xff" * 64, "not on its curve"),
        (b"\4" + bytes(64), "not on its curve"),
    ):
        with pytest.raises(ValueError, match=said):
            check_point(to_base64url(wrong))


def test_a_secret_has_16_bytes() -> None:
    """As RFC 8291 has it."""
    assert check_auth(AUTH) == AUTH
    with pytest.raises(ValueError, match="16 bytes, got 15"):
        check_auth("A" * 20)


def test_base64url() -> None:
    """Both ways, whatever the length; neither padded nor of the other alphabet."""
    for size in range(5):
        assert from_base64url(to_base64url(b"\xff" * size)) == b"\xff" * size
    for wrong in ("ab==", "a/b", "a+b", "a\n", "\N{PILE OF POO}"):
        with pytest.raises(ValueError, match="expected base64url without padding"):
            from_base64url(wrong)
    with pytest.raises(ValueError, match="a length that it cannot have"):
        from_base64url("A")


def test_an_id_tells_no_endpoint() -> None:
    """It is a digest."""
    id = subscription().id
    assert check_id(id) == id == subscription_id(subscription().endpoint)
    for wrong in ("", id[1:], id.upper(), f"{id}0"):
        with pytest.raises(ProtocolError, match="expected the id of a subscription"):
            check_id(wrong)


def test_a_subscription_lasts_as_long_as_its_token() -> None:
    """One of an API key has no end of its own."""
    assert subscription(expires=10.0).lasts(9.9)
    assert not subscription(expires=10.0).lasts(10.0)
    assert subscription().lasts(1e12)


def test_what_is_no_subscription_is_none() -> None:
    """What was written by hand does not stop whoever reads."""
    content = msgspec.json.encode(subscription())
    assert read_subscription(content) == subscription()
    for wrong in (b"", b"\xff", b"[]", b'{"endpoint":1}'):
        assert read_subscription(wrong) is None


class Kept:
    """The hash, and the scripts on it."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def add(self, subscription: PushSubscription, now: float = 0.0, most: int = 1000) -> bytes:
        """Add one; what the script answers."""
        call = add_call(subscription, now, most=most)
        answer: Any = self.client.eval(ADD, len(call.keys), *call.keys, *call.args)
        assert isinstance(answer, bytes)
        return answer

    def drop(self, id: str, content: bytes) -> bool:
        """Drop one, as it was read."""
        call = drop_call(id, content)
        return bool(self.client.eval(DROP, len(call.keys), *call.keys, *call.args))

    def all(self) -> dict[str, PushSubscription | None]:
        """What is kept."""
        flat: Any = self.client.hgetall(keys.PUSH_SUBSCRIPTIONS)
        return {id.decode(): read_subscription(content) for id, content in flat.items()}


@pytest.fixture(scope="module", params=[Valkey, RedisServer])
def server(request: pytest.FixtureRequest) -> Iterator[Valkey]:
    """Either server."""
    with request.param() as server:
        yield server


@pytest.fixture
def kept(server: Valkey) -> Iterator[Kept]:
    """An empty hash."""
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
        yield Kept(client)


def test_the_same_endpoint_is_one_subscription(kept: Kept) -> None:
    """The newest counts, whoever is logged in in that browser."""
    kept.add(subscription(subject="ann"))
    kept.add(subscription(subject="bob \N{SNOWMAN}", created=2.0))
    assert [each and each.subject for each in kept.all().values()] == ["bob \N{SNOWMAN}"]


def test_a_subjects_oldest_gives_way(kept: Kept) -> None:
    """A browser that lost its subscription leaves one behind: they don't add up. Nobody else's
    goes for it."""
    other = subscription("other", subject="bob", created=0.0)
    kept.add(other)
    for n in range(MAX_OF_SUBJECT + 2):
        kept.add(subscription(f"b{n}", created=n // 2))
    own = {subscription(f"b{n}").id for n in range(MAX_OF_SUBJECT + 2)}
    oldest = {subscription("b0").id, subscription("b1").id}
    assert set(kept.all()) == {other.id, *own} - oldest


def test_nobody_is_taken_for_another(kept: Kept) -> None:
    """Whatever a name or an endpoint is made to look like."""
    likeness = '"subject":"ann",'
    others = [
        subscription("a", subject="anna"),
        subscription("b", subject=likeness),
        subscription(f"c{likeness}", subject='ann"', channels=(likeness,)),
        subscription('d"created":9,"expires":1', subject="bob", created=0.5),
    ]
    for each in others:
        kept.add(each)
    for n in range(MAX_OF_SUBJECT + 1):
        kept.add(subscription(f"b{n}", created=9.0 + n), now=5.0)
    assert {each.id for each in others} <= set(kept.all())
    assert len(kept.all()) == len(others) + MAX_OF_SUBJECT


def test_where_all_places_are_taken_none_is_added(kept: Kept) -> None:
    """But one that is renewed; and one that has ended, or is none, gives its place up."""
    ending = subscription("ending", subject="s0", expires=10.0)
    for each in (ending, subscription("other", subject="s1")):
        assert kept.add(each, 1.0, most=2) == b"added"
    another = subscription("another", subject="s2")
    assert kept.add(another, 9.0, most=2) == b"full"
    assert kept.add(ending, 9.0, most=2) == b"added"
    assert another.id not in kept.all()
    assert kept.add(another, 10.0, most=2) == b"added"
    assert ending.id not in kept.all()
    kept.client.hset(keys.PUSH_SUBSCRIPTIONS, another.id, "no JSON")
    kept.client.hset(keys.PUSH_SUBSCRIPTIONS, "x", "7")
    assert kept.add(ending, 9.0, most=2) == b"added"
    assert set(kept.all()) == {ending.id, subscription("other").id}


def test_what_was_made_anew_is_not_dropped(kept: Kept) -> None:
    """Who decided to drop had read an older one."""
    old, new = subscription(created=1.0), subscription(created=2.0)
    kept.add(new)
    assert not kept.drop(old.id, msgspec.json.encode(old))
    assert kept.drop(new.id, msgspec.json.encode(new))
    assert not kept.drop(new.id, msgspec.json.encode(new))
    assert kept.all() == {}
