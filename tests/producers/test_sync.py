"""producers/sync.py: the publisher for programs that are not asynchronous."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest

from producers.answers import Answer, Outcome
from producers.errors import InvalidPayload, ProducerError, PublisherClosed, SpoolInUse
from producers.events import AgentStatus, Health, HealthState, OodaState, ProcessState, Totals
from producers.link import Timing
from producers.publisher import Publisher
from producers.sync import SyncPublisher
from tests.producers.payloads import decision, portfolio, position
from tests.producers.redis_view import envelopes, history
from tests.support.processes import wait_until
from tests.support.valkey import Valkey

ROOT = Path(__file__).parents[2]
QUICK = Timing(
    connect_seconds=0.2,
    answer_seconds=0.2,
    patience_seconds=0.05,
    longest_pause_seconds=0.1,
    drain_seconds=0.2,
)


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A program of its own."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True, text=True, cwd=ROOT, timeout=30,
    )  # fmt: skip


def test_it_has_every_call_of_the_publisher() -> None:
    """What can be awaited of a Publisher can be called of a SyncPublisher, with the same options
    and the same words about it."""
    for name, method in inspect.getmembers(Publisher, inspect.iscoroutinefunction):
        if not name.startswith("_"):
            blocking = getattr(SyncPublisher, name)
            assert inspect.signature(blocking) == inspect.signature(method)
            assert blocking.__doc__ == method.__doc__


def test_every_kind_of_publish(valkey: Valkey) -> None:
    """Each call returns what became of its publish."""
    status = AgentStatus(
        state=ProcessState.RUNNING,
        ooda_state=OodaState.IDLE,
        paused=False,
        uptime_seconds=1,
        totals=Totals(),
    )
    with SyncPublisher(valkey.url, name="desk") as publisher:
        publisher.ping()
        answers = [
            publisher.portfolio(portfolio(), lease=5),
            publisher.status(status),
            publisher.health(Health(state=HealthState.OK)),
            publisher.decision(decision("d-1")),
            publisher.positions([position("p-1")], wait=True),
            publisher.publish("fills", "fill", {"price": Decimal("1.50")}, key="f-1"),
            publisher.touch("portfolio"),
        ]
        assert publisher.flush(10)
        assert not publisher.is_away
        assert publisher.counts["stored"] == 7
    assert {answer.outcome for answer in answers} == {Outcome.STORED}
    assert history(valkey, "fills") == [("fill", {"price": "1.50"})]
    assert [event for event, _ in history(valkey, "agent")] == ["position_opened"]


def test_errors_are_raised_where_the_call_is(valkey: Valkey) -> None:
    """What can't be published is told to its caller."""
    with SyncPublisher(valkey.url) as publisher:
        with pytest.raises(InvalidPayload, match=r"payload\.price: expected a finite number"):
            publisher.publish("fills", "fill", {"price": Decimal("NaN")})
        with pytest.raises(ValueError, match="wait: expected"):
            publisher.publish("fills", "fill", 1, wait=-1)


def test_many_threads(valkey: Valkey) -> None:
    """Calls from any thread, each stored once; those of a thread in their order."""

    def work(thread: int) -> None:
        for n in range(200):
            answer = publisher.publish("log", "entry", {"thread": thread, "n": n})
            assert answer.outcome is Outcome.STORED

    with (
        SyncPublisher(valkey.url) as publisher,
        ThreadPoolExecutor(8) as threads,
    ):
        list(threads.map(work, range(8)))
    entries = [data for _event, data in history(valkey, "log")]
    for thread in range(8):
        assert [each["n"] for each in entries if each["thread"] == thread] == list(range(200))


def test_it_starts_by_itself_once(valkey: Valkey) -> None:
    """Without `with`, by whichever call comes first, of many at once."""
    publisher = SyncPublisher(valkey.url, name="lazy")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: publisher.publish("log", "entry", n), range(8)))
    assert [thread.name for thread in threading.enumerate()].count("publisher lazy") == 1
    publisher.close()
    assert len(envelopes(valkey, "log")) == 8


