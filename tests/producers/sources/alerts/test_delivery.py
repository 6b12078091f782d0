"""producers/sources/alerts/delivery.py: from the log to sinks that fail, hang and come back."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from producers.errors import SinkError
from producers.events import Alert, Severity
from producers.publisher import Publisher
from producers.sources.alerts import AlertsSource
from producers.sources.alerts.sinks.base import Notice, Sink, SinkOptions, Surroundings
from tests.producers.redis_view import eventually, history
from tests.producers.sources.alerts.running import made, publish_equity, running, until_active
from tests.support.valkey import Valkey

LOW: dict[str, Any] = {
    "watch": "field", "channel": "portfolio", "field": "equity", "op": "<", "limit": 1000,
}  # fmt: skip


class Shelf:
    """Where a test finds what was delivered, and says what becomes of the next delivery."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []
        self.failure: SinkError | None = None
        self.hangs = asyncio.Event()
        self.hangs.set()
        self.tries = 0

    @property
    def titles(self) -> list[str]:
        return [notice.alert.title for notice in self.notices]


class ShelfSink(Sink):
    """Puts notices on a shelf."""

    def __init__(self, name: str, shelf: Shelf) -> None:
        self.name = name
        self._shelf = shelf

    async def deliver(self, notice: Notice) -> None:
        self._shelf.tries += 1
        await self._shelf.hangs.wait()
        if self._shelf.failure is not None:
            raise self._shelf.failure
        self._shelf.notices.append(notice)


class ShelfOptions(SinkOptions, frozen=True, kw_only=True):
    """A kind of sink that only tests have."""

    shelf: Any

    def make(self, name: str, surroundings: Surroundings) -> ShelfSink:
        return ShelfSink(name, self.shelf)


def source(valkey: Valkey, rules: Any = None, **sinks: ShelfOptions) -> AlertsSource:
    """Rules and sinks that put what they get on shelves."""
    return made(valkey.url, {"low": LOW} if rules is None else rules, sinks)


def health(valkey: Valkey, component: str) -> Any:
    """How a part is, as the health channel has it."""
    found = history(valkey, "health:alerts")
    return found[-1][1]["components"].get(component, {}) if found else {}


def said(valkey: Valkey) -> list[str]:
    """The details that the health ever had of any part."""
    every = [data["components"].values() for _event, data in history(valkey, "health:alerts")]
    return [str(part["detail"]) for parts in every for part in parts]


async def alert(publisher: Publisher, title: str, severity: Severity = Severity.INFO) -> None:
    """What an agent says itself."""
    await publisher.alert(Alert(severity=severity, title=title), wait=True)


async def test_a_sink_that_hangs_holds_up_nobody(valkey: Valkey) -> None:
    """The rules and other sinks go on; its health says why; then it gets all, in order."""
    good, bad = Shelf(), Shelf()
    bad.hangs.clear()
    sinks = {"good": ShelfOptions(shelf=good), "bad": ShelfOptions(shelf=bad, timeout_seconds=0.1)}
    async with running(source(valkey, **sinks), valkey.url), Publisher(valkey.url) as publisher:
        await until_active(valkey)
        for equity in (1, 2000, 2):
            await publish_equity(publisher, equity)
        await eventually(lambda: len(good.notices) == 3, "three for the good one")
        await eventually(lambda: health(valkey, "sink bad").get("state") == "down", "bad news")
        assert health(valkey, "sink bad")["detail"] == "no answer within 0.1 s"
        assert health(valkey, "sink good") == {"detail": None, "state": "ok"}
        assert bad.notices == []
        bad.hangs.set()
        await eventually(lambda: len(bad.notices) == 3, "three for the bad one")
        await eventually(lambda: health(valkey, "sink bad").get("state") == "ok", "good news")
    assert bad.notices == good.notices
    assert len({notice.id for notice in bad.notices}) == 3


async def test_what_was_not_delivered_is_the_next_ones(valkey: Valkey) -> None:
    """Also what was published while nobody ran; what was delivered is not again."""
    shelf = Shelf()
    options = ShelfOptions(shelf=shelf)
    async with Publisher(valkey.url) as publisher:
        await alert(publisher, "before there was a sink")
        async with running(source(valkey, desk=options), valkey.url):
            await until_active(valkey)
            await alert(publisher, "a")
            await eventually(lambda: shelf.titles == ["a"], "the first")
            shelf.failure = SinkError("not now")
            await alert(publisher, "b")
            await eventually(lambda: shelf.tries >= 2, "a try")
        await alert(publisher, "c")
        shelf.failure = None
        async with running(source(valkey, desk=options), valkey.url):
            await eventually(lambda: len(shelf.notices) == 3, "the others")
    assert shelf.titles == ["a", "b", "c"]


