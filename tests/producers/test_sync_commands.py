"""An agent that is not asynchronous takes its commands, on a real Valkey: sync_commands.py, and
SyncHandlers of handlers.py."""

from __future__ import annotations

import contextlib
import inspect
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from hub.protocol import keys
from hub.protocol.agent_commands import CommandState
from producers.command_link import CommandTiming
from producers.commands import Command, Commands
from producers.errors import CommandFailed, CommandLost, CommandsRefused, PublisherClosed
from producers.handlers import SyncHandlers
from producers.link import Timing
from producers.sync import SyncPublisher
from producers.sync_commands import SyncCommand, SyncCommands
from tests.support.brokers import DEADLINE_SECONDS
from tests.support.command_desk import CHANNEL, Desk
from tests.support.processes import wait_until
from tests.support.valkey import Valkey

ROOT = Path(__file__).parents[2]
QUICK = CommandTiming(look_seconds=0.02, first_pause_seconds=0.01, longest_pause_seconds=0.05)

# An agent as somebody would write it, who counts in Redis what it really did.
AGENT = """
import sys, redis
from producers.command_link import CommandTiming
from producers.commands import Commands
from producers.sync import SyncPublisher
from producers.sync_commands import SyncCommands

url, kind = sys.argv[1:]
effects = redis.Redis.from_url(url)
timing = CommandTiming(lease_seconds=0.3, look_seconds=0.02)
with SyncPublisher(url, name="desk-7") as publisher:
    commands = Commands(url, agent="desk-7", idempotent={"agent.pause"}, timing=timing)
    for command in SyncCommands(publisher, commands):
        with command:
            effects.hincrby("effects", command.id, 1)
            print(command.id, command.attempt, flush=True)
            if kind == "hangs":
                sys.stdin.read()
"""


@pytest.fixture
def desk(valkey: Valkey) -> Iterator[Desk]:
    """Who sends commands, another worker, and a look into Valkey."""
    with redis.Redis(unix_socket_path=str(valkey.socket)) as client:
        yield Desk(client)


@pytest.fixture
def publisher(valkey: Valkey) -> Iterator[SyncPublisher]:
    """The agent's publisher, which ends quickly."""
    with SyncPublisher(valkey.url, name="w", timing=Timing(drain_seconds=0.2)) as publisher:
        yield publisher


def quick(
    publisher: SyncPublisher, valkey: Valkey, timing: CommandTiming = QUICK, **options: Any
) -> SyncCommands:
    """What `publisher.commands` gives, looking more often."""
    return SyncCommands(
        publisher, Commands(valkey.url, agent="desk-7", timing=timing, name="w", **options)
    )


def take(commands: SyncCommands) -> SyncCommand:
    """The next command, which must come."""
    command = commands.next()
    assert command is not None
    return command


def last(desk: Desk) -> tuple[str, Any]:
    """Event of the newest entry, and its result or reason."""
    event, data = desk.log()[-1]
    return event, data.get("result", data.get("reason"))


def ends(desk: Desk) -> dict[str, Any]:
    """Result or reason of each command that has ended, by id."""
    return {
        data["id"]: data.get("result", data.get("reason"))
        for event, data in desk.log()
        if event in ("command.done", "command.failed")
    }


def test_it_has_every_call_of_a_command() -> None:
    """What can be awaited of a Command can be called, with the same words; and what can be asked
    of one can be asked."""
    for name, method in inspect.getmembers(Command, inspect.iscoroutinefunction):
        if not name.startswith("_"):
            blocking = getattr(SyncCommand, name)
            assert inspect.signature(blocking) == inspect.signature(method)
            assert blocking.__doc__ == method.__doc__


def test_a_loop(desk: Desk, valkey: Valkey) -> None:
    """As in the documents: each command is accepted when it is yielded, and told the end of."""
    desk.send("c1", data=b'{"price":1.10}', sender="Ann")
    desk.send("c2")
    with SyncPublisher(valkey.url, name="desk-7") as publisher:
        for command in publisher.commands(agent="desk-7", idempotent={"agent.pause"}):
            if command.id == "c1":
                assert desk.events()[-1] == "command.accepted"
                assert (command.event, command.sender, command.attempt) == ("agent.pause", "Ann", 1)
                assert command.expires_at > command.sent_at
                assert "c1 of 'Ann', attempt 1" in repr(command)
                with command:
                    command.result = {"paused": str(command.data["price"])}
                assert command.is_accepted
                assert command.is_over
                assert not command.is_lost
                continue
            with command:
                raise CommandFailed("no")
            break
    assert ends(desk) == {"c1": {"paused": "1.10"}, "c2": "no"}
    assert desk.audit()[-1]["by"].startswith("desk-7@")


