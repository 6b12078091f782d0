"""producers/sources/alerts/sinks/web_push: a real push service, and subscriptions in a Valkey."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from email.utils import formatdate
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from hub.protocol import keys
from hub.protocol.push import PushSubscription
from producers.errors import SinkError
from producers.events import Alert, AlertState, Severity
from producers.publisher import Publisher
from producers.settings import BadSettings
from producers.sources.alerts.sinks.base import Notice, Sink, Surroundings
from producers.sources.alerts.sinks.kinds import read_sinks
from producers.sources.alerts.sinks.push_crypto import new_keys
from producers.sources.alerts.sinks.web_push import MAX_BUSY_SECONDS, WebPushSink, topic_of
from tests.producers.redis_view import eventually
from tests.producers.sources.alerts.running import made, publish_equity, running, until_active
from tests.support.push_service import Browser, PushService, push_service
from tests.support.valkey import Valkey

PRIVATE, PUBLIC = new_keys()
CONTACT = "mailto:ops@example.com"
ALERT = Alert(severity=Severity.CRITICAL, title="drawdown", detail="12 % of the day's start")


def notice(id: str = "a-1", *, to: str = "alerts", **changes: Any) -> Notice:
    """An alert that was published to a channel just now."""
    alert = msgspec.structs.replace(ALERT, **changes)
    return Notice(id, to, alert, round(time.time() * 1_000_000))


def make(valkey: Valkey, environ: dict[str, str] | None = None, **table: Any) -> Sink:
    """The sink of a table of the file."""
    table = {"kind": "web-push", "contact": CONTACT, **table}
    environ = {"WEB_PUSH_KEY": PRIVATE} if environ is None else environ
    return read_sinks({"push": table})["push"].make("push", Surroundings(environ, valkey.url))


class Desk:
    """A sink, and the push service of the browsers that it serves."""

    def __init__(self, service: PushService, sink: Sink, redis: Redis) -> None:
        self.service = service
        self.sink = sink
        self.redis = redis

    async def subscribe(self, name: str, **changes: Any) -> Browser:
        """A browser whose subscription a hub has kept."""
        browser = self.service.browser(name, PUBLIC)
        await self.keep(browser.subscription(**changes))
        return browser

    async def keep(self, subscription: PushSubscription) -> None:
        """What a hub writes."""
        content = msgspec.json.encode(subscription)
        writing: Any = self.redis.hset(keys.PUSH_SUBSCRIPTIONS, subscription.id, content)
        await writing

    async def kept(self) -> set[str]:
        """The ids of those that are kept."""
        reading: Any = self.redis.hkeys(keys.PUSH_SUBSCRIPTIONS)
        return {id.decode() for id in await reading}


@pytest.fixture
async def desk(valkey: Valkey) -> AsyncIterator[Desk]:
    """A sink that may push to the test's push service."""
    async with push_service() as service, Redis.from_url(valkey.url) as redis:
        sink = make(valkey, services=[service.url], severity="info")
        yield Desk(service, sink, redis)
        await sink.close()


async def test_every_subscribed_browser_is_told(desk: Desk) -> None:
    """Encrypted for each, by a key that the service knows; with what a notification shows, and
    nothing else. One signature does for all of a push service's browsers."""
    browsers = [await desk.subscribe(f"b{n}", subject=f"s{n}") for n in range(40)]
    told = notice()
    await desk.sink.deliver(told)
    for browser in browsers:
        [pushed] = browser.pushed
        assert pushed.message == {
            "id": "a-1",
            "tag": "a-1",
            "channel": "alerts",
            "severity": "critical",
            "title": "drawdown",
            "detail": "12 % of the day's start",
            "at": told.at_us // 1000,
        }
    assert len(desk.service.tokens) == 1


