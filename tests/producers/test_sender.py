"""producers/sender.py: each publish once and in order, whatever happens to Redis.

Through `Publisher`, which is the sender's only user.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from hub.protocol.streams import Kind, Stream
from producers.answers import Answer, Outcome, Ticket
from producers.buffer import MemoryBuffer
from producers.errors import ProducerError, PublisherClosed, PublishRefused
from producers.link import Link, Timing
from producers.publisher import Publisher
from producers.sender import ROUND_PUBLISHES
from tests.producers.redis_view import command, envelopes, eventually, history
from tests.support.valkey import Valkey

QUICK = Timing(
    connect_seconds=0.2, answer_seconds=0.2, longest_pause_seconds=0.1, drain_seconds=20.0
)


def publisher(valkey: Valkey, **options: object) -> Publisher:
    return Publisher(valkey.url, **{"timing": QUICK, **options})  # type: ignore[arg-type]


def entry(to: Publisher, number: int, channel: str = "log") -> asyncio.Task[Answer]:
    return asyncio.create_task(to.publish(channel, "entry", {"n": number}, wait=True))


def seq_of(answer: Answer) -> int:
    assert answer.position is not None
    return answer.position.seq


def numbers(valkey: Valkey, channel: str = "log") -> list[int]:
    return [data["n"] for _event, data in history(valkey, channel)]


async def test_concurrent_calls_keep_their_order(valkey: Valkey) -> None:
    """Calls share rounds, and each gets the position of its turn."""
    count = 3 * ROUND_PUBLISHES
    async with publisher(valkey) as to:
        answers = await asyncio.gather(*(entry(to, n) for n in range(count)))
    assert [seq_of(each) for each in answers] == list(range(1, count + 1))
    assert numbers(valkey) == list(range(count))
    assert to.counts == {"stored": count}


async def test_calls_share_round_trips(valkey: Valkey) -> None:
    """A thousand publishes at once are a few reads of the server, not a thousand."""
    async with publisher(valkey) as to:
        await entry(to, 0)
        before = command(valkey, "INFO", "stats")["total_reads_processed"]
        await asyncio.gather(*(entry(to, n) for n in range(1_000)))
        after = command(valkey, "INFO", "stats")["total_reads_processed"]
    # A round of many bytes is read in several pieces.
    assert after - before < 200


async def test_frozen_redis(valkey: Valkey) -> None:
    """A publish that timed out may have happened: sent again, it gets the same position."""
    async with publisher(valkey) as to:
        await entry(to, 0)
        valkey.freeze()
        calls = [entry(to, n) for n in range(1, 400)]
        await eventually(lambda: to.is_away, "a round that timed out")
        valkey.thaw()
        answers = await asyncio.gather(*calls)
    assert [seq_of(each) for each in answers] == list(range(2, 401))
    # The frozen server had read nothing, and carries out what it finds when it wakes.
    assert any(each.receipt and each.receipt.duplicate for each in answers)
    assert numbers(valkey) == list(range(400))


async def test_links_that_break(valkey: Valkey) -> None:
    """Links killed over and over, with publishes in flight: nothing is lost or doubled."""
    async with publisher(valkey) as to:
        calls = []
        for n in range(600):
            calls.append(entry(to, n))
            if n % 20 == 0:
                command(valkey, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                await asyncio.sleep(0)
        await asyncio.gather(*calls)
    assert numbers(valkey) == list(range(600))


async def test_a_link_that_breaks_in_the_middle_of_the_answers(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who had an answer has it before the others do, and what was answered is not sent again."""
    real, pieces, answered = Link.replies, 0, 0
    calls: list[asyncio.Task[Any]] = []

    async def breaks_off(self: Link, count: int, *, more_seconds: float = 0.0) -> list[Any]:
        nonlocal pieces, answered
        pieces += count > 1
        if pieces == 2:
            await eventually(lambda: any(call.done() for call in calls), "answers of a piece")
            answered = sum(call.done() for call in calls)
            assert to._sender.unanswered == 100 - answered
            raise ConnectionResetError
        return await real(self, count, more_seconds=more_seconds)

    async with publisher(valkey) as to:
        await entry(to, 0)
        command(valkey, "CONFIG", "RESETSTAT")
        monkeypatch.setattr(Link, "replies", breaks_off)
        calls += [entry(to, n) for n in range(1, 101)]
        answers = await asyncio.gather(*calls)
    assert 0 < answered < 100
    assert [seq_of(each) for each in answers] == list(range(2, 102))
    assert numbers(valkey) == list(range(101))
    assert command(valkey, "INFO", "commandstats")["cmdstat_evalsha"]["calls"] == 200 - answered


