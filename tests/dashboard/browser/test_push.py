"""Alerts while the page is closed: the whole way, from the switch to the notification.

What can't be real here: Chromium has no push service without an account of Google's, so that
`PushManager` gives the subscription of the test's own, and what that service has decrypted reaches
the service worker by the browser's tools. Nobody can click a notification of a browser without a
screen either: the event is dispatched by hand, and what takes a viewer's own click is recorded.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, CDPSession, Locator, Page, Worker, expect
from redis.asyncio import Redis

from hub.protocol import keys
from hub.protocol.push import PushSubscription, read_subscription
from producers.events import Alert, Severity
from producers.publisher import Publisher
from producers.sources.alerts.delivery import notice_of
from producers.sources.alerts.sinks.base import Notice, Surroundings
from producers.sources.alerts.sinks.kinds import read_sinks
from producers.sources.alerts.sinks.push_crypto import new_keys
from tests.dashboard.browser.conftest import OpenScreen
from tests.dashboard.browser.screen import Screen
from tests.dashboard.browser.watch import Watch
from tests.producers.redis_view import envelopes
from tests.support.livehub import LiveHub, token
from tests.support.push_service import PushService, push_service
from tests.support.valkey import Valkey

pytestmark = pytest.mark.asyncio(loop_scope="package")

PRIVATE, PUBLIC = new_keys()
SUBSCRIPTION = """(() => {
    let kept = null;
    const bytes = (text) => Uint8Array.from(
        atob(text.replaceAll("-", "+").replaceAll("_", "/")), (each) => each.charCodeAt(0)).buffer;
    PushManager.prototype.getSubscription = async () => kept;
    PushManager.prototype.subscribe = async ({ applicationServerKey }) => kept = {
        options: { applicationServerKey: bytes(applicationServerKey) },
        toJSON: () => (%s),
        unsubscribe: async () => { kept = null; return true; },
    };
})()"""
CLICK = """async () => {
    const done = [];
    ExtendableEvent.prototype.waitUntil = (promise) => done.push(promise);
    let told = "";
    WindowClient.prototype.focus = async function () { told = `focus ${this.url}`; };
    Clients.prototype.openWindow = async (url) => { told = `open ${url}`; };
    const [notification] = await registration.getNotifications();
    dispatchEvent(new NotificationEvent("notificationclick", { notification }));
    await Promise.all(done);
    const left = await registration.getNotifications();
    return [told, left.length];
}"""
SHOWN = """async () => (await registration.getNotifications())
    .map(({ title, body, tag }) => [title, body, tag])"""


class Desk:
    """A hub with Web Push, a push service, and a tab whose context may notify."""

    def __init__(self, live: LiveHub, service: PushService, redis: Redis, screen: Screen) -> None:
        self.live = live
        self.service = service
        self.redis = redis
        self.screen = screen

    @property
    def bell(self) -> Locator:
        """The switch of notifications."""
        return self.screen.page.get_by_role("button", name="Notify me of critical alerts")

    @property
    def switch(self) -> Locator:
        """The one of those while the page is closed."""
        name = "Notify me also when the page is closed"
        return self.screen.page.get_by_role("button", name=name)

    async def switch_on(self) -> None:
        """Ask to be notified, also when the page is closed."""
        await self.bell.click()
        await self.switch.click()
        await expect(self.switch).to_have_attribute("aria-pressed", "true")

    async def kept(self) -> list[PushSubscription | None]:
        """What the hub has kept."""
        reading: Any = self.redis.hgetall(keys.PUSH_SUBSCRIPTIONS)
        return [read_subscription(content) for content in (await reading).values()]

    async def push(self, id: str, title: str) -> str:
        """Have an alert delivered; the text that the push service's browser decrypted."""
        alert = Alert(severity=Severity.CRITICAL, title=title, detail="12 %")
        return await self.deliver(Notice(id, "alerts", alert, round(time.time() * 1_000_000)))

    async def deliver(self, notice: Notice) -> str:
        """The same for one that was published."""
        table = {"kind": "web-push", "contact": "mailto:a@b.c", "services": [self.service.url]}
        surroundings = Surroundings({"WEB_PUSH_KEY": PRIVATE}, self.live.settings.redis_url)
        sink = read_sinks({"push": table})["push"].make("push", surroundings)
        await sink.deliver(notice)
        await sink.close()
        return json.dumps(self.service.browsers["one"].pushed[-1].message)