async def test_a_rule_that_fires_reaches_a_browser(desk: Desk, valkey: Valkey) -> None:
    """From a number that was published to the notification, and its end to the same one."""
    browser = await desk.subscribe("one")
    table = {"kind": "web-push", "contact": CONTACT, "services": [desk.service.url]}
    rules = {
        "dd": {"watch": "drawdown", "channel": "portfolio", "limit": 5, "severity": "critical"}
    }
    source = made(valkey.url, rules, read_sinks({"push": table}), {"WEB_PUSH_KEY": PRIVATE})
    async with running(source, valkey.url), Publisher(valkey.url) as publisher:
        await until_active(valkey)
        for equity in (10_000, 9_000, 9_999):
            await publish_equity(publisher, equity)
        await eventually(
            lambda: [each for each in browser.pushed if each.message["state"] == "resolved"] != [],
            "the end",
        )
    # At least once: what is delivered again is the same by its id.
    firing, resolved = {each.message["id"]: each.message for each in browser.pushed}.values()
    assert (firing["state"], resolved["state"]) == ("firing", "resolved")
    assert firing["tag"] == resolved["tag"]
    assert resolved["title"].startswith("Resolved: ")


async def test_who_may_not_read_is_not_told(desk: Desk) -> None:
    """Neither whose token has ended, nor who reads another channel's alerts."""
    ended = await desk.subscribe("ended", expires=time.time() - 1)
    other = await desk.subscribe("other", channels=("alerts:acct-7",))
    lasting = await desk.subscribe("lasting", expires=time.time() + 60)
    await desk.sink.deliver(notice())
    assert [len(each.pushed) for each in (ended, other, lasting)] == [0, 0, 1]
    await desk.sink.deliver(notice("a-2", to="alerts:acct-7"))
    assert [len(each.pushed) for each in (ended, other, lasting)] == [0, 1, 1]


@pytest.mark.parametrize(
    ("severity", "urgency"), [("info", "low"), ("warning", "normal"), ("critical", "high")]
)
async def test_a_phone_is_woken_by_what_is_urgent(desk: Desk, severity: str, urgency: str) -> None:
    """The severity is the push's urgency; it waits no longer than the alert may be delivered."""
    browser = await desk.subscribe("one")
    await desk.sink.deliver(notice(severity=Severity(severity)))
    headers = browser.pushed[0].headers
    assert headers["urgency"] == urgency
    assert 86_390 <= int(headers["ttl"]) <= 86_400
    assert "topic" not in headers


async def test_a_rules_newer_alert_replaces_the_older(desk: Desk) -> None:
    """What a closed browser has not got yet is replaced by what the same rule says next of the same
    row, and by nothing else; what is shown is replaced by the end of its incident."""
    browser = await desk.subscribe("one")
    rule: dict[str, Any] = {"rule": "drawdown", "channel": "positions", "row": "p-1"}
    firing = notice("a-1", **rule, incident="i-1", state=AlertState.FIRING)
    resolved = notice("a-2", **rule, incident="i-1", state=AlertState.RESOLVED)
    other = notice("a-3", **{**rule, "row": "p-2"}, incident="i-2")
    for each in (firing, resolved, other):
        await desk.sink.deliver(each)
    topics = [pushed.headers["topic"] for pushed in browser.pushed]
    assert topics[0] == topics[1] != topics[2]
    assert all(len(topic) == 32 for topic in topics)
    tags = [pushed.message["tag"] for pushed in browser.pushed]
    assert tags == ["i-1", "i-1", "i-2"]
    assert browser.pushed[1].message["state"] == "resolved"
    assert topic_of(notice()) is None


