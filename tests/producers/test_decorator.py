"""producers/decorator.py: what a function returns is published."""

from __future__ import annotations

import inspect
from decimal import Decimal
from typing import Any

import pytest

from producers.decorator import publishes
from producers.events import (
    AgentStatus,
    Alert,
    Decision,
    Health,
    HealthState,
    OodaState,
    ProcessState,
    Severity,
    Totals,
)
from producers.publisher import Publisher
from producers.sync import SyncPublisher
from tests.producers.payloads import decision, portfolio
from tests.producers.redis_view import envelopes, history
from tests.support.valkey import Valkey


def test_a_function(valkey: Valkey) -> None:
    """What it returns is returned and published; None is not."""
    with SyncPublisher(valkey.url) as publisher:

        @publishes(publisher)
        def decide(price: int, *, limit: int = 10) -> Decision | None:
            """Buy what is cheap."""
            return decision(f"d-{price}") if price < limit else None

        assert decide(5) == decision("d-5")
        assert decide(6, limit=7) == decision("d-6")
        assert decide(20) is None
        assert (decide.__name__, decide.__doc__) == ("decide", "Buy what is cheap.")
    told = [(event, data["id"]) for event, data in history(valkey, "decisions")]
    assert told == [("decision_made", "d-5"), ("decision_made", "d-6")]


async def test_an_asynchronous_function(valkey: Valkey) -> None:
    """The same, with the publisher of its loop."""
    async with Publisher(valkey.url) as publisher:

        @publishes(publisher, "fills:desk-7", event="fill")
        async def trade(size: str) -> dict[str, Decimal]:
            return {"size": Decimal(size)}

        assert inspect.iscoroutinefunction(trade)
        assert await trade("0.5") == {"size": Decimal("0.5")}
    assert history(valkey, "fills:desk-7") == [("fill", {"size": "0.5"})]


def test_each_payload_has_its_channel(valkey: Valkey) -> None:
    """Without a channel, a typed payload goes where it belongs."""
    status = AgentStatus(
        state=ProcessState.RUNNING,
        ooda_state=OodaState.IDLE,
        paused=False,
        uptime_seconds=1,
        totals=Totals(),
    )
    payloads = {
        "portfolio": portfolio(),
        "status": status,
        "health": Health(state=HealthState.OK),
        "alerts": Alert(severity=Severity.INFO, title="t"),
    }
    with SyncPublisher(valkey.url) as publisher:
        for payload in payloads.values():
            publishes(publisher)(lambda payload=payload: payload)()
    for channel in payloads:
        assert len(envelopes(valkey, channel)) == 1


def test_what_can_not_be_published(valkey: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the function returns it all the same; its own errors are its callers'."""
    publisher = SyncPublisher(valkey.url)

    @publishes(publisher)
    def decide(what: Any) -> Any:
        if what is None:
            raise LookupError("nothing to decide")
        return what

    @publishes(publisher, "fills", event="fill")
    def trade(price: float) -> float:
        return price

    assert decide({"id": "d-1"}) == {"id": "d-1"}
    trade(float("inf"))
    with pytest.raises(LookupError):
        decide(None)
    publisher.close()
    assert decide(decision("d-1")) == decision("d-1")
    reasons = [each.getMessage().partition(" was not published: ")[2] for each in caplog.records]
    assert [reason.partition(",")[0] for reason in reasons] == [
        "payload: expected a typed payload",
        "payload: expected a finite number",
        "producer: the publisher is closed",
    ]


async def test_an_asynchronous_one_that_can_not_be_published(
    valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    """The same holds for it."""
    publisher = Publisher(valkey.url)

    @publishes(publisher)
    async def decide() -> Decision:
        return decision("d-1")

    assert await decide() == decision("d-1")
    assert "the publisher is closed" in caplog.text


def test_misuse() -> None:
    """What can't work is refused where it is written."""

    async def asynchronous() -> None: ...

    with pytest.raises(TypeError, match="expected an async function"):
        publishes(Publisher("redis://localhost"))(len)
    with pytest.raises(TypeError, match="expected a function that is not async"):
        publishes(SyncPublisher("redis://localhost"))(asynchronous)
    with pytest.raises(ValueError, match="a channel and an event, or neither"):
        publishes(SyncPublisher("redis://localhost"), "fills")
