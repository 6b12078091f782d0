"""producers/spool.py and spool_file.py: what was accepted outlives the process, once and in order.

Through `Publisher`, which is the spool's only user; tests/producers/test_outage.py kills one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from hub.protocol.publication import AppendEntry
from hub.protocol.scripts import ANSWERS_KEPT
from hub.protocol.streams import KNOWN, Kind
from producers.answers import Answer, Outcome, Ticket
from producers.buffer import MemoryBuffer, Waiting
from producers.errors import PublisherClosed, SpoolError, SpoolInUse
from producers.link import Link, Timing
from producers.publisher import Publisher
from producers.sender import Sender
from producers.spool import Spool
from producers.sync import SyncPublisher
from tests.producers.redis_view import envelopes, eventually, history
from tests.support.valkey import Valkey

ROOT = Path(__file__).parents[2]
QUICK = Timing(
    connect_seconds=0.2,
    answer_seconds=0.2,
    patience_seconds=0.05,
    longest_pause_seconds=0.1,
    drain_seconds=0.2,
)

SPOOLED, BUFFERED = Answer(Outcome.SPOOLED), Answer(Outcome.BUFFERED)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the spool is."""
    return tmp_path / "agent.spool"


def publisher(valkey: Valkey, spool: Spool | Path, **options: Any) -> Publisher:
    return Publisher(valkey.url, spool=spool, timing=QUICK, **options)