async def test_what_would_be_refused_again_is_given_up(valkey: Valkey) -> None:
    """It is tried once, and the next one is delivered."""
    shelf = Shelf()
    options = ShelfOptions(shelf=shelf)
    async with running(source(valkey, desk=options), valkey.url), Publisher(valkey.url) as agent:
        await until_active(valkey)
        shelf.failure = SinkError("no such thing", is_lasting=True)
        await alert(agent, "refused")
        await eventually(lambda: "gave up 'refused': no such thing" in said(valkey), "bad news")
        shelf.failure = None
        await alert(agent, "next")
        await eventually(lambda: shelf.titles == ["next"], "the next one")
    assert shelf.tries == 2


async def test_what_became_too_old_is_given_up(
    valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said, and never delivered."""
    shelf = Shelf()
    async with Publisher(valkey.url) as agent:
        async with running(source(valkey, desk=ShelfOptions(shelf=shelf)), valkey.url):
            await until_active(valkey)
        await alert(agent, "too old")
        await asyncio.sleep(2.1)  # what makes it too old is time alone
        impatient = ShelfOptions(shelf=shelf, max_age_seconds=1)
        async with running(source(valkey, desk=impatient), valkey.url):
            await eventually(lambda: "s: too old" in caplog.text, "the word that it is given up")
        async with running(source(valkey, desk=ShelfOptions(shelf=shelf)), valkey.url):
            await alert(agent, "in time")
            await eventually(lambda: bool(shelf.titles), "a delivery")
    assert shelf.titles == ["in time"]


async def test_who_gets_what(valkey: Valkey) -> None:
    """By severity, and by the sinks that a rule names; an agent's own go to all."""
    every, severe, chosen = Shelf(), Shelf(), Shelf()
    rules = {"low": {**LOW, "sinks": ["every", "severe"]}, "lower": {**LOW, "severity": "critical"}}
    sinks = {
        "every": ShelfOptions(shelf=every),
        "severe": ShelfOptions(shelf=severe, severity=Severity.CRITICAL),
        "chosen": ShelfOptions(shelf=chosen),
    }
    async with running(source(valkey, rules, **sinks), valkey.url):
        await until_active(valkey)
        async with Publisher(valkey.url) as publisher:
            await publish_equity(publisher, 1)
            await eventually(lambda: len(every.notices) == 2, "both rules")
            await alert(publisher, "hello")
            await alert(publisher, "help", Severity.CRITICAL)
            for shelf in (every, severe, chosen):
                await eventually(lambda shelf=shelf: "help" in shelf.titles, "the last")  # type: ignore[misc]
    said = {"every": every, "severe": severe, "chosen": chosen}
    assert {name: [each.alert.rule for each in shelf.notices] for name, shelf in said.items()} == {
        "every": ["low", "lower", None, None],
        "severe": ["lower", None],
        "chosen": ["lower", None, None],
    }


async def test_what_anybody_may_have_written(valkey: Valkey) -> None:
    """An alert without a weight is not taken lightly; what is no alert is none."""
    shelf = Shelf()
    options = ShelfOptions(shelf=shelf)
    written: list[tuple[str, Any]] = [
        ("alert", {"title": "no weight"}), ("note", {"title": "no alert"}), ("alert", "text alone"),
        ("alert", {"severity": "CRITICAL", "text": "shouted", "detail": {"a": 1}}),
        ("alert", {"severity": "info", "title": "t", "limit": "NaN-ish"}),
    ]  # fmt: skip
    async with running(source(valkey, {}, desk=options), valkey.url):
        await until_active(valkey)
        async with Publisher(valkey.url) as publisher:
            for event, data in written:
                await publisher.publish("alerts", event, data, wait=True)
            await eventually(lambda: len(shelf.notices) == 4, "four alerts")
    alerts = [notice.alert for notice in shelf.notices]
    assert [(str(each.severity), each.title) for each in alerts] == [
        ("warning", "no weight"), ("warning", '"text alone"'), ("critical", "shouted"),
        ("info", "t"),
    ]  # fmt: skip
    assert msgspec.structs.asdict(alerts[0])["rule"] is None