async def test_killed_redis(durable_valkey: Valkey) -> None:
    """Killed and started again on its append-only file: nothing is lost or doubled."""
    valkey = durable_valkey
    async with publisher(valkey) as to:
        calls = []
        for n in range(600):
            calls.append(entry(to, n))
            if n in (200, 400):
                await calls[n - 100]
                await asyncio.to_thread(valkey.kill)
                calls.append(entry(to, -n))
                await eventually(lambda: to.is_away, "a round that found no server")
                await asyncio.to_thread(valkey.start)
        answers = await asyncio.gather(*calls)
    assert [seq_of(each) for each in answers] == list(range(1, 603))
    assert sorted(numbers(valkey)) == [-400, -200, *range(600)]


async def test_no_redis_at_first() -> None:
    """A producer may start before its Redis."""
    with Valkey() as valkey:
        valkey.kill()
        async with publisher(valkey) as to:
            call = entry(to, 1)
            await eventually(lambda: to.is_away, "a round that found no server")
            await asyncio.to_thread(valkey.start)
            assert seq_of(await call) == 1


async def test_forgotten_script(valkey: Valkey) -> None:
    """A server that forgot the script is given it again."""
    async with publisher(valkey) as to:
        await entry(to, 1)
        command(valkey, "SCRIPT", "FLUSH")
        assert seq_of(await entry(to, 2)) == 2


async def test_redis_that_can_not_just_now(valkey: Valkey) -> None:
    """What Redis can't do now, it is asked again."""
    async with publisher(valkey) as to:
        await entry(to, 1)
        command(valkey, "CONFIG", "SET", "maxmemory", "1")
        call = entry(to, 2)
        await eventually(lambda: to.is_away, "a publish that Redis has no memory for")
        command(valkey, "CONFIG", "SET", "maxmemory", "0")
        assert seq_of(await call) == 2


async def test_a_refusal_is_its_callers_alone(valkey: Valkey) -> None:
    """A publish of another kind is refused; its neighbours in the round go on."""
    async with publisher(valkey) as to:
        await to.publish("orders", "entry", 1)
    other = {"orders": Stream(Kind.VALUE)}
    async with publisher(valkey, streams=other) as to:
        before, refused, after = entry(to, 1), to.publish("orders", "entry", 1), entry(to, 2)
        with pytest.raises(PublishRefused, match="orders is a log, not a value"):
            await refused
        assert (seq_of(await before), seq_of(await after)) == (1, 2)
    assert to.counts == {"stored": 2, "refused": 1}