@pytest_asyncio.fixture(loop_scope="package")
async def service() -> AsyncIterator[PushService]:
    """Where the browser is pushed to."""
    async with push_service() as service:
        yield service


@pytest_asyncio.fixture(loop_scope="package")
async def pushing(dashboard: None, valkey: Valkey, service: PushService) -> AsyncIterator[LiveHub]:
    """A hub with a public key."""
    settings = {"push_public_key": PUBLIC, "push_services": (service.url,)}
    async with LiveHub(redis_url=valkey.url, heartbeat_seconds=0.5, **settings) as live:
        yield live


@pytest_asyncio.fixture(loop_scope="package")
async def desk(
    pushing: LiveHub,
    service: PushService,
    valkey: Valkey,
    publisher: Publisher,
    open_screen: OpenScreen,
) -> AsyncIterator[Desk]:
    """Somebody who is logged in, where the browser may notify."""
    screen = await open_screen(pushing.url, permissions=["notifications"])
    given = json.dumps(service.browser("one", PUBLIC).to_json())
    await screen.page.add_init_script(SUBSCRIPTION % given)
    async with Redis.from_url(valkey.url) as redis:
        yield Desk(pushing, service, redis, screen)


async def worker_of(context: BrowserContext) -> Worker:
    """The service worker of the context."""
    if not context.service_workers:
        await context.wait_for_event("serviceworker")
    [worker] = context.service_workers
    return worker


class Tools:
    """The browser's own, which can push to a service worker."""

    def __init__(self, session: CDPSession, origin: str, id: str) -> None:
        self._session = session
        self._where = {"origin": origin, "registrationId": id}

    @classmethod
    async def of(cls, page: Page, origin: str) -> Tools:
        """Those of a page, once they know of the worker."""
        session = await page.context.new_cdp_session(page)
        ids: list[str] = []
        session.on(
            "ServiceWorker.workerRegistrationUpdated",
            lambda told: ids.extend(each["registrationId"] for each in told["registrations"]),
        )
        await session.send("ServiceWorker.enable")
        while not ids:
            await session.send("Runtime.evaluate", {"expression": "1"})
        return cls(session, f"{origin}/", ids[-1])

    async def push(self, text: str) -> None:
        """As a push service does."""
        await self._session.send("ServiceWorker.deliverPushMessage", {**self._where, "data": text})


async def shown_by(worker: Worker, count: int) -> list[list[str]]:
    """The notifications that are shown, once there are so many."""
    while True:
        shown: list[list[str]] = await worker.evaluate(SHOWN)
        if len(shown) >= count:
            return shown


async def test_a_closed_page_is_told(desk: Desk) -> None:
    """From the switch through hub, sink and push service to the notification, which comes once
    however often it is delivered; a click on it opens the dashboard."""
    page, url = desk.screen.page, desk.live.url
    await desk.screen.log_in(token(subject="ann"))
    await desk.switch_on()
    [kept] = await desk.kept()
    assert kept is not None
    assert (kept.subject, kept.channels, kept.public_key) == ("ann", ("alerts",), PUBLIC)
    worker = await worker_of(page.context)
    other = await page.context.new_page()
    tools = await Tools.of(other, url)
    await page.close()
    for id, title in (("a-1", "Drawdown"), ("a-1", "Drawdown"), ("a-2", "Exposure")):
        await tools.push(await desk.push(id, title))
    shown = await shown_by(worker, 2)
    assert sorted(shown) == [
        ["Drawdown", "12 %", "tapecast a-1"],
        ["Exposure", "12 %", "tapecast a-2"],
    ]
    assert await worker.evaluate(CLICK) == [f"open {url}/", 1]


async def test_a_click_brings_the_open_page_to_the_front(desk: Desk) -> None:
    """Whatever part of it is looked at."""
    page, url = desk.screen.page, desk.live.url
    await desk.screen.log_in()
    await desk.switch_on()
    await desk.screen.go_to("Hub")
    worker = await worker_of(page.context)
    tools = await Tools.of(page, url)
    await tools.push(await desk.push("a-1", "Drawdown"))
    await shown_by(worker, 1)
    told, left = await worker.evaluate(CLICK)
    # A client's URL is the one that it was opened with.
    assert (told.partition("#")[0], left) == (f"focus {url}/", 0)


