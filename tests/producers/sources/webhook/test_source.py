"""producers/sources/webhook: posts to a real server, and what stands in Redis then."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import logging
import socket
import time
import urllib.parse
from collections.abc import AsyncIterator
from typing import Any

import click
import httpx
import pytest

from hub.protocol.position import Position
from hub.protocol.publication import Receipt
from hub.protocol.streams import KNOWN
from producers.answers import Answer as Published
from producers.answers import Outcome
from producers.errors import BufferFull
from producers.events import Health
from producers.link import Timing
from producers.publisher import Publisher
from producers.sources.base import State
from producers.sources.webhook import WebhookSource, server
from producers.sources.webhook.rules import read_hooks
from producers.sources.webhook.server import Answer, Post
from producers.sources.webhook.signing import read_keys
from producers.sources.webhook.source import MAX_WAITING
from producers.worker import Worker
from tests.producers.redis_view import envelopes, eventually, history, meta
from tests.support.valkey import Valkey

SECRET = "the-secret-of-the-hooks"
DECISION = {"asset_pair": "BTCUSD", "action": "BUY", "entry_price": "1.10"}
HOOKS: dict[str, Any] = {
    "signed": {"rules": [{"to": "decision", "when": {"kind": "decision"}}, {"to": "alert"}]},
    "shared": {
        "auth": "shared",
        "rules": [
            {"channel": "status", "event": "status", "when": {"kind": "status"},
             "lease_seconds": 7},
            {"to": "decision", "when": {"kind": "decision"}},
            {"to": "alert", "when": {"kind": "alert"}},
        ],
    },
}  # fmt: skip


class Desk:
    """A worker with a webhook source, and somebody who posts to it."""

    def __init__(self, source: WebhookSource, http: httpx.AsyncClient) -> None:
        self.source = source
        self.http = http

    async def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        """Post a body as it is where it is bytes, as JSON otherwise."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post(f"/hooks/{path}", content=content, headers=named)

    async def signed(
        self, body: object, *, id: str = "m-1", age: float = 0, secret: str = SECRET
    ) -> httpx.Response:
        """Post a body as somebody who knows the secret."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        stamp = str(int(time.time() - age))
        mac = hmac.new(secret.encode(), f"{id}.{stamp}.".encode() + content, hashlib.sha256)
        headers = {
            "webhook-id": id,
            "webhook-timestamp": stamp,
            "webhook-signature": f"v1,{base64.b64encode(mac.digest()).decode()}",
        }
        return await self.http.post("/hooks/signed", content=content, headers=headers)


def made(**options: Any) -> WebhookSource:
    """A source with the hooks of these tests."""
    keys = {name: read_keys(SECRET) for name in HOOKS}
    return WebhookSource(read_hooks(HOOKS), keys, **{"port": 0, **options})


def stored(seq: int) -> Published:
    """What is answered to a publish that Redis took."""
    return Published(Outcome.STORED, Receipt(Position("e", seq, "t")))


@contextlib.asynccontextmanager
async def desk(
    valkey: Valkey, *, source: WebhookSource | None = None, **options: Any
) -> AsyncIterator[Desk]:
    """A worker that takes posts, and is stopped at the end."""
    source = source or made(**options)
    timing = Timing(connect_seconds=0.2, answer_seconds=0.2, longest_pause_seconds=0.1)
    async with Publisher(valkey.url, timing=timing) as publisher:
        worker = Worker(source, publisher, first_pause=0.01)
        task = asyncio.create_task(worker.run())
        await eventually(lambda: source.address is not None, "a server that listens")
        assert source.address is not None
        host, port = source.address
        try:
            async with httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=20) as http:
                yield Desk(source, http)
        finally:
            worker.stop()
            async with asyncio.timeout(20):
                await task


def titles(valkey: Valkey) -> list[str]:
    return [data["title"] for _event, data in history(valkey, "alerts")]


async def test_a_signed_post_is_stored_and_answered_with_its_position(valkey: Valkey) -> None:
    """What 200 says is in Redis."""
    async with desk(valkey) as each:
        answer = await each.signed({**DECISION, "kind": "decision"})
        assert answer.status_code == 200
        [envelope] = envelopes(valkey, "decisions")
        at = envelope.position
        where = {"epoch": at.epoch, "seq": at.seq, "tag": at.tag}
        assert answer.json() == {"status": "stored", **where, "unchanged": False}
        assert (await each.signed({"title": "t"}, id="m-2")).status_code == 200
    [(event, data)] = history(valkey, "decisions")
    assert (event, data["entry_price"], data["id"]) == ("decision_made", "1.10", "signed:m-1")
    assert titles(valkey) == ["t"]


async def test_a_post_that_comes_twice_is_one(valkey: Valkey) -> None:
    """By its id, also in flight and after a restart, whatever its body says the second time."""
    async with desk(valkey) as each:
        first, second = await asyncio.gather(*(each.signed({"title": "t"}) for _ in range(2)))
        third = await each.signed({"title": "another"})
    assert first.json() == second.json() == third.json()
    async with desk(valkey) as each:
        again = await each.signed({"title": "t"})
    assert again.json()["unchanged"]
    assert titles(valkey) == ["t"]


async def test_whoever_does_not_know_the_secret(valkey: Valkey) -> None:
    """Nothing is published, and nothing told; a recorded post is of no use later."""
    async with desk(valkey) as each:
        for answer in (
            await each.post("signed", {"title": "t"}),
            await each.signed({"title": "t"}, secret="another-secret-of-16"),
            await each.signed({"title": "t"}, age=400),
            await each.signed({"title": "t"}, age=-400),
            await each.post("signed/" + SECRET, {"title": "t", "secret": SECRET}),
            await each.post("shared", {"kind": "alert", "title": "t"}),
            await each.post("shared", b"text"),
            await each.post("shared", b'{"broken'),
            await each.post("shared/another-secret-of-16", {"kind": "alert", "title": "t"}),
            await each.post("shared", {"kind": "alert", "title": "t", "secret": "wrong"}),
        ):
            assert answer.status_code == 401, answer.text
            assert SECRET not in answer.text
        assert (await each.post("none", {})).status_code == 404
        assert (await each.http.get("/hooks/signed")).status_code == 405
        assert (await each.http.get("/")).status_code == 404
    assert envelopes(valkey, "alerts") == []


async def test_tradingview(valkey: Valkey) -> None:
    """JSON with the secret in it or in the path, and text; the secret is never published."""
    alert = {"kind": "alert", "title": "RSI", "secret": SECRET}
    status = {"kind": "status", "up": True, "secret": SECRET}
    async with desk(valkey) as each:
        assert (await each.post("shared", alert, content_type="text/plain")).status_code == 200
        decision = {**DECISION, "kind": "decision"}
        assert (await each.post(f"shared/{SECRET}", decision)).status_code == 200
        assert (await each.post("shared", status)).status_code == 200
        ignored = await each.post(f"shared/{SECRET}", b"some text")
        assert (ignored.status_code, ignored.json()["status"]) == (200, "ignored")
    assert titles(valkey) == ["RSI"]
    assert len(envelopes(valkey, "decisions")) == 1
    assert history(valkey, "status") == [("status", {"kind": "status", "up": True})]
    assert meta(valkey, "status")["lease"] == "7000"


async def test_a_secret_in_both_places(valkey: Valkey) -> None:
    """The one in the body is taken out too, and was published."""
    async with desk(valkey) as each:
        status = {"kind": "status", "up": True, "secret": SECRET}
        assert (await each.post(f"shared/{SECRET}", status)).status_code == 200
        assert (await each.post(f"shared/{SECRET}", b'{"broken')).status_code == 422
    assert history(valkey, "status") == [("status", {"kind": "status", "up": True})]


async def test_secrets_of_any_text(valkey: Valkey) -> None:
    """A shared one is what it says: with slashes, as base64 has, or with a prefix that signing
    keys have. These were refused."""
    secrets = ("a/secret+of/base64/bytes==", "whsec_c2VjcmV0LXRoYXQtaXMtYmFzZTY0")
    keys = {name: read_keys(" ".join(secrets), signs=False) for name in HOOKS}
    source = WebhookSource(read_hooks(HOOKS), keys, port=0)
    async with desk(valkey, source=source) as each:
        for secret in secrets:
            quoted = urllib.parse.quote(secret, safe="")
            for path in (secret, quoted):
                alert = {"kind": "alert", "title": path}
                assert (await each.post(f"shared/{path}", alert)).status_code == 200
            assert (await each.post("shared", {"secret": secret})).status_code == 200
            assert (await each.post(f"shared/{secret}/", {})).status_code == 401
        assert (await each.post("shared/", {"kind": "alert"})).status_code == 401
    assert len(titles(valkey)) == 3


async def test_equal_alerts_are_one_for_a_while(valkey: Valkey) -> None:
    """A retry is the same alert; the same words later are another, and ids tell them apart."""
    clock = [1_000_000.0]
    alert = {"kind": "alert", "title": "crossed", "secret": SECRET}
    async with desk(valkey, now=lambda: clock[0]) as each:
        for seconds in (0, 30, 59.9, 60.1):
            clock[0] = 1_000_000.0 + seconds
            assert (await each.post("shared", alert)).status_code == 200
        assert titles(valkey) == ["crossed"] * 2
        for key in ("a", "b", "a"):
            assert (await each.post("shared", alert, idempotency_key=key)).status_code == 200
    assert titles(valkey) == ["crossed"] * 4


async def test_what_can_not_be_published(valkey: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    """422 says why; a post that was refused is not taken for done when it comes again."""
    async with Publisher(valkey.url, streams={"alerts": KNOWN["status"]}) as publisher:
        await publisher.publish("alerts", "e", 1)
    async with desk(valkey) as each:
        bad = await each.signed({"kind": "decision"}, id="m-1")
        assert bad.status_code == 422
        assert "asset_pair" in bad.json()["error"]
        for _ in range(2):
            refused = await each.signed({"title": "t"}, id="m-2")
            assert (refused.status_code, "kind" in refused.text) == (422, True), refused.text
        await eventually(
            lambda: "publish" in history(valkey, "health:webhook")[-1][1]["components"], "health"
        )
    assert "signed: a post was refused: asset_pair" in " ".join(caplog.messages)


async def test_bodies_are_bounded(valkey: Valkey) -> None:
    """One that is too large is refused, whether it says so beforehand or not."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(8):
            yield b"x" * 512

    async with desk(valkey, body_bytes=2048) as each:
        assert (await each.post(f"shared/{SECRET}", b"x" * 2049)).status_code == 413
        answer = await each.http.post(f"/hooks/shared/{SECRET}", content=pieces())
        assert answer.status_code == 413
        assert (await each.post(f"shared/{SECRET}", b"x" * 2048)).status_code == 200