@pytest.mark.parametrize("status", [404, 410])
async def test_a_subscription_that_ended_is_dropped(desk: Desk, status: int) -> None:
    """The browser withdrew it, so nobody asks again; the others are told."""
    gone, there = await desk.subscribe("gone"), await desk.subscribe("there")
    gone.statuses = [status]
    await desk.sink.deliver(notice())
    assert await desk.kept() == {there.subscription().id}
    assert len(there.pushed) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_busy_service_is_asked_again_when_it_says(desk: Desk, status: int) -> None:
    """Nobody who has the alert gets it a second time by that."""
    busy, there = await desk.subscribe("busy"), await desk.subscribe("there")
    busy.statuses = [status]
    with pytest.raises(SinkError, match=f"1 browsers: the push service answered {status}") as why:
        await desk.sink.deliver(notice())
    assert (why.value.seconds, why.value.is_lasting) == (7.0, False)
    await desk.sink.deliver(notice())
    assert [len(each.pushed) for each in (busy, there)] == [1, 1]


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [
        ("in ten minutes", 500, 601),
        ("a while", 5, 5),
        ("999999", MAX_BUSY_SECONDS, MAX_BUSY_SECONDS),
        (None, 5, 5),
    ],
)
async def test_when_to_come_back(
    desk: Desk, retry_after: str | None, least: float, most: float
) -> None:
    """A number of seconds, a date, or what usually does; never longer than an hour."""
    await desk.subscribe("busy")
    if retry_after == "in ten minutes":
        retry_after = formatdate(time.time() + 600, usegmt=True)
    desk.service.faults.status = 503
    desk.service.faults.headers = {"Retry-After": retry_after} if retry_after else {}
    with pytest.raises(SinkError) as why:
        await desk.sink.deliver(notice())
    assert least <= why.value.seconds <= most


async def test_a_message_too_large_is_shortened(desk: Desk) -> None:
    """Once: without the detail, which the dashboard shows."""
    browser = await desk.subscribe("small")
    browser.statuses = [413]
    await desk.sink.deliver(notice(title="t" * 500, detail="d" * 5_000))
    [pushed] = browser.pushed
    assert pushed.message["title"] == "t" * 59 + "…"
    assert "detail" not in pushed.message
    browser.statuses = [413, 413]
    with pytest.raises(SinkError, match="answered 413") as why:
        await desk.sink.deliver(notice("a-2"))
    assert why.value.is_lasting


async def test_the_longest_alert_fits(desk: Desk) -> None:
    """Whatever characters it has: text is cut where its end would not be shown anyway."""
    browser = await desk.subscribe("one")
    long = "\N{PILE OF POO}\n" * 20_000
    names = {"rule": "r" * 64, "row": long, "incident": "i" * 64}
    await desk.sink.deliver(notice("a" * 64, title=long, detail=long, **names))
    [pushed] = browser.pushed
    assert len(pushed.message["title"]) == 160
    assert len(pushed.message["detail"]) == 480