@pytest.mark.parametrize("incident", [None, "i-1"])
async def test_what_comes_both_ways_is_shown_once(
    desk: Desk, publisher: Publisher, valkey: Valkey, incident: str | None
) -> None:
    """An open page notifies of an alert too: by whichever name, that is one notification."""
    page = desk.screen.page
    await desk.screen.log_in()
    await desk.switch_on()
    worker = await worker_of(page.context)
    # What a page finds when it joins is no news.
    await publisher.alert(Alert(severity=Severity.INFO, title="Joined"))
    await expect(desk.screen.panel("alerts")).to_contain_text("Joined")
    alert = Alert(severity=Severity.CRITICAL, title="Drawdown", incident=incident)
    await publisher.alert(alert)
    [[title, _body, tag]] = await shown_by(worker, 1)
    assert title == "Drawdown"
    notice = notice_of(envelopes(valkey, "alerts")[-1])
    assert notice is not None
    assert tag == f"tapecast {incident or notice.id}"
    tools = await Tools.of(page, desk.live.url)
    await tools.push(await desk.deliver(notice))
    await tools.push(await desk.push("a-2", "Exposure"))
    assert sorted(each[0] for each in await shown_by(worker, 2)) == ["Drawdown", "Exposure"]


async def test_who_signs_out_is_told_no_more(desk: Desk) -> None:
    """The subscription is gone, at the hub and in the browser; so it is when it is switched off."""
    page = desk.screen.page
    await desk.screen.log_in()
    await desk.switch_on()
    await desk.switch.click()
    await expect(desk.switch).to_have_attribute("title", "Also when the page is closed: off")
    assert await desk.kept() == []
    await desk.switch.click()
    await expect(desk.switch).to_have_attribute("aria-pressed", "true")
    assert len(await desk.kept()) == 1
    async with page.expect_response(lambda answer: answer.request.method == "DELETE"):
        await page.get_by_role("button", name="Sign out").click()
    await expect(desk.screen.token_field).to_be_visible()
    assert await desk.kept() == []
    gone = "navigator.serviceWorker.ready.then((each) => each.pushManager.getSubscription())"
    assert await page.evaluate(gone) is None


async def test_a_page_that_is_opened_again_renews(desk: Desk) -> None:
    """With the token of now, whose end is the subscription's; the switch says that it is on."""
    await desk.screen.log_in(token(ttl_seconds=100))
    await desk.switch_on()
    [before] = await desk.kept()
    await desk.screen.page.goto("about:blank")
    await desk.screen.log_in(token(ttl_seconds=200))
    await expect(desk.switch).to_have_attribute("aria-pressed", "true")
    [after] = await desk.kept()
    assert before is not None
    assert after is not None
    assert before.expires is not None
    assert after.expires is not None
    assert after.expires > before.expires


async def test_what_a_browser_can_not_do_is_told(
    pushing: LiveHub, publisher: Publisher, open_screen: OpenScreen, watch: Watch
) -> None:
    """Here it has no push service, as in any window that keeps nothing: the page says so, and the
    switch stays off."""
    watch.forgive("does not support the Push API in incognito mode")
    screen = await open_screen(pushing.url, permissions=["notifications"])
    await screen.log_in()
    await screen.page.get_by_role("button", name="Notify me of critical alerts").click()
    switch = screen.page.get_by_role("button", name="Notify me also when the page is closed")
    await switch.click()
    said = screen.page.get_by_role("alert").filter(has_text="push service takes no subscription")
    await expect(said).to_be_visible()
    await expect(switch).to_have_attribute("aria-pressed", "false")


async def test_a_hub_without_a_key_offers_nothing(screen: Screen) -> None:
    """The switch is not there, and its pages make no trusted type."""
    await screen.page.context.grant_permissions(["notifications"])
    answer = await screen.page.goto(screen.url)
    assert answer is not None
    policy = await answer.header_value("Content-Security-Policy")
    assert policy is not None
    assert policy.endswith("trusted-types 'none'")
    await screen.log_in()
    async with screen.page.expect_response(lambda answer: answer.url.endswith("/api/v1/push")):
        await screen.page.get_by_role("button", name="Notify me of critical alerts").click()
    switch = screen.page.get_by_role("button", name="Notify me also when the page is closed")
    await expect(switch).to_have_count(0)
