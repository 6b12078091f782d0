"""producers/worker.py: a source that is run, by the rules of its file."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Self, cast

import msgspec
import pytest

from hub.protocol.payload import MAX_DATA_BYTES
from producers.answers import Answer
from producers.errors import InputEnded, SourceBusy, SourceError
from producers.events import (
    Component,
    Event,
    Failure,
    Health,
    HealthState,
    TradingPosition,
)
from producers.failures import MAX_DETAIL
from producers.link import Timing
from producers.publisher import Publisher
from producers.readings import MAX_AHEAD, Result, publish_once
from producers.sources.base import (
    Decided,
    FollowingSource,
    Happened,
    PollingSource,
    Positions,
    Reading,
    Relayed,
    State,
    Trouble,
)
from producers.sources.decision_store import DecisionStoreSource
from producers.sources.paper import PaperSource
from producers.worker import Worker
from tests.producers.payloads import decision, portfolio, position
from tests.producers.redis_view import envelopes, eventually, history, meta
from tests.support.valkey import Valkey

RAW = msgspec.Raw(b"1")


class Script(PollingSource):
    """A polling source that does what a test says, a step a call; the last step repeats."""

    def __init__(
        self,
        *steps: Callable[[], Sequence[Reading]],
        channels: tuple[str, ...] = ("portfolio", "health"),
    ) -> None:
        self._steps = steps
        self._channels = channels
        self.calls = 0
        self.cancelled = 0
        self.unstuck = asyncio.Event()
        self.heard: list[tuple[Reading, Result]] = []
        self.deaf: BaseException | None = None

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        raise NotImplementedError

    @property
    def channels(self) -> tuple[str, ...]:
        return self._channels

    @property
    def health_channel(self) -> str:
        return "health"

    async def poll(self) -> Sequence[Reading]:
        self.calls += 1
        readings = self._steps[min(self.calls, len(self._steps)) - 1]()
        try:
            if readings is HANG or readings is STICK:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            if readings is HANG:
                raise
            await self.unstuck.wait()
        return readings

    def told(self, reading: Reading, result: Result) -> None:
        self.heard.append((reading, result))
        if self.deaf is not None:
            raise self.deaf


HANG: Sequence[Reading] = []
STICK: Sequence[Reading] = ()
"""The same, and it goes on when it is cancelled."""


class Feed(FollowingSource):
    """A following source that tells what a test puts in; an exception is raised."""

    def __init__(self) -> None:
        self.batches: asyncio.Queue[Sequence[Reading] | BaseException] = asyncio.Queue()
        self.started = 0
        self.closed = 0
        self.closing = asyncio.Event()
        self.closing.set()

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        raise NotImplementedError

    @property
    def channels(self) -> tuple[str, ...]:
        return ("decisions", "health")

    @property
    def health_channel(self) -> str:
        return "health"

    async def follow(self) -> AsyncGenerator[Sequence[Reading]]:
        self.started += 1
        try:
            while True:
                batch = await self.batches.get()
                if isinstance(batch, BaseException):
                    raise batch
                yield batch
        finally:
            self.closed += 1
            await self.closing.wait()

    async def read_once(self) -> Sequence[Reading]:
        batch = self.batches.get_nowait()
        assert not isinstance(batch, BaseException)
        return batch


@contextlib.asynccontextmanager
async def running(
    valkey: Valkey, source: PollingSource | FollowingSource, **options: Any
) -> AsyncIterator[Worker]:
    """A worker that runs, quick in everything, and is stopped at the end."""
    options = {"interval": 0.01, "timeout": 0.2, "first_pause": 0.01, **options}
    timing = Timing(connect_seconds=0.2, answer_seconds=0.2, longest_pause_seconds=0.1)
    async with Publisher(valkey.url, timing=timing) as publisher:
        worker = Worker(source, publisher, **options)
        task = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.stop()
            async with asyncio.timeout(20):
                await task


def say(*readings: Reading) -> Callable[[], Sequence[Reading]]:
    return lambda: readings


def fail(error: BaseException) -> Callable[[], Sequence[Reading]]:
    def step() -> Sequence[Reading]:
        raise error

    return step


def balance(amount: int) -> Reading:
    return State("portfolio", portfolio(balance=Decimal(amount)))


def balances(valkey: Valkey) -> list[str]:
    return [data["balance"] for _event, data in history(valkey, "portfolio")]


def source_health(valkey: Valkey) -> list[tuple[str, str | None]]:
    found = [data["components"]["source"] for _event, data in history(valkey, "health")]
    return [(each["state"], each["detail"]) for each in found]


NONSENSE: Any = [
    None,
    {"a": 1},
    [5],
    [State(7, portfolio())],  # type: ignore[arg-type]
    [State("portfolio", None)],  # type: ignore[arg-type]
    [Positions("positions", None)],  # type: ignore[arg-type]
    [Positions("positions", (1,))],  # type: ignore[arg-type]
    [Decided("decisions", None)],  # type: ignore[arg-type]
    [Happened("agent", None, portfolio())],  # type: ignore[arg-type]
    [Happened("agent", "e", object())],  # type: ignore[arg-type]
    [Relayed("agent", "e", b"1")],  # type: ignore[arg-type]
    [Relayed("agent", "e", RAW, lease=float("nan"))],
    [Trouble("alerts", 1, "", "")],  # type: ignore[arg-type]
]


@pytest.mark.parametrize("nonsense", NONSENSE)
async def test_what_is_no_reading_is_the_sources_failure(valkey: Valkey, nonsense: Any) -> None:
    """A source that gives nonsense is asked again later; some of it ended the worker once."""
    source = Script(lambda: nonsense, say(balance(1)))
    async with running(valkey, source):
        await eventually(lambda: balances(valkey) == ["1"], "the publish after it")
        await eventually(lambda: source_health(valkey)[-1] == ("ok", None), "health")
    state, detail = source_health(valkey)[0]
    assert state == "down"
    assert detail is not None
    assert "reading" in detail


async def test_nonsense_of_a_following_source(valkey: Valkey) -> None:
    """The same for a source that tells by itself."""
    source = Feed()
    source.batches.put_nowait([5])  # type: ignore[list-item]
    source.batches.put_nowait([Decided("decisions", decision("d"))])
    async with running(valkey, source):
        await eventually(lambda: len(envelopes(valkey, "decisions")) == 1, "the decision")
    assert source.started == 2


async def test_a_call_that_is_cancelled_from_within(valkey: Valkey) -> None:
    """A source whose own task was cancelled is asked again; the worker went silent once."""

    def cancelled() -> Sequence[Reading]:
        raise asyncio.CancelledError

    async with running(valkey, Script(cancelled, say(balance(1)))):
        await eventually(lambda: balances(valkey) == ["1"], "the publish after it")
    assert source_health(valkey)[0] == ("down", "it was cancelled from within")


class Panic(BaseException):
    """As libraries raise that are written in Rust."""


@pytest.mark.parametrize("error", [Panic("at line 7"), SystemExit("at line 7")])
async def test_what_is_no_exception(valkey: Valkey, error: BaseException) -> None:
    """It is a failure like others; it ended the worker, and with SystemExit the process."""
    source = Feed()
    source.batches.put_nowait(error)
    source.batches.put_nowait([balance(2)])
    async with running(valkey, Script(fail(error), say(balance(1)))):
        await eventually(lambda: balances(valkey) == ["1"], "the publish after it")
    async with running(valkey, source):
        await eventually(lambda: balances(valkey) == ["1", "2"], "the publish after it")
    down = ("down", f"{type(error).__name__}: at line 7")
    assert source_health(valkey).count(down) == 2


async def test_a_failure_with_a_long_text(valkey: Valkey) -> None:
    """It is cut short, and what is no text replaced: health that was too large, or no UTF-8, was
    refused, so that nothing told of the failure."""
    error = SourceError("\udcff" + "x" * MAX_DATA_BYTES)
    async with running(valkey, Script(fail(error))):
        await eventually(lambda: bool(envelopes(valkey, "health")), "health")
    assert source_health(valkey)[0] == ("down", "?" + "x" * (MAX_DETAIL - 1))


async def test_changes_only(valkey: Valkey) -> None:
    """A source is asked over and over; only what changed travels."""
    source = Script(*[say(balance(1))] * 5, *[say(balance(2))] * 5, say(balance(3)))
    async with running(valkey, source):
        await eventually(lambda: source.calls > 20, "twenty calls")
    assert balances(valkey) == ["1", "2", "3"]


async def test_each_reading_in_its_way(valkey: Valkey) -> None:
    """Values, tables, decisions, events and troubles each go to their channel."""
    source = Script(
        say(
            balance(1),
            Positions("positions", (position("p"),)),
            Decided("decisions", decision("d")),
            Happened("agent:x", Event.ERROR, Failure(component="c", detail="d"), key="once"),
            Relayed("notes", "note", msgspec.Raw(b'{"b": 1.10, "a": 2}'), key="once"),
            Relayed("status", "status", msgspec.Raw(b'{"up": true}'), lease=7),
            Trouble("alerts", title="t", detail="d", key="once"),
        )
    )
    reported: list[tuple[Reading, Result]] = []
    report = lambda *report: reported.append(report)  # noqa: E731
    async with running(valkey, source, report=report):
        await eventually(lambda: source.calls > 3, "three calls")
    expected = {
        "portfolio": ["portfolio_update"],
        "positions": ["positions_update"],
        "decisions": ["decision_made"],
        "agent": ["position_opened"],
        "agent:x": ["error"],
        "alerts": ["alert"],
        "notes": ["note"],
        "status": ["status"],
        "health": ["health"],
    }
    for channel, events in expected.items():
        assert [each.event for each in envelopes(valkey, channel)] == events
    assert len(reported) >= 7 * 3
    assert envelopes(valkey, "notes")[0].data == b'{"a":2,"b":1.10}'
    assert meta(valkey, "status")["lease"] == "7000"


async def test_leases(valkey: Valkey) -> None:
    """The channels of a source are renewed, those too that it had nothing new for."""
    source = Script(say(balance(1)), channels=("portfolio", "positions", "decisions", "health"))
    async with running(valkey, source, interval=0.5, timeout=2) as worker:
        assert worker.lease_seconds == 2.5
        await eventually(lambda: source.calls > 0, "a call")
        for channel in source.channels:
            await eventually(
                lambda channel=channel: meta(valkey, channel).get("lease") == "2500",  # type: ignore[misc]
                f"a lease of {channel}",
            )


def test_lease_of_a_slow_source() -> None:
    """A lease outlasts three intervals, and one interval with a call that takes all its time."""
    publisher = Publisher("redis://localhost")
    for interval, timeout, lease in ((10, 3, 30), (0.5, 3, 3.5)):
        worker = Worker(Script(), publisher, interval=interval, timeout=timeout)
        assert worker.lease_seconds == lease


async def test_a_call_that_hangs(valkey: Valkey) -> None:
    """A call is cancelled at its time limit, told as failed, and the source is asked again."""
    source = Script(lambda: HANG, say(balance(1)))
    async with running(valkey, source, timeout=0.05):
        await eventually(lambda: source.calls > 1, "a second call")
    assert source.cancelled == 1
    assert source_health(valkey)[0] == ("down", "no answer within 0.05 s")
    assert source_health(valkey)[-1] == ("ok", None)


async def test_a_call_that_will_not_end(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that goes on when it is cancelled is told as failed, and no other begins beside it.

    The worker waited for it without an end, and said nothing."""
    monkeypatch.setattr("producers.worker.CANCEL_SECONDS", 0.01)
    source = Script(lambda: STICK, say(balance(1)))
    async with running(valkey, source, timeout=0.05):
        goes_on = ("down", "a call that was cancelled goes on all the same")
        await eventually(lambda: goes_on in source_health(valkey), "its health")
        assert source.calls == 1
        source.unstuck.set()
        await eventually(lambda: balances(valkey) == ["1"], "the call after it")
    assert source_health(valkey)[0] == ("down", "no answer within 0.05 s")
    assert source_health(valkey)[-1] == ("ok", None)