def test_an_outage_holds_up_nobody(valkey: Valkey, tmp_path: Path) -> None:
    """While Redis does not answer, calls say where publishes lie, or wait as long as they want."""
    with SyncPublisher(valkey.url, timing=QUICK) as publisher:
        publisher.publish("log", "entry", 0)
        valkey.freeze()
        assert publisher.publish("log", "entry", 1).outcome is Outcome.BUFFERED
        assert publisher.publish("log", "entry", 2, wait=0.01).outcome is Outcome.BUFFERED
        assert publisher.publish("log", "entry", 3, wait=0).outcome is Outcome.BUFFERED
        handed = publisher.hand_over("log", "entry", 4)
        assert not publisher.flush(0.01)
        assert not handed.done()
        valkey.thaw()
        assert handed.result(20).outcome is Outcome.STORED
        assert publisher.flush(20)
    assert [data for _event, data in history(valkey, "log")] == [0, 1, 2, 3, 4]


def test_closing(valkey: Valkey, tmp_path: Path) -> None:
    """What has no answer is spooled when it is closed, who waits is told, and nothing is taken
    afterwards; closing twice is closing once."""
    publisher = SyncPublisher(valkey.url, timing=QUICK, spool=tmp_path / "spool")
    publisher.publish("log", "entry", 0)
    valkey.freeze()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(publisher.publish, "log", "entry", 1, wait=True)
        wait_until(lambda: publisher.is_away, "an outage")
        publisher.close()
        publisher.close()
        assert waiting.result() == Answer(Outcome.SPOOLED)
    valkey.thaw()
    with pytest.raises(PublisherClosed, match="the publisher is closed"):
        publisher.publish("log", "entry", 2)
    with SyncPublisher(valkey.url, spool=tmp_path / "spool") as again:
        assert again.flush(20)
    assert [data for _event, data in history(valkey, "log")] == [0, 1]


def test_closing_while_many_threads_call(valkey: Valkey) -> None:
    """Each of them is answered or told that it is closed; a call that came in the last moment of
    the loop used to wait for ever."""

    def call(publisher: SyncPublisher) -> None:
        with contextlib.suppress(PublisherClosed):
            while True:
                publisher.publish("log", "entry", 1, wait=0)

    for _ in range(10):
        publisher = SyncPublisher(valkey.url, timing=QUICK)
        # No pool, which would wait for those that never end.
        threads = [threading.Thread(target=call, args=[publisher], daemon=True) for _ in range(50)]
        for thread in threads:
            thread.start()
        wait_until(lambda: publisher.counts["stored"] > 0, "publishes")  # noqa: B023
        publisher.close()
        wait_until(lambda: not any(map(threading.Thread.is_alive, threads)), "the end of all")  # noqa: B023


def test_a_signal_while_a_call_waits(valkey: Valkey) -> None:
    """Its handler may publish too; it used to wait for what waited for the interrupted call."""
    code = (
        "import signal, sys; from producers.sync import SyncPublisher\n"
        "publisher, outcomes = SyncPublisher(sys.argv[1]), []\n"
        "def handle(number, frame):\n"
        "    outcomes.append(publisher.publish('signals', 'entry', len(outcomes)).outcome)\n"
        "    signal.setitimer(signal.ITIMER_REAL, 0.002)\n"
        "signal.signal(signal.SIGALRM, handle)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.002)\n"
        "while len(outcomes) < 1000: publisher.publish('log', 'entry', 1)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0)\n"
        "print({*outcomes} <= {'stored', 'buffered'})\n"
    )
    ended = run(code, valkey.url)
    assert (ended.stdout, ended.stderr) == ("True\n", "")


def test_a_spool_that_can_not_be_had(valkey: Valkey, tmp_path: Path) -> None:
    """It is told to whoever opens, each time, and costs nobody else anything."""
    with SyncPublisher(valkey.url, spool=tmp_path / "spool") as first:
        second = SyncPublisher(valkey.url, spool=tmp_path / "spool")
        for _ in range(2):
            with pytest.raises(SpoolInUse):
                second.publish("log", "entry", 1)
        second.close()
        assert first.publish("log", "entry", 2).outcome is Outcome.STORED