def test_ends_that_are_told_by_hand(
    publisher: SyncPublisher, valkey: Valkey, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """What was said in the block counts, a second end is a mistake; an exception is logged, and
    ends its command alone."""
    for n in range(4):
        desk.send(f"c{n}")
    with quick(publisher, valkey) as commands:
        with take(commands) as command:
            command.done("early")
            with pytest.raises(CommandLost, match="its end was told before"):
                command.fail("late")
        take(commands).fail("not today")
        with take(commands):
            raise KeyError("p-1")
        assert "agent.pause c2 failed" in caplog.text
        with contextlib.suppress(KeyboardInterrupt), take(commands):
            raise KeyboardInterrupt
    assert ends(desk) == {
        "c0": "early",
        "c1": "not today",
        "c2": "KeyError: 'p-1'",
        "c3": "the agent ended while it was at it: KeyboardInterrupt",
    }


def test_a_worker_may_look_before_it_begins(
    publisher: SyncPublisher, valkey: Valkey, desk: Desk
) -> None:
    """It accepts or gives back, and what it leaves is told of."""
    desk.send("c1")
    desk.send("c2")
    with quick(publisher, valkey, accept=False) as commands:
        command = take(commands)
        assert desk.events().count("command.accepted") == 0
        command.give_back()
        command = take(commands)
        assert (command.id, command.attempt) == ("c1", 2)
        assert command.accept()
        take(commands)
    assert last(desk) == ("command.failed", "the agent ended while it was at it")
    assert desk.taken().id == "c2"


def test_a_block_may_take_as_long_as_it_needs(
    publisher: SyncPublisher, valkey: Valkey, desk: Desk
) -> None:
    """The lease is renewed while its thread does not come back; one that is missed learns of it."""
    timing = CommandTiming(look_seconds=0.02, lease_seconds=0.3)
    desk.send()

    def due() -> float:
        score: Any = desk.client.zscore(keys.due_commands(CHANNEL), "c1")
        return float(score)

    with quick(publisher, valkey, timing) as commands, take(commands) as command:
        for _ in range(3):
            before = due()
            wait_until(lambda before=before: due() > before, "it is renewed")  # type: ignore[misc]
        assert not command.is_lost
        desk.client.hdel(keys.open_commands(CHANNEL), "c1")
        wait_until(lambda: command.is_lost, "it learns that it is lost")


def test_threads_share_the_commands(publisher: SyncPublisher, valkey: Valkey, desk: Desk) -> None:
    """Of one worker or of several, each command is done by one of them, and all loops end."""
    for n in range(40):
        desk.send(f"c{n}")
    done: list[str] = []

    def work(commands: SyncCommands) -> None:
        for command in commands:
            with command:
                done.append(command.id)

    with ThreadPoolExecutor(4) as threads, contextlib.ExitStack() as workers:
        shared = workers.enter_context(quick(publisher, valkey))
        loops = [threads.submit(work, shared) for _ in range(2)]
        loops += [threads.submit(work, quick(publisher, valkey)) for _ in range(2)]
        wait_until(lambda: len(ends(desk)) == 40, "all are done")
        publisher.close()
        for loop in loops:
            assert loop.result() is None
    assert sorted(done) == sorted(f"c{n}" for n in range(40))


# The end


def test_closing_leaves_a_command_its_time(valkey: Valkey, desk: Desk) -> None:
    """A loop that waits ends, one that is at a command ends after it; what comes is another's."""
    publisher = SyncPublisher(valkey.url)
    begun, release = threading.Event(), threading.Event()

    def work() -> None:
        for command in quick(publisher, valkey):
            with command:
                begun.set()
                release.wait()
                command.result = publisher.publish("log", "entry", "while it closes").outcome.value

    with ThreadPoolExecutor(3) as threads:
        desk.send("c1")
        working = threads.submit(work)
        begun.wait()
        waiting = threads.submit(lambda: list(quick(publisher, valkey)))
        wait_until(lambda: len(publisher.workers) == 2, "both are at work")
        closing = threads.submit(publisher.close)
        assert waiting.result() == []
        desk.send("c2")
        release.set()
        for each in (working, closing):
            assert each.result() is None
    assert ends(desk) == {"c1": "stored"}
    assert desk.taken().id == "c2"
    with pytest.raises(PublisherClosed):
        list(quick(publisher, valkey))


def test_closing_has_a_deadline(
    publisher: SyncPublisher, valkey: Valkey, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """A command that is not done by then fails, and its worker is told when it comes back."""
    desk.send("c1")
    desk.send("c2")
    with quick(publisher, valkey) as commands:
        with take(commands) as command:
            publisher.close()
            assert last(desk) == ("command.failed", "the agent ended while it was at it")
            with pytest.raises(CommandLost, match="the publisher was closed"):
                command.done()
        assert "c1: the publisher was closed before its end was told" in caplog.text
        assert commands.next() is None
    assert desk.taken().id == "c2"


def test_closing_while_redis_is_away(valkey: Valkey, desk: Desk) -> None:
    """It has its deadline then too, and loops end."""
    timing = Timing(drain_seconds=0.1, answer_seconds=0.1, connect_seconds=0.1)
    publisher = SyncPublisher(valkey.url, timing=timing)
    with ThreadPoolExecutor(1) as threads:
        loop = threads.submit(lambda: list(quick(publisher, valkey)))
        wait_until(lambda: waits(desk), "it waits for commands")
        valkey.freeze()
        publisher.close()
        assert loop.result() == []
    valkey.thaw()


def waits(desk: Desk) -> bool:
    """Whether somebody waits at Valkey for commands."""
    info: Any = desk.client.info("clients")
    return bool(info["blocked_clients"])


def test_an_interrupted_loop(valkey: Valkey, desk: Desk) -> None:
    """Ctrl-C ends a program that waits for a command or is at one, which fails then."""
    for is_idle in (True, False):
        agent = subprocess.Popen(
            [sys.executable, "-c", AGENT, valkey.url, "hangs"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip
        assert agent.stdout
        if is_idle:
            wait_until(lambda: waits(desk), "it waits for commands")
        else:
            desk.send()
            assert agent.stdout.readline() == b"c1 1\n"
        agent.send_signal(signal.SIGINT)
        _, stderr = agent.communicate(timeout=DEADLINE_SECONDS)
        assert agent.returncode in (1, -signal.SIGINT)
        assert stderr.strip().endswith(b"KeyboardInterrupt"), stderr
    assert last(desk) == (
        "command.failed", "the agent ended while it was at it: KeyboardInterrupt",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("event", "end"), [("agent.pause", "command.done"), ("position.close", "command.failed")]
)
def test_a_killed_worker(valkey: Valkey, desk: Desk, event: str, end: str) -> None:
    """What it was at is done by the next where that may be done again, else it fails: never is it
    begun twice."""

    def start(kind: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", AGENT, valkey.url, kind],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip

    desk.send("c1", event)
    with start("hangs") as first:
        assert first.stdout
        assert first.stdout.readline() == b"c1 1\n"
        first.kill()
    with start("works") as second:
        wait_until(lambda: desk.events()[-1] == end, "it has ended")
        desk.send("c2", event)
        wait_until(lambda: "c2" in ends(desk), "the next is done")
        second.kill()
    effects: Any = desk.client.hgetall("effects")
    assert effects == {b"c1": b"2" if end == "command.done" else b"1", b"c2": b"1"}
    assert desk.events().count("command.done") + desk.events().count("command.failed") == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork(publisher: SyncPublisher, valkey: Valkey) -> None:
    """The child is told that its parent's commands are not its own."""
    with quick(publisher, valkey) as commands:
        child = os.fork()
        if not child:
            try:
                commands.next()
            except PublisherClosed:
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


# Handlers


def test_handlers_in_a_thread(publisher: SyncPublisher, valkey: Valkey, desk: Desk) -> None:
    """Each event by its function, beside what the program does, until the publisher is closed."""
    handlers = SyncHandlers()
    threads: set[threading.Thread] = set()

    @handlers.on("agent.pause", idempotent=True)
    def pause(command: SyncCommand) -> object:
        threads.add(threading.current_thread())
        return {"paused": command.data["reason"]}

    @handlers.on("position.close")
    def close(command: SyncCommand) -> object:
        threads.add(threading.current_thread())
        raise CommandFailed(f"{command.data['id']} is not open")

    obeying = handlers.obey_in_thread(quick(publisher, valkey))
    desk.send("c1", "agent.pause", b'{"reason":"lunch"}')
    desk.send("c2", "position.close", b'{"id":"p-1"}')
    desk.send("c3", "agent.fly")
    wait_until(lambda: len(ends(desk)) == 3, "all have ended")
    assert ends(desk) == {
        "c1": {"paused": "lunch"},
        "c2": "p-1 is not open",
        "c3": "agent.fly: this agent obeys agent.pause, position.close",
    }
    assert len(threads) == 1
    assert not obeying.done()
    publisher.close()
    assert obeying.result(DEADLINE_SECONDS) is None


def test_an_emergency_stop_does_not_wait(
    publisher: SyncPublisher, valkey: Valkey, desk: Desk
) -> None:
    """It is begun beside a command that takes its time; another command waits for that."""
    handlers, release = SyncHandlers(), threading.Event()
    begun: list[str] = []

    @handlers.on("slow")
    def slow(command: SyncCommand) -> None:
        begun.append(command.id)
        release.wait()

    @handlers.on("emergency.stop")
    def stop(command: SyncCommand) -> None:
        begun.append(command.id)

    handlers.obey_in_thread(quick(publisher, valkey))
    desk.send("c1", "slow")
    wait_until(lambda: begun == ["c1"], "the first is begun")
    desk.send("stop", "emergency.stop")
    wait_until(lambda: "command.done" in desk.events(), "the stop is done")
    desk.send("c2", "slow")
    assert begun == ["c1", "stop"]
    release.set()
    wait_until(lambda: desk.events().count("command.done") == 3, "all are done")
    assert begun == ["c1", "stop", "c2"]


def test_who_may_not_take_commands_is_told(
    valkey: Valkey, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """A program that looks after its future does not go on where nobody can stop it."""
    desk.client.acl_setuser(
        "poor", enabled=True, nopass=True, keys=["*"], channels=["*"], categories=["+@all"],
        commands=["-evalsha"],
    )  # fmt: skip
    with SyncPublisher(f"unix://poor:x@{valkey.socket}", timing=Timing(drain_seconds=0)) as poor:
        obeying = SyncHandlers().obey_in_thread(poor.commands(agent="desk-7"))
        with pytest.raises(CommandsRefused, match="Redis refuses commands"):
            obeying.result(DEADLINE_SECONDS)
    assert "commands are obeyed no more" in caplog.text


@pytest.mark.parametrize("event", ["agent.pause", "emergency.stop"])
def test_an_agent_does_not_obey_by_half(
    publisher: SyncPublisher, valkey: Valkey, desk: Desk, event: str
) -> None:
    """A handler that ends its thread ends the other one too."""
    handlers = SyncHandlers()

    @handlers.on(event)
    def leave(command: SyncCommand) -> None:
        sys.exit(3)

    obeying = handlers.obey_in_thread(quick(publisher, valkey))
    desk.send("c1", event)
    assert isinstance(obeying.exception(DEADLINE_SECONDS), SystemExit)
    assert last(desk) == ("command.failed", "the agent ended while it was at it: SystemExit")


def test_the_program_ends_while_it_obeys(valkey: Valkey, desk: Desk) -> None:
    """Its end waits for the command that is being done, and for no other."""
    code = (
        "import sys, time\n"
        "from producers.handlers import SyncHandlers\n"
        "from producers.sync import SyncPublisher\n"
        "publisher, handlers = SyncPublisher(sys.argv[1]), SyncHandlers()\n"
        "@handlers.on('agent.pause')\n"
        "def pause(command):\n"
        "    print('begun', flush=True)\n"
        "    while not publisher._end.is_set(): time.sleep(0.01)\n"
        "    return publisher.publish('log', 'entry', 1).outcome.value\n"
        "handlers.obey_in_thread(publisher.commands(agent='desk-7'))\n"
        "sys.stdin.readline()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, valkey.url],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
    ) as agent:  # fmt: skip
        assert agent.stdout
        desk.send("c1")
        assert agent.stdout.readline() == b"begun\n"
        _, stderr = agent.communicate(b"\n", timeout=DEADLINE_SECONDS)
        assert (agent.returncode, stderr) == (0, b"")
    assert ends(desk) == {"c1": "stored"}
    assert desk.send("c1").state == CommandState.DONE