async def test_a_source_that_will_not_end_is_left_behind(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A following source that goes on when it is closed does not hold up the end."""
    monkeypatch.setattr("producers.worker.FINISH_SECONDS", 0.05)

    class Sticky(Feed):
        async def follow(self) -> AsyncGenerator[Sequence[Reading]]:
            yield []
            try:
                await asyncio.Event().wait()
            finally:
                self.closed += 1
                await self.batches.get()

    source = Sticky()
    async with running(valkey, source):
        await eventually(lambda: source_health(valkey) == [("ok", None)], "a first batch")
    assert source.closed == 1
    assert "the source does not end; it is left behind" in caplog.messages
    source.batches.put_nowait([])


async def test_a_source_that_asks_to_be_left_alone(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a rate limit the source is left alone as long as it says, within reason, and then for
    the pause that every failure has."""
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr("producers.pauses.random.uniform", lambda low, high: 1)
    monkeypatch.setattr("producers.worker.asyncio.sleep", noted)
    source = Script(
        fail(SourceBusy("429, in 7 s", 7)),
        fail(SourceBusy("nonsense", -5)),
        fail(SourceBusy("nonsense", 1e9)),
    )
    async with running(valkey, source, first_pause=1, longest_pause=1):
        while source.calls < 4:
            await sleep(0.001)
    assert pauses[:3] == [8, 1, 3601]
    assert ("down", "429, in 7 s") in source_health(valkey)


async def test_a_source_that_never_begins(valkey: Valkey) -> None:
    """A following source that has no first batch in time is told as failed and begun again."""
    feed = Feed()
    async with running(valkey, feed, start_timeout=0.05):
        await eventually(lambda: feed.started == 2, "another start")
    assert source_health(valkey)[0] == ("down", "no answer within 0.05 s")
    assert feed.closed == feed.started


async def test_a_following_source_that_is_cancelled_from_within(valkey: Valkey) -> None:
    """It is followed again; the worker ended once."""
    feed = Feed()
    async with running(valkey, feed):
        feed.batches.put_nowait(asyncio.CancelledError())
        feed.batches.put_nowait([Decided("decisions", decision("d"))])
        await eventually(lambda: len(envelopes(valkey, "decisions")) == 1, "a decision")
    assert source_health(valkey)[0] == ("down", "it was cancelled from within")


async def test_an_input_that_ends(valkey: Valkey) -> None:
    """The worker ends by itself once everything is published, though Redis be away meanwhile."""
    feed = Feed()
    timing = Timing(connect_seconds=0.2, answer_seconds=0.2, longest_pause_seconds=0.1)
    async with Publisher(valkey.url, timing=timing) as publisher:
        await publisher.ping()
        valkey.freeze()
        for n in range(3):
            feed.batches.put_nowait([Decided("decisions", decision(f"d{n}"))])
        feed.batches.put_nowait(InputEnded("three lines"))
        worker = asyncio.create_task(Worker(feed, publisher).run())
        await eventually(lambda: feed.closed == 1, "the end of the input")
        await eventually(lambda: publisher.is_away, "a failed round")
        assert not worker.done()
        valkey.thaw()
        async with asyncio.timeout(20):
            await worker
    assert [data["id"] for _, data in history(valkey, "decisions")] == ["d0", "d1", "d2"]
    assert source_health(valkey)[-1] == ("ok", None)


@pytest.mark.parametrize("deaf", [ValueError("not listening"), SystemExit()])
async def test_a_source_hears_what_became_of_its_readings(
    valkey: Valkey, caplog: pytest.LogCaptureFixture, deaf: BaseException
) -> None:
    """Each reading and its answer; a source that fails at it has published all the same, whatever
    it raises."""
    reading = balance(1)
    source = Script(say(reading))
    source.deaf = deaf
    async with running(valkey, source):
        await eventually(lambda: len(source.heard) > 1, "two answers")
    assert source.heard[0][0] == reading
    assert isinstance(source.heard[0][1], Answer)
    assert balances(valkey) == ["1"]
    assert "the source failed at hearing what became of a reading" in caplog.messages


@pytest.mark.parametrize("nonsense", [None, 7])
async def test_channels_that_are_none(valkey: Valkey, nonsense: Any) -> None:
    """A source that does not say its channels is published, and nothing of it is fresh; it ended
    the worker."""
    source = Script(say(balance(1)), say(balance(2)), channels=nonsense)
    async with running(valkey, source):
        await eventually(lambda: balances(valkey) == ["1", "2"], "both")
    assert "until" not in meta(valkey, "portfolio")


async def test_a_source_never_stops_the_others(valkey: Valkey) -> None:
    """Beside sources that hang, raise and talk nonsense, another goes on as if it were alone."""
    # Decisions, since values conflate.
    made = [Decided("decisions", decision(f"d{n}")) for n in range(30)]
    good = Script(*map(say, made), channels=("decisions", "health"))
    hangs = Script(lambda: HANG, channels=("health",))
    raises = Script(fail(ZeroDivisionError()), channels=("health",))
    nonsense = Script(lambda: cast(Any, 5), channels=("health",))
    async with contextlib.AsyncExitStack() as stack:
        for bad in (hangs, raises, nonsense):
            await stack.enter_async_context(running(valkey, bad, timeout=0.05))
        await stack.enter_async_context(running(valkey, good))
        await eventually(lambda: len(history(valkey, "decisions")) == 30, "all thirty")
        await eventually(lambda: min(each.calls for each in (hangs, raises, nonsense)) > 1, "all")
    assert [data["id"] for _, data in history(valkey, "decisions")] == [f"d{n}" for n in range(30)]


async def test_failures(valkey: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    """A source may raise what it likes: it is left alone, asked again, and its health told."""
    caplog.set_level(logging.INFO, "producers")
    source = Script(
        fail(SourceError("closed for the weekend")), fail(ZeroDivisionError()), say(balance(1))
    )
    async with running(valkey, source):
        await eventually(lambda: source.calls > 3, "calls after the failures")
    assert source_health(valkey) == [
        ("down", "closed for the weekend"),
        ("down", "ZeroDivisionError"),
        ("ok", None),
    ]
    assert balances(valkey) == ["1"]
    first, second, third = [each for each in caplog.records if each.name == "producers.worker"]
    assert first.exc_info is None
    assert second.exc_info is not None
    assert third.getMessage() == "the source is well again after 2 failures"


async def test_a_failed_source_goes_stale(valkey: Valkey) -> None:
    """While a source fails its channels are not renewed, and its health is."""
    source = Script(say(balance(1)), fail(SourceError("gone")))
    async with running(valkey, source):
        await eventually(lambda: "until" in meta(valkey, "portfolio"), "the first lease")
        await eventually(lambda: source.calls > 1, "a failure")
        last_sign = meta(valkey, "portfolio")["until"]
        calls = source.calls
        await eventually(lambda: source.calls > calls + 2, "more failures")
        assert meta(valkey, "portfolio")["until"] == last_sign
        assert meta(valkey, "health")["until"] > last_sign


async def test_pauses_grow(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each failure in a row doubles the pause, with jitter, up to the longest."""
    ranges: list[tuple[float, float]] = []
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    def uniform(low: float, high: float) -> float:
        ranges.append((low, high))
        return 0.75

    monkeypatch.setattr("producers.pauses.random.uniform", uniform)
    monkeypatch.setattr("producers.worker.asyncio.sleep", noted)
    source = Script(fail(SourceError("gone")))
    async with running(valkey, source, first_pause=1, longest_pause=5):
        while source.calls < 6:
            await sleep(0.001)
    assert pauses[:5] == [0.75, 1.5, 3.0, 3.75, 3.75]
    assert set(ranges) == {(0.5, 1)}


async def test_health_is_merged(valkey: Valkey) -> None:
    """What the source says of its health and what the worker knows stand in one value."""
    own = Health(state=HealthState.DEGRADED, components={"market": Component(state=HealthState.OK)})
    source = Script(say(State("health", own)))
    async with running(valkey, source):
        await eventually(lambda: source.calls > 2, "two calls")
    last = history(valkey, "health")[-1][1]
    assert last["state"] == "degraded"
    assert last["components"].keys() == {"market", "source"}


async def test_refusals_show_in_health(valkey: Valkey) -> None:
    """A channel that refuses what is published to it shows in the health, until it takes it."""
    async with Publisher(valkey.url) as publisher:
        await publisher.publish("portfolio:x", "e", 1)
    refused: Reading = Happened("portfolio:x", Event.ERROR, Failure(component="c", detail="d"), "k")

    def details() -> list[str | None]:
        return [
            data["components"].get("publish", {}).get("detail")
            for _event, data in history(valkey, "health")
        ]

    def shows() -> bool:
        return any(each and "expected a log" in each for each in details())

    # Health is a value: what was not sent yet when it is well again would never be seen.
    source = Script(
        lambda: [State("portfolio:x", portfolio())] if shows() else [refused, balance(1)]
    )
    async with running(valkey, source):
        await eventually(lambda: shows() and details()[-1] is None, "refused, then taken")
    assert balances(valkey) == ["1"]


async def test_polling_goes_on_in_an_outage(valkey: Valkey) -> None:
    """While Redis is away the source is asked all the same; afterwards its newest state travels."""
    count = iter(range(10**9))
    source = Script(lambda: [balance(next(count))])
    async with running(valkey, source):
        await eventually(lambda: source.calls > 3, "calls before")
        valkey.freeze()
        calls = source.calls
        await eventually(lambda: source.calls > calls + 50, "calls while Redis is away")
        valkey.thaw()
        newest = next(count)
        await eventually(lambda: int(balances(valkey)[-1]) > newest, "the newest state")
    assert len(balances(valkey)) < source.calls


async def test_stop_lets_publishes_finish(valkey: Valkey) -> None:
    """What was read before `stop` is published, positions' events included."""
    rows: list[TradingPosition] = []
    source = Script(lambda: [Positions("positions", tuple(rows))])
    async with running(valkey, source) as worker:
        await eventually(lambda: source.calls > 1, "a call")
        valkey.freeze()
        rows.append(position("a"))
        calls = source.calls
        await eventually(lambda: source.calls > calls + 1, "a call that read it")
        worker.stop()
        for _ in range(20):
            await asyncio.sleep(0)
        valkey.thaw()
    assert [event for event, _ in history(valkey, "agent")] == ["position_opened"]


async def test_stop_interrupts_a_call(valkey: Valkey) -> None:
    """A call that hangs does not hold up the end."""
    source = Script(lambda: HANG)
    async with running(valkey, source, timeout=3600) as worker:
        await eventually(lambda: source.calls > 0, "a call")
        worker.stop()
    assert source.cancelled == 1


async def test_a_following_source(valkey: Valkey) -> None:
    """What it tells is published as it comes; closing it is the worker's duty."""
    feed = Feed()
    async with running(valkey, feed):
        feed.batches.put_nowait([])
        feed.batches.put_nowait([Decided("decisions", decision(f"d{n}")) for n in range(3)])
        await eventually(lambda: len(envelopes(valkey, "decisions")) == 3, "three decisions")
        assert feed.closed == 0
    assert feed.closed == 1
    assert [data["id"] for _, data in history(valkey, "decisions")] == ["d0", "d1", "d2"]


async def test_a_following_source_is_renewed(valkey: Valkey) -> None:
    """Its channels are renewed while it is well, not before its first batch."""
    feed = Feed()
    async with running(valkey, feed):
        await eventually(lambda: feed.started == 1, "the start")
        assert meta(valkey, "decisions") == {}
        feed.batches.put_nowait([])
        await eventually(lambda: "until" in meta(valkey, "decisions"), "a lease")
        first = meta(valkey, "decisions")["until"]
        await eventually(lambda: meta(valkey, "decisions")["until"] > first, "a renewal")


async def test_a_following_source_that_fails(valkey: Valkey) -> None:
    """It is followed again, after a pause in which nothing is renewed."""
    feed = Feed()
    async with running(valkey, feed):
        feed.batches.put_nowait([])
        await eventually(lambda: source_health(valkey) == [("ok", None)], "a first batch")
        feed.batches.put_nowait(SourceError("gone"))
        await eventually(lambda: feed.started == 2, "the second start")
        feed.batches.put_nowait([Decided("decisions", decision("d"))])
        await eventually(lambda: len(envelopes(valkey, "decisions")) == 1, "a decision")
    assert [state for state, _ in source_health(valkey)] == ["ok", "down", "ok"]


async def test_a_source_that_is_slow_to_close(valkey: Valkey) -> None:
    """Its channels go stale; they were kept fresh for as long as it took to close."""
    source = Feed()
    source.closing.clear()
    source.batches.put_nowait([Decided("decisions", decision("d"))])
    async with running(valkey, source, timeout=1.0):
        await eventually(lambda: "until" in meta(valkey, "decisions"), "the decision")
        source.batches.put_nowait([5])  # type: ignore[list-item]
        await eventually(lambda: source.closed == 1, "that it is closed")
        await eventually(
            lambda: int(meta(valkey, "decisions")["until"]) < time.time() * 1_000_000, "stale"
        )
        source.closing.set()


async def test_a_following_source_does_not_read_ahead(valkey: Valkey) -> None:
    """While Redis is away it is not read beyond a bound; nothing is lost."""
    feed = Feed()
    async with running(valkey, feed):
        feed.batches.put_nowait([])
        await eventually(lambda: "until" in meta(valkey, "decisions"), "the start")
        valkey.freeze()
        total = 3 * MAX_AHEAD
        for n in range(total):
            feed.batches.put_nowait([Decided("decisions", decision(f"d{n}"))])
        await eventually(lambda: feed.batches.qsize() < total - MAX_AHEAD + 10, "reading ahead")
        left = feed.batches.qsize()
        for _ in range(100):
            await asyncio.sleep(0)
        assert feed.batches.qsize() == left >= total - MAX_AHEAD - 1
        valkey.thaw()
        await eventually(lambda: len(envelopes(valkey, "decisions")) == total, "all of them")
    assert [data["id"] for _, data in history(valkey, "decisions")] == [
        f"d{n}" for n in range(total)
    ]


async def test_publish_once(valkey: Valkey) -> None:
    """What a source holds is published, and counted by what became of it."""
    feed = Feed()
    readings: list[Reading] = [
        *(Decided("decisions", decision(f"d{n}")) for n in range(2)),
        Decided("Wrong", decision("d")),
        Trouble("alerts", title="t", detail="d", key="k"),
    ]
    async with Publisher(valkey.url) as publisher:
        await publisher.decision(decision("d0"))
        feed.batches.put_nowait(readings)
        counts = await publish_once(feed, publisher)
    assert counts == {"published": 1, "unchanged": 1, "refused": 1, "broken": 1}


async def test_the_paper_agent(valkey: Valkey) -> None:
    """The paper agent through a worker: all its channels, and P&L that adds up on the wire."""
    source = PaperSource(seed=3)
    async with running(valkey, source, interval=0.005):
        await eventually(
            lambda: any(event == "position_closed" for event, _ in history(valkey, "agent")),
            "a position that was closed",
        )
    for _event, data in history(valkey, "portfolio"):
        equity = Decimal(data["balance"]) + Decimal(data["unrealized_pnl"])
        assert Decimal(data["equity"]) == equity
    events = {event for event, _ in history(valkey, "agent")}
    assert {"state_transition", "decision_made", "trade_executed", "position_opened"} <= events
    assert {"decision_made", "decision_updated"} == {e for e, _ in history(valkey, "decisions")}
    ids = [data["id"] for event, data in history(valkey, "decisions") if event == "decision_made"]
    assert len(set(ids)) == len(ids)


async def test_the_decision_store(valkey: Valkey, tmp_path: Path) -> None:
    """Decisions once over restarts; what is added, completed and rewritten arrives."""

    def write(name: str, **fields: object) -> None:
        content = {"id": name, "asset_pair": "A", "action": "BUY", **fields}
        (tmp_path / f"{name}.json").write_text(json.dumps(content))

    def told() -> list[tuple[str, str]]:
        return [(event, data["id"]) for event, data in history(valkey, "decisions")]

    write("first")
    (tmp_path / "half.json").write_text('{"id": "half", "asset_p')
    async with running(valkey, DecisionStoreSource(tmp_path)):
        await eventually(lambda: told() == [("decision_made", "first")], "the first")
    async with running(valkey, DecisionStoreSource(tmp_path)):
        write("added")
        await eventually(lambda: len(told()) == 2, "the added one")
        write("half")
        await eventually(lambda: len(told()) == 3, "the completed one")
        write("first", executed=True)
        await eventually(lambda: len(told()) == 4, "the rewritten one")
    async with running(valkey, DecisionStoreSource(tmp_path)) as worker:
        await eventually(lambda: "until" in meta(valkey, "decisions"), "another start")
        worker.stop()
    assert told() == [
        ("decision_made", "first"),
        ("decision_made", "added"),
        ("decision_made", "half"),
        ("decision_updated", "first"),
    ]