async def test_what_is_refused_for_good_is_given_up(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """A browser that another key subscribed does not hold up the others; where nobody is left the
    sink says so."""
    refusing, there = await desk.subscribe("refusing"), await desk.subscribe("there")
    refusing.public_key = "another"
    await desk.sink.deliver(notice())
    assert [len(each.pushed) for each in (refusing, there)] == [0, 1]
    assert "push: the push service answered 403" in caplog.messages
    there.public_key = "another"
    with pytest.raises(SinkError, match="2 browsers: the push service answered 403") as why:
        await desk.sink.deliver(notice("a-2"))
    assert why.value.is_lasting


async def test_browsers_of_another_key_are_told_of(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """They are not pushed to, which their service would refuse, and the log says what differs."""
    stranger = await desk.subscribe("stranger", public_key=new_keys()[1])
    with caplog.at_level(logging.WARNING):
        await desk.sink.deliver(notice())
    assert stranger.pushed == []
    [said] = caplog.messages
    assert said.startswith("push: 1 browsers are subscribed with another public key than that of")
    assert said.endswith(PUBLIC)


async def test_only_push_services_are_posted_to(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever stands in Redis, nothing is sent to a host of somebody's own, and no redirect is
    followed to one."""
    stranger = await desk.subscribe("stranger", endpoint="https://127.0.0.1:6379/x")
    with pytest.raises(SinkError, match="endpoint: expected https://HOST") as why:
        await desk.sink.deliver(notice())
    assert why.value.is_lasting
    redirected = await desk.subscribe("redirected")
    redirected.statuses = [307]
    await desk.subscribe("there")
    await desk.sink.deliver(notice("a-2"))
    assert stranger.pushed == redirected.pushed == []
    assert "push: the push service answered 307" in caplog.messages


async def test_what_nobody_wrote_holds_up_nobody(desk: Desk) -> None:
    """What was put into Redis by hand is passed over."""
    browser = await desk.subscribe("one")
    writing: Any = desk.redis.hset(keys.PUSH_SUBSCRIPTIONS, "x", b"\xff no subscription")
    await writing
    await desk.sink.deliver(notice())
    assert len(browser.pushed) == 1


async def test_a_delivery_goes_on_where_it_ran_out_of_time(desk: Desk) -> None:
    """Cancelled while a push service hangs, and tried again, it reaches those that it had not come
    to; who has it gets it once."""
    there = await desk.subscribe("there")
    slow = await desk.subscribe("slow")
    desk.service.faults.only = "slow"
    desk.service.faults.silence()
    delivering = asyncio.ensure_future(desk.sink.deliver(notice()))
    sink = desk.sink
    assert isinstance(sink, WebPushSink)
    await eventually(lambda: there.subscription().id in sink._settled, "one has it")
    delivering.cancel()
    await asyncio.wait([delivering])
    desk.service.faults.none()
    await desk.sink.deliver(notice())
    assert [len(each.pushed) for each in (there, slow)] == [1, 1]


async def test_without_redis_or_a_push_service_it_is_tried_again(desk: Desk) -> None:
    """Either may come back."""
    browser = desk.service.browser("one", PUBLIC)
    nobody = "http://127.0.0.1:1"
    await desk.keep(browser.subscription(endpoint=f"{nobody}/push/one"))
    options = read_sinks({"p": {"kind": "web-push", "contact": CONTACT, "services": [nobody]}})["p"]
    for redis_url, why in (
        (f"unix://{desk.redis.connection_pool.connection_kwargs['path']}", "no push service"),
        ("redis://127.0.0.1:1", "subscriptions can't be read"),
    ):
        sink = options.make("p", Surroundings({"WEB_PUSH_KEY": PRIVATE}, redis_url))
        with pytest.raises(SinkError, match=why) as error:
            await sink.deliver(notice())
        assert not error.value.is_lasting
        await sink.close()


async def test_who_is_subscribed_to_nothing(desk: Desk) -> None:
    """Nobody is told, and that is no failure."""
    await desk.sink.deliver(notice())


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"contact": "ops"}, "contact"),
        ({"contact": CONTACT, "services": ["localhost"]}, "expected 'push.example.com' or"),
        ({"contact": CONTACT, "dashboard": "javascript:alert(1)"}, "dashboard"),
        ({"contact": CONTACT, "colour": "red"}, "colour"),
    ],
)
def test_a_table_that_is_wrong_is_refused(table: dict[str, Any], said: str) -> None:
    """The error names the sink and what was expected."""
    with pytest.raises(ValueError, match=rf"^sinks\.push: .*{said}"):
        read_sinks({"push": {"kind": "web-push", **table}})


async def test_the_private_key_is_asked_for(valkey: Valkey) -> None:
    """Where it is missing, or is none, the error says which variable and how to make it."""
    with pytest.raises(BadSettings, match="`tapecast push-keys` makes in WEB_PUSH_KEY"):
        make(valkey, {})
    with pytest.raises(ValueError, match=r"^MY_KEY: expected a private key of 32 bytes, got 3"):
        make(valkey, {"MY_KEY": "AAAA"}, key="MY_KEY")


async def test_a_click_opens_the_dashboard_that_was_named(valkey: Valkey) -> None:
    """Where the file says which."""
    async with push_service() as service, Redis.from_url(valkey.url) as redis:
        url = "https://desk.example/live/"
        sink = make(valkey, services=[service.url], dashboard=url)
        assert isinstance(sink, WebPushSink)
        desk = Desk(service, sink, redis)
        browser = await desk.subscribe("one")
        await sink.deliver(notice())
        await sink.close()
        assert browser.pushed[0].message["url"] == url