def rows(path: Path) -> list[tuple[Any, ...]]:
    """What waits in a spool that nobody has open."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT channel, n FROM waiting ORDER BY number").fetchall()


def numbers(valkey: Valkey, channel: str = "log") -> list[int]:
    return [data["n"] for _event, data in history(valkey, channel)]


@contextlib.asynccontextmanager
async def away(valkey: Valkey) -> AsyncIterator[None]:
    """Redis does not answer."""
    valkey.freeze()
    try:
        yield
    finally:
        valkey.thaw()


async def test_the_next_run_publishes_what_waited(valkey: Valkey, path: Path) -> None:
    """What a run could not publish is published by the next one before anything of its own, in
    order; values as they were last."""
    async with away(valkey), publisher(valkey, path) as first:
        for n in range(300):
            assert await first.publish("log", "entry", {"n": n}) == SPOOLED
            assert (await first.publish("status", "status", {"n": n})).outcome is Outcome.SPOOLED
        patch = {"upsert": {"a": 1}, "delete": ["b"]}
        assert await first.publish("positions", "positions_update", patch) == SPOOLED
    assert first.counts == {"superseded": 299}
    async with publisher(valkey, path) as second:
        assert (await second.publish("log", "entry", {"n": 300}, wait=True)).is_news
    assert numbers(valkey) == list(range(301))
    assert numbers(valkey, "status")[-1] == 299
    assert len(envelopes(valkey, "positions")) == 1
    assert rows(path) == []


async def test_nothing_is_written_while_redis_answers(valkey: Valkey, path: Path) -> None:
    """A spool costs nothing until it is needed."""
    async with publisher(valkey, path) as to:
        spool = to._sender._keeping._spool
        assert spool is not None
        for n in range(300):
            assert (await to.publish("log", "entry", {"n": n})).outcome is Outcome.STORED
        assert not spool._written


async def test_what_was_under_way_keeps_its_id(valkey: Valkey, path: Path) -> None:
    """A round that may have happened is on disk with its ids, so that the next run sends what it
    was: Redis, which carried it out meanwhile, knows it."""
    async with publisher(valkey, path) as first:
        await first.publish("log", "entry", {"n": 0})
        valkey.freeze()
        calls = [first.publish("log", "entry", {"n": n}) for n in range(1, 100)]
        assert await asyncio.gather(*calls) == [SPOOLED] * 99
    # Thawed, the server carries out some of what the publisher that is gone had written to it.
    valkey.thaw()
    await eventually(lambda: len(envelopes(valkey, "log")) > 1, "a publish of the first run")
    async with publisher(valkey, path) as second:
        await second.publish("log", "entry", {"n": 100}, wait=True)
    assert numbers(valkey) == list(range(101))


async def test_always(valkey: Valkey, path: Path) -> None:
    """A spool that always has everything answers without Redis, and forgets what Redis has."""
    spool = Spool(path, always=True)
    patient = Timing(drain_seconds=20.0)
    async with Publisher(valkey.url, spool=spool, timing=patient) as to:
        await to.publish("log", "entry", {"n": 0}, wait=True)
        async with away(valkey):
            # Nobody had the time to find out that Redis is away.
            assert await to.publish("log", "entry", {"n": 1}) == SPOOLED
            assert await to.publish("status", "status", {"n": 1}) == SPOOLED
        assert (await to.publish("log", "entry", {"n": 2}, wait=True)).outcome is Outcome.STORED
    assert numbers(valkey) == [0, 1, 2]
    assert rows(path) == []


async def test_waiting_for_redis_all_the_same(valkey: Valkey, path: Path) -> None:
    """Who waits for the position is not content with the disk, until the publisher is closed."""
    async with publisher(valkey, path) as first:
        valkey.freeze()
        assert await first.publish("log", "entry", {"n": 0}, wait=0.5) == SPOOLED
        waiting = asyncio.create_task(first.publish("log", "entry", {"n": 1}, wait=True))
        await eventually(lambda: first.is_away, "an outage")
        assert not waiting.done()
    assert await waiting == SPOOLED
    assert [n for _channel, n in rows(path)] == [1, 2]
    valkey.thaw()


async def test_touches_are_not_spooled(valkey: Valkey, path: Path) -> None:
    """That a producer was alive is nothing to tell later."""
    async with away(valkey), publisher(valkey, path) as to:
        assert await to.touch("status") == BUFFERED
        waiting = asyncio.create_task(to.touch("health", wait=True))
        await asyncio.sleep(0)
    with pytest.raises(PublisherClosed, match="before Redis answered"):
        await waiting
    assert rows(path) == []


async def test_given_up_is_forgotten(valkey: Valkey, path: Path) -> None:
    """The buffer's bound is the spool's: what is given up is not on disk, and its caller knows."""
    buffer = MemoryBuffer[Ticket](max_publishes=3)
    async with away(valkey), publisher(valkey, path, buffer=buffer) as to:
        # The first goes into a round.
        assert await to.publish("log", "entry", {"n": 0}) == SPOOLED
        assert await to.publish("status", "status", {"n": 1}) == SPOOLED
        for n in range(1, 4):
            assert await to.publish("log", "entry", {"n": n}) == SPOOLED
        assert await to.publish("log", "entry", {"n": 4}) == Answer(Outcome.GIVEN_UP)
    assert to.counts == {"given_up": 2}
    assert [channel for channel, _n in rows(path)] == ["log"] * 4
    async with publisher(valkey, path) as again:
        await again.flush()
    assert numbers(valkey) == [0, 1, 2, 3]


async def test_more_than_the_bound_is_left(valkey: Valkey, path: Path) -> None:
    """What an earlier run had accepted is kept, though the bound is lower now."""
    async with away(valkey), publisher(valkey, path) as first:
        for n in range(10):
            await first.publish("log", "entry", {"n": n})
    buffer = MemoryBuffer[Ticket](max_publishes=3)
    async with away(valkey), publisher(valkey, path, buffer=buffer) as second:
        assert await second.publish("log", "entry", {"n": 10}) == Answer(Outcome.GIVEN_UP)
    async with publisher(valkey, path) as third:
        await third.flush()
    assert numbers(valkey) == list(range(10))


async def test_a_spool_has_one_publisher(valkey: Valkey, path: Path) -> None:
    """A second one is told, in the same process and in another; it works once the first is done."""
    async with publisher(valkey, path):
        with pytest.raises(SpoolInUse, match="another publisher has this spool"):
            async with publisher(valkey, path):
                pass
        code = (
            "import asyncio, sys; from producers.spool import Spool\n"
            "asyncio.run(Spool(sys.argv[1]).open())"
        )
        command = [sys.executable, "-c", code, str(path)]
        other = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
        assert "SpoolInUse" in other.stderr
    async with publisher(valkey, path):
        pass


async def test_only_its_user_may_read_it(valkey: Valkey, path: Path) -> None:
    """What an agent decided is nobody else's business, whatever the umask says."""
    before = os.umask(0)
    try:
        async with publisher(valkey, Spool(path, always=True)) as to:
            await to.publish("log", "entry", 1)
            files = list(path.parent.iterdir())
            assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    finally:
        os.umask(before)


