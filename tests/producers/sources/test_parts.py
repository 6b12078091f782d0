"""producers/sources/parts.py: parts that fail by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest

from producers.errors import SourceError
from producers.events import Health
from producers.failures import MAX_DETAIL
from producers.pauses import Pauses
from producers.sources.base import Reading, State
from producers.sources.parts import Part, Parts
from tests.producers.payloads import portfolio


class Panic(BaseException):
    """As libraries raise that are written in Rust."""


class Feed:
    """A part that says what a test puts in; an exception is raised, None ends it."""

    def __init__(self, name: str, *channels: str) -> None:
        self.name = name
        self.channels = channels
        self.said: asyncio.Queue[Sequence[Reading] | BaseException | None] = asyncio.Queue()
        self.closed = 0

    @property
    def part(self) -> Part:
        return Part(self.name, self.channels, self.follow)

    async def follow(self) -> AsyncGenerator[Sequence[Reading]]:
        try:
            while (batch := await self.said.get()) is not None:
                if isinstance(batch, BaseException):
                    raise batch
                yield batch
        finally:
            self.closed += 1


READING: Reading = State("portfolio", portfolio())


def parts(*feeds: Feed, **options: object) -> Parts:
    """These feeds as parts, with no pauses to speak of."""
    return Parts(
        [feed.part for feed in feeds],
        "health:x",
        pauses=lambda: Pauses(0.001, 0.001),
        **options,  # type: ignore[arg-type]
    )


def states(batch: Sequence[Reading]) -> dict[str, tuple[str, str | None]]:
    """The components of the health that ends a batch."""
    reading = batch[-1]
    assert isinstance(reading, State)
    assert isinstance(reading.payload, Health)
    components = reading.payload.components
    return {name: (str(each.state), each.detail) for name, each in components.items()}


async def test_parts_fail_by_themselves() -> None:
    """One that fails is told as down, and takes its channels with it; the others go on."""
    balance, fills = Feed("balance", "portfolio", "positions"), Feed("fills", "agent", "positions")
    both = parts(balance, fills)
    follow = both.follow()
    assert await anext(follow) == []
    assert set(both.channels) == {"health:x"}
    balance.said.put_nowait([READING])
    batch = await anext(follow)
    assert batch[0] == READING
    assert states(batch) == {"balance": ("ok", None)}
    assert set(both.channels) == {"portfolio", "health:x"}
    fills.said.put_nowait([])
    assert states(await anext(follow)) == {"balance": ("ok", None), "fills": ("ok", None)}
    assert set(both.channels) == {"portfolio", "positions", "agent", "health:x"}
    fills.said.put_nowait(SourceError("429"))
    assert states(await anext(follow)) == {"balance": ("ok", None), "fills": ("down", "429")}
    assert set(both.channels) == {"portfolio", "health:x"}
    balance.said.put_nowait([READING])
    assert await anext(follow) == [READING]
    fills.said.put_nowait([])
    assert states(await anext(follow))["fills"] == ("ok", None)
    await follow.aclose()
    assert (balance.closed, fills.closed) == (1, 2)


@pytest.mark.parametrize(
    ("failure", "detail"),
    [
        (None, "it ended"),
        (asyncio.CancelledError(), "it was cancelled from within"),
        (ZeroDivisionError(), "ZeroDivisionError"),
        (ValueError("x" * 1000), "x" * MAX_DETAIL),
        (Panic("of a library"), "Panic: of a library"),
    ],
)
async def test_any_failure_is_told_once(failure: BaseException | None, detail: str) -> None:
    """Whatever a part raises, it is followed again; the same reason twice is no news."""
    feed = Feed("a", "portfolio")
    follow = parts(feed).follow()
    await anext(follow)
    feed.said.put_nowait(failure)
    assert states(await anext(follow)) == {"a": ("down", detail)}
    feed.said.put_nowait(failure)
    assert await anext(follow) == []
    feed.said.put_nowait([])
    assert states(await anext(follow)) == {"a": ("ok", None)}
    await follow.aclose()


async def test_a_part_that_never_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told as failed, and begun again."""
    monkeypatch.setattr("producers.sources.parts.START_SECONDS", 0.01)
    feed = Feed("a", "portfolio")
    follow = parts(feed).follow()
    await anext(follow)
    assert states(await anext(follow)) == {"a": ("down", "no answer in time")}
    await follow.aclose()


async def test_nothing_secret_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    """Neither on health nor in the log, the traceback of a fault included."""
    feed = Feed("a", "portfolio")
    follow = parts(feed, shown=lambda text: text.replace("hush", "...")).follow()
    await anext(follow)
    feed.said.put_nowait(ValueError("key hush"))
    assert states(await anext(follow)) == {"a": ("down", "key ...")}
    await follow.aclose()
    assert "hush" not in caplog.text
    assert "Traceback" in caplog.text


async def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that says more than is taken waits, and loses nothing."""
    monkeypatch.setattr("producers.sources.parts.MAX_WAITING", 2)
    feed = Feed("a", "portfolio")
    follow = parts(feed).follow()
    await anext(follow)
    for _ in range(10):
        feed.said.put_nowait([READING])
    for _ in range(100):
        await asyncio.sleep(0)
    assert feed.said.qsize() >= 7
    for _ in range(10):
        assert READING in await anext(follow)
    await follow.aclose()
