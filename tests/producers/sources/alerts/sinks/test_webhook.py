"""producers/sources/alerts/sinks/webhook.py: posts, to a real server and to another Tapecast."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from producers.errors import SinkError
from producers.publisher import Publisher
from producers.settings import BadSettings
from producers.sources.alerts.sinks.base import Sink, Surroundings
from producers.sources.alerts.sinks.kinds import make, read_sinks
from producers.sources.webhook import WebhookSource
from producers.sources.webhook.rules import read_hooks
from producers.sources.webhook.signing import read_keys
from producers.worker import Worker
from tests.producers.redis_view import eventually, history
from tests.producers.sources.alerts.sinks.notices import notice
from tests.support.valkey import Valkey
from tests.support.web import serving

SECRET = "the-secret-of-the-desk"
ENVIRON = {"DESK_SECRET": SECRET, "CHAT_URL": "https://chat.example/secret-path"}


class Receiver:
    """Keeps what it is posted, and answers what it is told to."""

    def __init__(self) -> None:
        self.posts: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.answer = Response(status_code=204)
        self.app = Starlette(routes=[Route("/{path:path}", self._take, methods=["POST"])])

    async def _take(self, request: Request) -> Response:
        self.posts.append((dict(request.headers), json.loads(await request.body())))
        return self.answer


def sink(environ: dict[str, str] | None = None, **fields: Any) -> Sink:
    """A sink with these fields."""
    options = read_sinks({"desk": {"kind": "webhook", **fields}})["desk"]
    return make("desk", options, Surroundings(environ or ENVIRON, "unix:///nowhere"))


async def test_another_tapecast_takes_it(valkey: Valkey) -> None:
    """The post is signed as a hook checks it; the same one again is published once."""
    hooks = read_hooks({"tapecast": {"rules": [{"to": "alert"}]}})
    source = WebhookSource(hooks, {"tapecast": read_keys(SECRET)}, port=0)
    async with Publisher(valkey.url) as publisher:
        worker = Worker(source, publisher)
        task = asyncio.create_task(worker.run())
        await eventually(lambda: source.address is not None, "a server that listens")
        assert source.address is not None
        url = "http://{}:{}/hooks/tapecast".format(*source.address)
        desk = sink(url=url, secret="DESK_SECRET")
        for _ in range(2):
            await desk.deliver(notice())
        await desk.close()
        stranger = sink({"DESK_SECRET": "another-secret-of-16"}, url=url, secret="DESK_SECRET")
        with pytest.raises(SinkError, match="answered 401") as caught:
            await stranger.deliver(notice("e-2-0b"))
        assert not caught.value.is_lasting
        await stranger.close()
        worker.stop()
        await task
    [(event, alert)] = history(valkey, "alerts")
    assert (event, alert["severity"]) == ("alert", "critical")
    assert (alert["title"], alert["detail"]) == (
        "portfolio: drawdown of 6%", "equity 9400, peak 10000",
    )  # fmt: skip


async def test_what_is_posted() -> None:
    """All fields, the text of the template, and the id in a header too."""
    receiver = Receiver()
    async with serving(receiver.app) as url:
        desk = sink(url=url, text="{rule}: {value} of {limit}{row}", headers={"x-desk": "7"})
        await desk.deliver(notice())
        await desk.close()
    [(headers, body)] = receiver.posts
    assert (headers["idempotency-key"], headers["x-desk"]) == ("e-1-0a", "7")
    assert "webhook-signature" not in headers
    assert body["text"] == "dd: 6.0 of 5"
    assert (body["id"], body["log"], body["at"]) == ("e-1-0a", "alerts", "2027-01-15T08:00:00Z")
    assert (body["value"], body["state"], body["channel"]) == ("6.0", "firing", "portfolio")


@pytest.mark.parametrize(("body", "field"), [("slack", "text"), ("discord", "content")])
async def test_a_chat_gets_the_text_alone(body: str, field: str) -> None:
    """In the field that it takes; without a detail there is no empty line."""
    receiver = Receiver()
    async with serving(receiver.app) as url:
        chat = sink({"CHAT_URL": f"{url}/chat"}, url_secret="CHAT_URL", body=body)
        await chat.deliver(notice())
        await chat.deliver(notice(detail=None))
        await chat.close()
    texts = [posted[field] for _, posted in receiver.posts]
    title = "[critical] portfolio: drawdown of 6%"
    assert texts == [f"{title}\nequity 9400, peak 10000", title]


async def test_what_an_alert_says_calls_nobody() -> None:
    """Only what the template says itself may; the text stays what it was."""
    receiver = Receiver()
    async with serving(receiver.app) as url:
        for body in ("slack", "discord", "tapecast"):
            chat = sink(url=url, body=body, text="<!here> {title}")
            await chat.deliver(notice(title="<!channel> a & b"))
            await chat.close()
    slack, discord, other = (posted for _, posted in receiver.posts)
    assert slack == {"text": "<!here> &lt;!channel&gt; a &amp; b"}
    assert discord["allowed_mentions"] == {"parse": []}
    assert other["text"] == "<!here> <!channel> a & b"


@pytest.mark.parametrize(
    ("status", "headers", "seconds", "is_lasting"),
    [
        (400, {}, 0, True),
        (422, {}, 0, True),
        (401, {}, 0, False),
        (404, {}, 0, False),
        (302, {"location": "/"}, 0, False),
        (429, {"retry-after": "7"}, 7, False),
        (503, {"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"}, 0, False),
    ],
)
async def test_an_answer_says_whether_it_lasts(
    status: int, headers: dict[str, str], seconds: float, is_lasting: bool
) -> None:
    """What would be refused again is given up; the rest is tried again, when the server says."""
    receiver = Receiver()
    receiver.answer = Response("why\nnot", status, headers)
    async with serving(receiver.app) as url:
        desk = sink(url=url)
        with pytest.raises(SinkError, match=f"answered {status}: why not") as caught:
            await desk.deliver(notice())
        await desk.close()
    assert (caught.value.seconds, caught.value.is_lasting) == (seconds, is_lasting)
    assert len(receiver.posts) == 1


async def test_nobody_is_there() -> None:
    """It is tried again, and an address that is a secret is not told."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/secret-path"
        chat = sink({"CHAT_URL": url}, url_secret="CHAT_URL")
        with pytest.raises(SinkError, match="could not post") as caught:
            await chat.deliver(notice())
        await chat.close()
    assert not caught.value.is_lasting
    assert "secret-path" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "expected either url or url_secret"),
        ({"url": "https://x", "url_secret": "CHAT_URL"}, "expected either url or url_secret"),
        ({"url": "desk.example"}, "expected one that begins with https://"),
        ({"url_secret": "MISSING"}, "expected the address in MISSING"),
        ({"url": "https://x", "secret": "MISSING"}, "expected the secret in MISSING"),
        ({"url": "https://x", "secret": "SHORT"}, "SHORT: expected at least 16 bytes"),
        ({"url": "https://x", "body": "teams"}, "teams"),
        ({"url": "https://x", "severity": "high"}, "high"),
        ({"url": "https://x", "timeout_seconds": 60}, "25"),
    ],
)
def test_what_is_wrong_is_told(fields: dict[str, Any], told: str) -> None:
    """With the sink's name, before anything runs."""
    with pytest.raises((ValueError, BadSettings), match=rf"sinks\.desk: .*{told}"):
        sink({**ENVIRON, "SHORT": "short"}, **fields)