@pytest.mark.parametrize("damage", [b"not a database", b"SQLite format 3\0" + b"\xff" * 8_000])
async def test_a_damaged_file(
    valkey: Valkey, path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It is set aside and told of, and publishing goes on with a new one."""
    await asyncio.to_thread(path.write_bytes, damage)
    async with away(valkey), publisher(valkey, path) as to:
        assert await to.publish("log", "entry", {"n": 1}) == SPOOLED
    [kept] = path.parent.glob("agent.spool.damaged-*")
    assert kept.read_bytes() == damage
    [told] = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert re.search(rf"{path} is damaged .* kept as {kept}, and a new one is begun", told)
    assert len(rows(path)) == 1


async def test_a_damaged_row(valkey: Valkey, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is left out and told of; the others are published."""
    async with away(valkey), publisher(valkey, path) as first:
        for n in range(3):
            await first.publish("log", "entry", {"n": n})
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE waiting SET body = x'00' WHERE number = 2")
    async with publisher(valkey, path) as second:
        await second.flush()
    assert numbers(valkey) == [0, 2]
    assert "row 2 of log is damaged" in caplog.text


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("CREATE TABLE mine (x)", "got a database of another program"),
        ("PRAGMA application_id=1413698384; PRAGMA user_version=9; CREATE TABLE a (x)", "version"),
    ],
)
async def test_a_file_of_another_kind(valkey: Valkey, path: Path, sql: str, why: str) -> None:
    """Another program's database, or that of another version, is left as it is."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(sql)
    before = await asyncio.to_thread(path.read_bytes)
    with pytest.raises(SpoolError, match=why):
        async with publisher(valkey, path):
            pass
    assert await asyncio.to_thread(path.read_bytes) == before


async def test_a_file_that_can_not_be(valkey: Valkey, tmp_path: Path) -> None:
    """A path where no file can be is a mistake that is told at the start."""
    with pytest.raises(SpoolError, match="expected a file that can be written"):
        async with publisher(valkey, tmp_path / "missing" / "agent.spool"):
            pass


async def test_a_full_disk(valkey: Valkey, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """SQLite says that the disk is full: what comes then waits in memory, callers are told so, and
    all of it is published when Redis is back."""
    spool = Spool(path, max_bytes=64 * 1024)
    timing = Timing(answer_seconds=0.2, longest_pause_seconds=0.1, drain_seconds=20.0)
    async with Publisher(valkey.url, spool=spool, timing=timing) as to:
        async with away(valkey):
            answers = [
                await to.publish("log", "entry", {"n": n, "note": "x" * 4_000}) for n in range(30)
            ]
        assert spool.is_failing
        full = answers.index(BUFFERED)
        assert 0 < full < 20
        assert answers == [SPOOLED] * full + [BUFFERED] * (30 - full)
        # Live publishing goes on.
        last = await to.publish("log", "entry", {"n": 30}, wait=True)
        assert last.outcome is Outcome.STORED
        await eventually(lambda: not spool.is_failing, "a disk that takes something again")
    assert numbers(valkey) == list(range(31))
    told = [each.getMessage() for each in caplog.records if each.name == "producers.spool"]
    assert "can't be written (database or disk is full)" in told[0]
    assert told[1].endswith("takes publishes again")
    assert rows(path) == []


def test_a_limit_that_the_kernel_sets(valkey: Valkey, path: Path) -> None:
    """Where the file may not grow, what is answered `spooled` is there after a kill all the same,
    and nothing else is said to be."""
    code = (
        "import os, resource, sys; from producers.sync import SyncPublisher\n"
        "from tests.producers.test_spool import QUICK\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "publisher = SyncPublisher(sys.argv[1], spool=sys.argv[2], timing=QUICK)\n"
        "for n in range(100):\n"
        "    entry = {'n': n, 'note': 'x' * 4_000}\n"
        "    print(publisher.publish('log', 'entry', entry).outcome, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    valkey.freeze()
    killed = subprocess.run(
        [sys.executable, "-c", code, valkey.url, path],
        capture_output=True, text=True, cwd=ROOT, timeout=30,
    )  # fmt: skip
    valkey.thaw()
    outcomes = killed.stdout.split()
    spooled = outcomes.count("spooled")
    assert 0 < spooled < 100
    assert outcomes == ["spooled"] * spooled + ["buffered"] * (100 - spooled)
    assert "can't be written" in killed.stderr
    with SyncPublisher(valkey.url, spool=path) as again:
        assert again.flush(20)
    assert numbers(valkey) == list(range(spooled))


async def test_what_is_new_is_synced(valkey: Valkey, path: Path) -> None:
    """A publish is on the disk when it is told so; a row that is forgotten need not be."""

    def synchronous() -> int:
        assert spool._db is not None
        [(level,)] = spool._db.execute("PRAGMA synchronous")
        return int(level)

    spool = Spool(path)
    async with Publisher(valkey.url, spool=spool, timing=Timing(drain_seconds=20.0)) as to:
        async with away(valkey):
            assert await to.publish("log", "entry", 1) == SPOOLED
            assert synchronous() == 2
        await eventually(lambda: synchronous() == 1, "a row that was forgotten")


async def test_the_loop_never_waits_for_the_disk(valkey: Valkey, path: Path) -> None:
    """While a transaction hangs in SQLite, publishing goes on, and what came meanwhile shares the
    next one."""
    spool = Spool(path, always=True)
    hangs, goes_on = threading.Event(), threading.Event()
    batches: list[int] = []

    def hang() -> int:
        hangs.set()
        assert goes_on.wait(20)
        return 0

    async with Publisher(valkey.url, spool=spool, timing=Timing(drain_seconds=20.0)) as to:
        db = spool._db
        assert db is not None
        db.create_function("hang", 0, hang)
        db.set_trace_callback(lambda sql: batches.append(1) if sql == "COMMIT" else None)
        db.execute("CREATE TEMP TRIGGER slow AFTER INSERT ON waiting BEGIN SELECT hang(); END")
        first = await to.publish("log", "entry", {"n": 0})
        await eventually(hangs.is_set, "a transaction that hangs")
        for n in range(1, 300):
            assert (await to.publish("log", "entry", {"n": n})).outcome is Outcome.STORED
        goes_on.set()
    assert first.outcome is Outcome.STORED
    assert len(batches) <= 3
    assert rows(path) == []


async def test_ids_that_redis_forgot(valkey: Valkey, path: Path) -> None:
    """Rows that Redis stored, and that a full disk would not let go, are not stored again: not by
    their ids, which Redis remembers, nor without, where it stored too many since."""
    count = 2 * ANSWERS_KEPT

    def entry(n: int) -> Waiting[Ticket]:
        return Waiting("log", Kind.LOG, "entry", AppendEntry(b'{"n":%d}' % n))

    def sender(spool: Spool | None = None) -> Sender:
        link = Link(valkey.url, name="p", timing=QUICK)
        buffer = MemoryBuffer[Ticket]()
        return Sender(link, producer="p", streams=KNOWN, buffer=buffer, timing=QUICK, spool=spool)

    async with sender() as first:
        for n in range(count):
            first.submit(entry(n))
        await first.flush()
    spool = Spool(path)
    await spool.open()
    for n in (1, ANSWERS_KEPT, count - 5, count, count + 1):
        left = entry(n - 1)
        left.producer, left.n = "p", n
        spool.put(left, lambda _written: None)
    await spool.close()
    async with sender(Spool(path)) as second:
        await second.flush()
    assert numbers(valkey) == list(range(count + 1))
    assert rows(path) == []


async def test_lost_history_before_the_next_run(valkey: Valkey, path: Path) -> None:
    """Where Redis lost everything meanwhile, what was left is published into what begins anew."""
    async with publisher(valkey, path) as first:
        await first.publish("log", "entry", {"n": 0}, wait=True)
        valkey.freeze()
        for n in range(1, 5):
            assert await first.publish("log", "entry", {"n": n}) == SPOOLED
    await asyncio.to_thread(valkey.kill)
    await asyncio.to_thread(valkey.start)
    async with publisher(valkey, path) as second:
        await second.flush()
    assert numbers(valkey) == [1, 2, 3, 4]


async def test_runs_that_never_saw_redis(valkey: Valkey, path: Path) -> None:
    """Several runs in one outage: the order is that of the runs."""
    async with away(valkey):
        for run in range(4):
            async with publisher(valkey, path) as to:
                for n in range(5):
                    assert await to.publish("log", "entry", {"n": 5 * run + n}) == SPOOLED
    async with publisher(valkey, path) as to:
        await to.flush()
    assert numbers(valkey) == list(range(20))


async def test_a_sender_that_fails(
    valkey: Valkey, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake of ours loses nothing either: what had no answer is spooled."""
    fail: Callable[..., Any] = lambda _reply: 1 / 0  # noqa: E731
    async with publisher(valkey, path) as first:
        with monkeypatch.context() as patched:
            patched.setattr("producers.sender.parse_receipt", fail)
            assert await first.publish("log", "entry", {"n": 0}, wait=True) == SPOOLED
    async with publisher(valkey, path) as second:
        await second.flush()
    assert numbers(valkey) == [0]
