"""Tests of hub.server.turnstile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from hub.broker.memory import MemoryBroker
from hub.server.turnstile import Open, Turnstile
from tests.support.brokers import eventually
from tests.support.livehub import LiveHub
from tests.support.upgrade_requests import head


class Door:
    """A turnstile whose every entry takes a second of its own clock; three fit into a turn."""

    def __init__(self) -> None:
        self.now = 0.0
        self.seen: list[object] = []
        self.turnstile = Turnstile(lambda: self.now, turn_seconds=3)

    def come(self, *names: object) -> None:
        """These come one after another."""
        for name in names:
            self.turnstile.enter(self.opener(name))

    def opener(self, name: object) -> Callable[[], None]:
        def open() -> None:
            self.now += 1
            self.seen.append(name)

        return open


async def turn() -> None:
    """Let the loop turn once."""
    await asyncio.sleep(0)


async def test_whoever_fits_into_a_turn_enters_at_once() -> None:
    """The others wait, in order, three a turn; who comes meanwhile waits behind them."""
    door = Door()
    door.come(*range(8))
    assert door.seen == [0, 1, 2]
    await turn()
    assert door.seen == [0, 1, 2, 3, 4, 5]
    door.come("late")
    assert door.seen == [0, 1, 2, 3, 4, 5]
    await turn()
    assert door.seen == [0, 1, 2, 3, 4, 5, 6, 7, "late"]
    await turn()
    door.come("later")
    assert door.seen[-1] == "later"


async def test_others_have_their_turn_between() -> None:
    """A storm is let in beside what else the loop has to do."""
    door = Door()
    door.come(*range(9))

    def deliver() -> None:
        door.seen.append("frame")

    for _ in range(3):
        asyncio.get_running_loop().call_soon(deliver)
        await turn()
    assert door.seen == [0, 1, 2, 3, 4, 5, "frame", 6, 7, 8, "frame", "frame"]


async def test_one_that_fails_keeps_nobody_waiting() -> None:
    """At once its caller hears of it, in a later turn the loop does."""
    door, reported = Door(), []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: reported.append(context["exception"])
    )

    def fail() -> None:
        door.now += 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        door.turnstile.enter(fail)
    door.come(1, 2)
    door.turnstile.enter(fail)
    door.come(3)
    await turn()
    await turn()
    assert door.seen == [1, 2, 3]
    assert [type(error) for error in reported] == [ZeroDivisionError]


class Queue:
    """A hub whose turnstile lets nobody in until it is told to."""

    def __init__(self, live: LiveHub) -> None:
        self.live = live
        self.waiting: list[Open] = []
        setattr(live.hub.turnstile, "enter", self.waiting.append)  # noqa: B010 - mypy takes no other

    async def come(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection whose request has arrived, and waits."""
        before = len(self.waiting)
        reader, writer = await asyncio.open_connection(
            *self.live.url.removeprefix("http://").split(":")
        )
        writer.write(head())
        await eventually(lambda: len(self.waiting) > before, "its request waits")
        return reader, writer

    def open(self) -> None:
        """Let everybody in who waits."""
        for open in self.waiting:
            open()


@pytest.fixture
async def queue() -> AsyncIterator[Queue]:
    async with LiveHub(MemoryBroker()) as live:
        yield Queue(live)


async def test_a_connection_that_waited_is_like_any_other(queue: Queue) -> None:
    """Its answer and its welcome come when it is let in."""
    reader, writer = await queue.come()
    queue.open()
    assert (await reader.readline()).startswith(b"HTTP/1.1 101")
    assert b'"welcome"' in await reader.readuntil(b"}")
    assert len(queue.live.hub.connections) == 1
    writer.transport.abort()


async def test_whoever_left_meanwhile_is_not_let_in(queue: Queue) -> None:
    """There is nobody to open a session for."""
    _, writer = await queue.come()
    writer.transport.abort()
    protocols = [open.__self__ for open in queue.waiting]  # type: ignore[attr-defined]
    await eventually(lambda: all(p._transport.is_closing() for p in protocols), "it is gone")
    queue.open()
    assert not queue.live.hub.connections
    assert queue.live.hub.metrics.accepted == 0


async def test_frames_before_the_answer_are_refused(queue: Queue) -> None:
    """A client must wait for the answer (RFC 6455 section 4.1), also where it takes a while; and
    what it sends is not piled up."""
    reader, writer = await queue.come()
    protocol = queue.waiting[0].__self__  # type: ignore[attr-defined]
    limit = queue.live.settings.header_bytes
    writer.write(b"x" * 4 * limit)
    await eventually(lambda: len(protocol._head) > limit, "more came than a head may be")
    await writer.drain()
    assert len(protocol._head) < limit + 256 * 1024
    queue.open()
    assert (await reader.readline()).startswith(b"HTTP/1.1 431")
    writer.transport.abort()


async def test_one_that_cannot_be_opened_is_aborted(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong is raised, and its client does not wait for ever."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    reader, writer = await queue.come()
    monkeypatch.setattr("hub.server.websocket.open_handshake", fail)
    with pytest.raises(ZeroDivisionError):
        queue.open()
    with contextlib.suppress(ConnectionError):
        assert not await reader.read()
    writer.transport.abort()