def test_a_call_from_its_own_thread(valkey: Valkey) -> None:
    """It would wait for itself, so it is refused."""

    async def call(_publisher: Publisher) -> None:
        publisher.publish("log", "entry", 1)

    with (
        SyncPublisher(valkey.url) as publisher,
        pytest.raises(RuntimeError, match="another thread"),
    ):
        publisher.call(call)


def test_within_a_program_that_has_a_loop(valkey: Valkey) -> None:
    """Its loop is its own, so it works beside another one."""

    async def main() -> Answer:
        with SyncPublisher(valkey.url) as publisher:
            return publisher.publish("log", "entry", 1)

    assert asyncio.run(main()).outcome is Outcome.STORED


def test_flushed_when_the_program_ends(valkey: Valkey) -> None:
    """A program that just ends has published all that it handed over."""
    code = (
        "import sys; from producers.sync import SyncPublisher\n"
        "publisher = SyncPublisher(sys.argv[1])\n"
        "for n in range(2_000): publisher.hand_over('log', 'entry', n)\n"
    )
    ended = run(code, valkey.url)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [data for _event, data in history(valkey, "log")] == list(range(2_000))


def test_the_end_has_a_deadline(valkey: Valkey, tmp_path: Path) -> None:
    """A program whose Redis is away ends all the same, and leaves what it had in the spool."""
    code = (
        "import sys; from producers.sync import SyncPublisher; from producers.link import Timing\n"
        "timing = Timing(drain_seconds=0)\n"
        "publisher = SyncPublisher(sys.argv[1], spool=sys.argv[2], timing=timing)\n"
        "for n in range(2_000): publisher.hand_over('log', 'entry', n)\n"
    )
    valkey.freeze()
    ended = run(code, valkey.url, str(tmp_path / "spool"))
    assert ended.returncode == 0, ended.stderr
    valkey.thaw()
    with SyncPublisher(valkey.url, spool=tmp_path / "spool") as again:
        assert again.flush(20)
    assert [data for _event, data in history(valkey, "log")] == list(range(2_000))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork(valkey: Valkey, tmp_path: Path) -> None:
    """The child is refused its parent's publisher, and may have one of its own; the parent's goes
    on, and its spool is whole though the child has ended."""
    code = (
        "import os, sys; from producers.sync import SyncPublisher\n"
        "from producers.link import Timing\n"
        "publisher = SyncPublisher(sys.argv[1], spool=sys.argv[2])\n"
        "unused = SyncPublisher(sys.argv[1], timing=Timing(drain_seconds=0))\n"
        "assert publisher.publish('log', 'entry', 0).outcome == 'stored'\n"
        "os.kill(int(sys.argv[3]), 19)\n"
        "assert publisher.publish('log', 'entry', 1).outcome == 'spooled'\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    try: publisher.publish('log', 'entry', 2)\n"
        "    except Exception as error: print(type(error).__name__, error)\n"
        "    publisher.close()\n"
        "    print(unused.publish('log', 'entry', 3, wait=0).outcome, flush=True)\n"
        "    sys.exit()\n"
        "os.waitpid(child, 0)\n"
        "assert publisher.publish('log', 'entry', 4).outcome == 'spooled'\n"
        "os.kill(os.getpid(), 9)\n"
    )
    forked = run(code, valkey.url, str(tmp_path / "spool"), str(valkey.pid))
    valkey.thaw()
    assert forked.returncode == -9, forked.stderr
    refused, outcome = forked.stdout.splitlines()
    assert refused.startswith("PublisherClosed producer: made before this process was forked")
    assert outcome == "buffered"
    with SyncPublisher(valkey.url, spool=tmp_path / "spool") as again:
        assert again.flush(20)
    assert [data for _event, data in history(valkey, "log")] == [0, 1, 4]


def test_names_are_checked() -> None:
    """As by the publisher, and when it is made."""
    with pytest.raises(ValueError, match="got 'a b'"):
        SyncPublisher("redis://localhost", name="a b")
    assert not issubclass(ValueError, ProducerError)
