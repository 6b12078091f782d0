"""The watch over pages bites: what they must not do is seen."""

from __future__ import annotations

import pytest

from tests.dashboard.browser.screen import Screen
from tests.dashboard.browser.watch import Watch
from tests.support.brokers import eventually

pytestmark = pytest.mark.asyncio(loop_scope="package")

ELSEWHERE = "http://elsewhere.invalid"


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("console.warn('odd')", "warning: odd"),
        ("setTimeout(() => { throw new Error('broken'); })", "broken"),
        (f"fetch('{ELSEWHERE}/x').catch(() => {{}})", "Content Security Policy"),
        (f"new WebSocket('ws://{ELSEWHERE[7:]}')", "Content Security Policy"),
        ("document.body.setAttribute('style', 'color: red')", "Content Security Policy"),
        ("document.createElement('script').textContent = 'window.ran = true'", "TrustedScript"),
        ("document.body.innerHTML = '<img src=x>'", "TrustedHTML"),
        ("setTimeout('window.ran = true')", "TrustedScript"),
    ],
)
async def test_what_a_page_must_not_do_is_seen(
    screen: Screen, watch: Watch, script: str, complaint: str
) -> None:
    """A complaint in the console, an uncaught error, and each breach of the page's policy, which
    also keeps it from happening."""
    await screen.log_in()
    assert watch.complaints == []
    await screen.page.evaluate(f"() => {{ try {{ {script} }} catch {{}} }}")
    await eventually(lambda: any(complaint in each for each in watch.complaints), complaint)
    assert not await screen.page.evaluate("window.ran")
    watch.forgive(".")


async def test_a_request_to_another_host_is_seen(screen: Screen, watch: Watch) -> None:
    """Also one that no policy forbids, as a link that is followed."""
    await screen.log_in()
    await screen.page.route(f"{ELSEWHERE}/**", lambda route: route.fulfill(body="there"))
    await screen.page.goto(f"{ELSEWHERE}/x")
    assert f"request to {ELSEWHERE}/x" in watch.complaints
    watch.forgive("request to")