async def test_an_outage_conflates(valkey: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    """While Redis is away the last value counts and each entry does, in order."""
    caplog.set_level(logging.INFO, "producers")
    async with publisher(valkey) as to:
        await entry(to, 0)
        valkey.freeze()
        # In the round, so it is kept; what follows waits in the buffer.
        calls = [entry(to, 1)]
        await eventually(lambda: to.is_away, "a round that timed out")
        values = [
            asyncio.create_task(to.publish("status", "status", n, wait=True)) for n in range(50)
        ]
        calls += [entry(to, n) for n in range(2, 50)]
        await asyncio.sleep(0)
        valkey.thaw()
        answers = await asyncio.gather(*values)
        await asyncio.gather(*calls)
    assert answers[:-1] == [Answer(Outcome.SUPERSEDED)] * 49
    assert answers[-1].outcome is Outcome.STORED
    assert history(valkey, "status") == [("status", 49)]
    assert numbers(valkey) == list(range(50))
    assert to.counts == {"stored": 51, "superseded": 49}
    assert [each.getMessage().partition(",")[0] for each in caplog.records] == [
        "Redis is away",
        "Redis answers again",
    ]


async def test_a_full_buffer(valkey: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    """A full buffer gives up values, then refuses; it says so when it begins and when it ends."""
    buffer = MemoryBuffer[Ticket](max_publishes=3)
    async with publisher(valkey, buffer=buffer) as to:
        await entry(to, 0)
        valkey.freeze()
        first = entry(to, 1)
        await eventually(lambda: to.is_away, "a round that timed out")
        given_up = asyncio.create_task(to.publish("status", "status", "old", wait=True))
        kept = [entry(to, n) for n in (2, 3, 4)]
        refused = entry(to, 5)
        assert await given_up == Answer(Outcome.GIVEN_UP)
        assert await refused == Answer(Outcome.GIVEN_UP)
        valkey.thaw()
        await asyncio.gather(first, *kept)
    assert numbers(valkey) == [0, 1, 2, 3, 4]
    assert to.counts["given_up"] == 2
    warnings = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert warnings[1].startswith("status: gave up status, the buffer is full: 3 publishes wait")
    assert warnings[2] == "gave up 2 publishes while Redis was away"


async def test_closing_waits(valkey: Valkey) -> None:
    """Leaving the publisher waits for what was published."""
    async with publisher(valkey) as to:
        calls = [entry(to, n) for n in range(500)]
        await asyncio.sleep(0)
    assert [seq_of(await call) for call in calls] == list(range(1, 501))
    assert numbers(valkey) == list(range(500))


async def test_closing_without_redis(valkey: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    """It does not wait without an end, and tells who waits and the log."""
    timing = Timing(answer_seconds=0.1, drain_seconds=0.1)
    async with publisher(valkey, timing=timing) as to:
        valkey.freeze()
        calls = [entry(to, n) for n in range(3)]
        await eventually(lambda: to.is_away, "a round that timed out")
        calls.append(entry(to, 3))
        await asyncio.sleep(0)
    for call in calls:
        with pytest.raises(PublisherClosed, match="may have happened"):
            await call
    with pytest.raises(PublisherClosed, match="is closed"):
        await to.publish("log", "entry", 1)
    assert "closed with 4 publishes unanswered" in caplog.text
    valkey.thaw()


async def test_not_opened(valkey: Valkey) -> None:
    """A publisher that was not entered publishes nothing."""
    with pytest.raises(ProducerError, match="is closed"):
        await publisher(valkey).publish("log", "entry", 1)


async def test_a_cancelled_call(valkey: Valkey) -> None:
    """A caller that stops waiting does not take its publish back, nor harm the others."""
    async with publisher(valkey) as to:
        valkey.freeze()
        first, cancelled, last = (entry(to, n) for n in range(3))
        await eventually(lambda: to.is_away, "a round that timed out")
        cancelled.cancel()
        valkey.thaw()
        assert (seq_of(await first), seq_of(await last)) == (1, 3)
        assert cancelled.cancelled()
    assert numbers(valkey) == [0, 1, 2]


async def test_a_sender_that_fails(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A mistake of ours ends the publisher, and nobody waits for ever."""
    async with publisher(valkey) as to:
        monkeypatch.setattr("producers.sender.parse_receipt", lambda _reply: 1 / 0)
        with pytest.raises(PublisherClosed, match="ZeroDivisionError"):
            await entry(to, 1)
    assert "the sender failed" in caplog.text


async def test_another_incarnation(valkey: Valkey) -> None:
    """A producer that was started again counts from 1 again, and is not taken for the first."""
    for n in range(2):
        async with publisher(valkey, name="desk") as to:
            assert seq_of(await entry(to, n)) == n + 1
    assert len(envelopes(valkey, "log")) == 2


async def test_who_does_not_wait_is_told_where_it_lies(valkey: Valkey) -> None:
    """From a round that takes long until what waits fits into one again, calls that don't wait for
    Redis say that their publishes wait in memory; before and after, where they stand."""
    async with publisher(valkey) as to:
        valkey.freeze()
        first = await to.publish("log", "entry", {"n": 0})
        assert first == Answer(Outcome.BUFFERED)
        outcomes = {(await to.publish("log", "entry", {"n": n})).outcome for n in range(1, 600)}
        assert outcomes == {Outcome.BUFFERED}
        assert await to.touch("status") == Answer(Outcome.BUFFERED)
        superseded = await asyncio.gather(*(to.publish("status", "status", n) for n in range(3)))
        assert superseded == [Answer(Outcome.BUFFERED)] * 3
        waiting = entry(to, 600)
        valkey.thaw()
        assert seq_of(await waiting) == 601
        assert await to.flush(20)
        assert (await to.publish("log", "entry", {"n": 601})).outcome is Outcome.STORED
    assert numbers(valkey) == list(range(602))
    assert to.counts == {"stored": 603, "superseded": 3}


async def test_waiting_so_long_and_no_longer(valkey: Valkey) -> None:
    """A call may wait for a number of seconds, then it says where its publish lies."""
    async with publisher(valkey) as to:
        valkey.freeze()
        assert await to.publish("log", "entry", 1, wait=0.01) == Answer(Outcome.BUFFERED)
        assert await to.publish("log", "entry", 2, wait=0) == Answer(Outcome.BUFFERED)
        waiting = asyncio.create_task(to.publish("log", "entry", 3, wait=60.0))
        assert not await to.flush(0.01)
        valkey.thaw()
        assert seq_of(await waiting) == 3


async def test_a_refusal_that_nobody_hears(
    valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    """What is refused after its caller went on is logged, once until the channel takes some."""
    async with publisher(valkey) as to:
        await to.publish("orders", "entry", 1)
    other = {"orders": Stream(Kind.VALUE)}
    async with publisher(valkey, streams=other) as to:
        for _ in range(3):
            assert await to.publish("orders", "entry", 1, wait=0) == Answer(Outcome.BUFFERED)
            await to.flush()
    told = [each.getMessage() for each in caplog.records]
    assert told == [
        "orders: orders is a log, not a value; a channel keeps the kind of its first publish"
    ]


async def test_a_user_that_may_not(valkey: Valkey) -> None:
    """A user that may not even open a link waits for the right, like for a server that is away; it
    used to end the publisher."""
    command(valkey, "ACL", "SETUSER", "agent", "on", ">secret", "resetkeys", "~*", "&*", "-@all")
    url = f"unix://agent:secret@{valkey.socket}"
    async with Publisher(url, timing=QUICK) as to:
        waiting = entry(to, 1)
        await eventually(lambda: to.is_away, "a user without rights")
        command(valkey, "ACL", "SETUSER", "agent", "+@all")
        assert seq_of(await waiting) == 1