async def test_a_post_that_breaks_off(valkey: Valkey) -> None:
    """Half a body is not taken for a whole one, and others are served."""
    async with desk(valkey) as each:
        assert each.source.address is not None
        _reader, writer = await asyncio.open_connection(*each.source.address)
        head = f"POST /hooks/shared/{SECRET} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n"
        writer.write(head.encode() + b'{"kind": "alert", "title": "half"}')
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        whole = {"kind": "alert", "title": "whole"}
        assert (await each.post(f"shared/{SECRET}", whole)).status_code == 200
    assert titles(valkey) == ["whole"]


async def test_connections_that_say_nothing(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are closed, a head that comes by drops too; before, they kept everybody else out."""
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.1)
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 3)
    async with desk(valkey) as each, asyncio.timeout(20):
        assert each.source.address is not None
        links = [await asyncio.open_connection(*each.source.address) for _ in range(3)]
        half = b"POST /hooks/shared HTTP/1.1\r\nhost: "
        links[0][1].write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" + half)
        links[1][1].write(half)
        for reader, writer in links:
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()
        for _ in range(2):
            answer = await each.post(f"shared/{SECRET}", {"kind": "alert", "title": "t"})
            assert answer.status_code == 200
    assert titles(valkey) == ["t"]


async def test_an_outage(valkey: Valkey) -> None:
    """What is buffered is said to be, answered the same when it comes again, and published."""
    async with desk(valkey, answer_seconds=0.05) as each:
        await each.signed({"title": "before"}, id="m-0")
        await eventually(lambda: titles(valkey) == ["before"], "one before")
        valkey.freeze()
        for n in (1, 2, 1):
            answer = await each.signed({"title": f"t{n}"}, id=f"m-{n}")
            assert (answer.status_code, answer.json()) == (202, {"status": "buffered"})
        valkey.thaw()
        await eventually(lambda: len(titles(valkey)) == 3, "the buffered ones")
        async with asyncio.timeout(20):
            while (await each.signed({"title": "t1"}, id="m-1")).json()["status"] != "stored":
                pass
    assert titles(valkey) == ["before", "t1", "t2"]


def posted(n: int) -> Post:
    """The alert `n`, as the server hands it over."""
    body = json.dumps({"kind": "alert", "title": f"t{n}"}).encode()
    return Post("shared", SECRET, {"idempotency-key": str(n)}, body)


async def test_what_there_is_no_room_for() -> None:
    """503, so that its sender tries again, and then it is taken."""
    source = made()
    follow = source.follow()
    await anext(follow)
    for result, status in ((BufferFull("alerts", "full"), 503), (stored(1), 200)):
        answering = asyncio.create_task(source.take(posted(1)))
        [reading] = await anext(follow)
        source.told(reading, result)
        assert (await answering).status == status
    await follow.aclose()


async def test_what_waits_is_bounded() -> None:
    """503 beyond it, as long as nobody publishes what is there."""
    source = made(answer_seconds=0.001)
    follow = source.follow()
    await anext(follow)
    statuses = [(await source.take(posted(n))).status for n in range(MAX_WAITING + 2)]
    assert statuses == [202] * MAX_WAITING + [503] * 2
    await follow.aclose()


async def test_the_end_of_the_server(caplog: pytest.LogCaptureFixture) -> None:
    """What is not published by then is answered 503, so that its sender tries again, and told where
    it was answered 202 before: it was lost without a word."""
    source = made(answer_seconds=0.001)
    follow = source.follow()
    await anext(follow)
    for n in (1, 2):
        assert (await source.take(posted(n))).status == 202
    source._answer_seconds = 60
    answering = asyncio.create_task(source.take(posted(3)))
    await asyncio.sleep(0)
    await follow.aclose()
    assert (await answering).status == 503
    assert (await source.take(posted(4))).status == 503
    why = "a post that was answered 202 is lost: alerts: the server ended first"
    assert caplog.messages == [why] * 2


async def test_what_was_lost_after_all(caplog: pytest.LogCaptureFixture) -> None:
    """What had to be given up after a 202 is told, and taken for new when it comes again."""
    source = made(answer_seconds=0.001)
    follow = source.follow()
    await anext(follow)
    for _ in range(2):
        assert (await source.take(posted(1))).status == 202
    [reading] = await anext(follow)
    source.told(reading, BufferFull("alerts", "full"))
    [health] = await anext(follow)
    assert isinstance(health, State)
    assert isinstance(health.payload, Health)
    detail = health.payload.components["posts"].detail
    assert detail is not None
    assert detail == "1 posts that were answered 202 are lost, the last: alerts: full"
    assert caplog.messages == ["a post that was answered 202 is lost: alerts: full"]
    assert (await source.take(posted(1))).status == 202
    assert await anext(follow) == [reading]
    await follow.aclose()


async def test_a_value_that_a_newer_one_replaced() -> None:
    """It was right when it came, and is not published."""
    source = made()
    follow = source.follow()
    await anext(follow)
    answering = asyncio.create_task(source.take(posted(1)))
    [reading] = await anext(follow)
    source.told(reading, Published(Outcome.SUPERSEDED))
    assert await answering == Answer(200, {"status": "superseded"})
    await follow.aclose()


async def test_a_port_that_is_taken(valkey: Valkey) -> None:
    """It shows on health, and the source begins once the port is free."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        source = made(port=port)
        async with Publisher(valkey.url) as publisher:
            worker = Worker(source, publisher, first_pause=0.01, longest_pause=0.05)
            task = asyncio.create_task(worker.run())
            await eventually(lambda: bool(envelopes(valkey, "health:webhook")), "health")
            taken.close()
            await eventually(lambda: source.address == ("127.0.0.1", port), "listening")
            worker.stop()
            await task
    first = history(valkey, "health:webhook")[0][1]["components"]["source"]
    assert first["state"] == "down"
    assert f"can't listen on 127.0.0.1:{port}: Address already in use" in first["detail"]


async def test_secrets_are_never_logged(valkey: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is posted, right or wrong, and though everything is logged."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("httpcore").setLevel(logging.WARNING)
    async with desk(valkey) as each:
        await each.post(f"shared/{SECRET}", {"kind": "decision"})
        await each.post("shared", {"kind": "decision", "secret": SECRET})
        await each.signed({"kind": "decision"})
    assert SECRET not in caplog.text


def options(**changes: Any) -> dict[str, Any]:
    """What the command line gives."""
    given = {"name": "webhook", "host": "127.0.0.1", "port": 0, "body_bytes": 1024}
    return {**given, "answer_seconds": 1.0, "streams": KNOWN, "hooks": HOOKS, **changes}


def test_from_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hooks of the file, with their secrets from the environment."""
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    source = WebhookSource.from_options(options(name="posts"))
    assert source.channels == ("decisions", "alerts", "health:posts")
    assert source.health_channel == "health:posts"


@pytest.mark.parametrize(
    ("secret", "changes", "why"),
    [
        ("", {}, "expected the secret of the hook signed in WEBHOOK_SECRET, or in the file"),
        ("short", {}, "WEBHOOK_SECRET: expected at least 16 bytes, got 5"),
        (
            SECRET,
            {"hooks": {"h": {"rules": [{"to": "alert", "channel": "status"}]}}},
            "hooks.h: expected a log, and status is a value",
        ),
        (SECRET, {"hooks": None}, r"expected a table \[sources.webhook.hooks.NAME\]"),
    ],
)
def test_wrong_options(
    monkeypatch: pytest.MonkeyPatch, secret: str, changes: dict[str, Any], why: str
) -> None:
    """Wrong use is told before anything is served."""
    monkeypatch.setenv("WEBHOOK_SECRET", secret)
    with pytest.raises(click.UsageError, match=why):
        WebhookSource.from_options(options(**changes))
