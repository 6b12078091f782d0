"""An agent takes its commands, on a real Valkey: producers/commands.py and handlers.py."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import redis

from hub.protocol import keys
from hub.protocol.agent_commands import MAX_COMMAND_BYTES, CommandState
from hub.protocol.command_calls import Taken
from producers.command_link import CommandTiming
from producers.commands import Command, Commands
from producers.errors import CommandFailed, CommandLost, CommandsRefused, InvalidPayload
from producers.handlers import Handlers
from producers.publisher import Publisher
from tests.support.brokers import DEADLINE_SECONDS, eventually
from tests.support.command_desk import CHANNEL, Desk
from tests.support.valkey import Valkey

QUICK = CommandTiming(look_seconds=0.02, first_pause_seconds=0.01, longest_pause_seconds=0.05)


@pytest.fixture
def desk(valkey: Valkey) -> Iterator[Desk]:
    """Who sends commands, another worker, and a look into Valkey."""
    with redis.Redis(unix_socket_path=str(valkey.socket)) as client:
        yield Desk(client)


@pytest.fixture
async def commands(valkey: Valkey) -> AsyncIterator[Commands]:
    """A worker of the agent that the desk sends to."""
    async with Commands(valkey.url, agent="desk-7", name="w", timing=QUICK) as commands:
        yield commands


async def take(commands: Commands) -> Command:
    """The next command, which must come."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        command = await commands.next()
    assert command is not None
    return command


def last(desk: Desk) -> tuple[str, Any]:
    """Event of the newest entry, and its result or reason."""
    event, data = desk.log()[-1]
    return event, data.get("result", data.get("reason"))


# Taking


async def test_a_command_is_accepted_when_it_is_yielded(desk: Desk, commands: Commands) -> None:
    """With all that its sender said, numbers with their digits."""
    receipt = desk.send(data=b'{"price":1.10}', sender="Ann Ö")
    command = await take(commands)
    assert desk.events() == ["agent.pause", "command.accepted"]
    assert (command.id, command.event, command.attempt) == ("c1", "agent.pause", 1)
    assert command.data == {"price": Decimal("1.10")}
    assert command.sender == "Ann Ö"
    assert command.expires_at - command.sent_at == timedelta(seconds=60)
    assert round(command.expires_at.timestamp() * 1_000_000) == receipt.expires_at
    assert "c1 of 'Ann Ö', attempt 1" in repr(command)


async def test_a_worker_is_woken_by_a_command(valkey: Valkey, desk: Desk) -> None:
    """It needs not look for one: the log's next entry is what it waits for."""
    slow = CommandTiming(look_seconds=DEADLINE_SECONDS)
    async with Commands(valkey.url, agent="desk-7", timing=slow) as commands:
        taking = asyncio.create_task(take(commands))
        await eventually(lambda: b"blocked_clients:1" in blocked(desk), "it waits")
        desk.send()
        assert (await taking).id == "c1"


def blocked(desk: Desk) -> bytes:
    """What Valkey says of clients that wait."""
    info: Any = desk.client.info("clients")
    return b"blocked_clients:%d" % info["blocked_clients"]


async def test_several_workers_share_the_commands(valkey: Valkey, desk: Desk) -> None:
    """Each command goes to one of them."""
    for n in range(20):
        desk.send(f"c{n}")
    taken: list[str] = []

    async def work() -> None:
        async with Commands(valkey.url, agent="desk-7", timing=QUICK) as commands:
            async for command in commands:
                async with command:
                    taken.append(command.id)

    workers = [asyncio.create_task(work()) for _ in range(3)]
    await eventually(lambda: desk.events().count("command.done") == 20, "all are done")
    for worker in workers:
        worker.cancel()
    await asyncio.wait(workers)
    assert sorted(taken) == sorted(f"c{n}" for n in range(20))


async def test_a_publisher_gives_the_commands(valkey: Valkey, desk: Desk) -> None:
    """As in the documents: one loop, which ends with its task."""

    async def agent() -> None:
        async with Publisher(valkey.url, name="desk-7") as publisher:
            async for command in publisher.commands(agent="desk-7", idempotent={"agent.pause"}):
                async with command:
                    command.result = {"paused": True}

    running = asyncio.create_task(agent())
    desk.send()
    await eventually(lambda: last(desk) == ("command.done", {"paused": True}), "it is done")
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert desk.audit()[-1]["by"].startswith("desk-7@")


async def test_a_loop_can_be_left(valkey: Valkey, desk: Desk) -> None:
    """The worker ends with its block."""
    desk.send()
    async with Commands(valkey.url, agent="desk-7", timing=QUICK) as commands:
        assert commands.channel == CHANNEL
        async for command in commands:
            await command.done()
            break
    assert last(desk) == ("command.done", None)


async def test_a_loop_that_is_told_to_stop(desk: Desk, commands: Commands) -> None:
    """It ends though it waits, and what comes afterwards is another worker's."""
    done: list[str] = []

    async def work() -> None:
        async for command in commands:
            async with command:
                done.append(command.id)

    working = asyncio.create_task(work())
    desk.send("c1")
    await eventually(lambda: done == ["c1"], "the first is done")
    commands.stop()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await working
    desk.send("c2")
    assert desk.taken().id == "c2"


async def test_what_is_handed_out_while_it_stops(
    desk: Desk, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not begun, and nobody waits for its lease to pass."""
    real = Commands._hold

    async def late(self: Commands, taken: Taken) -> Command | None:
        self.stop()
        return await real(self, taken)

    monkeypatch.setattr(Commands, "_hold", late)
    desk.send()
    assert await commands.next() is None
    assert desk.events() == ["agent.pause"]
    assert desk.taken().attempt == 2


async def test_an_agent_without_a_name(valkey: Valkey) -> None:
    """Takes those that were sent to no other."""
    assert Commands(valkey.url).channel == "commands"
    async with Publisher(valkey.url) as publisher:
        assert publisher.commands().channel == "commands"


# Ending


async def test_the_block_says_done(desk: Desk, commands: Commands) -> None:
    """With the result, money as a string."""
    desk.send()
    async with await take(commands) as command:
        command.result = {"price": Decimal("42010.50")}
    assert last(desk) == ("command.done", {"price": "42010.50"})
    assert desk.send().state is CommandState.DONE


async def test_the_block_says_failed(
    desk: Desk, commands: Commands, caplog: pytest.LogCaptureFixture
) -> None:
    """By the reason that was raised; what was no reason is logged, and ends this command alone."""
    desk.send("c1")
    desk.send("c2")
    async with await take(commands):
        raise CommandFailed("no such position")
    assert last(desk) == ("command.failed", "no such position")
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    async with await take(commands):
        raise KeyError("p-1")
    assert last(desk) == ("command.failed", "KeyError: 'p-1'")
    assert "agent.pause c2 failed" in caplog.text


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("NaN", "'NaN'"),
        ("", "no reason given"),
        ("\ud800", "'\\ud800'"),
        ("x" * 2_000, "x" * 1_000),
    ],
)
async def test_any_reason_is_told(desk: Desk, commands: Commands, reason: str, told: str) -> None:
    """What can't stand on a screen as it is, in a way that can."""
    desk.send()
    async with await take(commands):
        raise CommandFailed(reason)
    assert last(desk) == ("command.failed", told)


@pytest.mark.parametrize("result", [float("nan"), object(), "x" * MAX_COMMAND_BYTES])
async def test_a_result_that_can_not_be_told(
    desk: Desk, commands: Commands, result: object
) -> None:
    """The command is done all the same; whoever says it by hand is told."""
    desk.send("c1")
    desk.send("c2")
    async with await take(commands) as command:
        command.result = result
    assert last(desk) == ("command.done", None)
    command = await take(commands)
    with pytest.raises(InvalidPayload):
        await command.done(result)
    await command.done()
    assert last(desk) == ("command.done", None)


async def test_an_end_is_told_once(
    desk: Desk, commands: Commands, caplog: pytest.LogCaptureFixture
) -> None:
    """What was said in the block counts; a second end is a mistake."""
    desk.send("c1")
    desk.send("c2")
    async with await take(commands) as command:
        await command.done("early")
        with pytest.raises(CommandLost, match="its end was told before"):
            await command.fail("late")
        assert not await command.accept()
    assert last(desk) == ("command.done", "early")
    async with await take(commands) as command:
        await command.fail("early")
        raise ValueError("after it")
    assert last(desk) == ("command.failed", "early")
    assert "after it" in caplog.text


async def test_a_cancelled_agent_says_so(desk: Desk, commands: Commands) -> None:
    """Its commands fail at once, and nobody waits for the lease."""
    desk.send()
    begun = asyncio.Event()

    async def work() -> None:
        async with await take(commands):
            begun.set()
            await asyncio.Event().wait()

    worker = asyncio.create_task(work())
    await begun.wait()
    worker.cancel()
    await asyncio.wait([worker])
    assert worker.cancelled()
    assert last(desk) == (
        "command.failed", "the agent ended while it was at it: CancelledError",
    )  # fmt: skip


async def test_leaving_ends_what_is_left(valkey: Valkey, desk: Desk) -> None:
    """What was begun fails, what was only handed out is another worker's at once."""
    desk.send("c1")
    desk.send("c2")
    commands = Commands(valkey.url, agent="desk-7", accept=False, timing=QUICK)
    async with commands:
        begun = await take(commands)
        assert await begun.accept()
        await take(commands)
    assert last(desk) == ("command.failed", "the agent ended while it was at it")
    assert desk.taken().id == "c2"


# Late, lost and shared


async def test_a_worker_may_look_before_it_begins(valkey: Valkey, desk: Desk) -> None:
    """It accepts, gives back, or fails; nothing was begun before."""
    desk.send("c1")
    async with Commands(valkey.url, agent="desk-7", accept=False, timing=QUICK) as commands:
        command = await take(commands)
        assert desk.events() == ["agent.pause"]
        await command.give_back()
        await command.give_back()
        command = await take(commands)
        assert command.attempt == 2
        async with command:
            assert await command.accept()
            await command.give_back()
        assert last(desk) == ("command.done", None)
        desk.send("c2")
        await (await take(commands)).fail("not mine")
        assert last(desk) == ("command.failed", "not mine")


async def test_a_late_command_is_not_yielded(
    valkey: Valkey, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It expired on its way to the worker, which goes on to the next."""
    desk.send("c1")
    async with Commands(valkey.url, agent="desk-7", timing=QUICK) as commands:
        real = Commands.accept

        async def late(self: Commands, command: Command) -> bool:
            if command.id == "c1":
                desk.let_it_expire("c1")
                desk.send("c2")
            return await real(self, command)

        monkeypatch.setattr(Commands, "accept", late)
        assert (await take(commands)).id == "c2"
    assert "command.expired" in desk.events()


async def test_what_was_handed_to_another_can_not_begin(valkey: Valkey, desk: Desk) -> None:
    """The block is not entered."""
    desk.send()
    async with Commands(valkey.url, agent="desk-7", accept=False, timing=QUICK) as commands:
        command = await take(commands)
        desk.let_the_lease_pass()
        other = desk.begun()
        with pytest.raises(CommandLost, match="may not begin"):
            async with command:
                raise AssertionError("begun")
        desk.end(other)
    assert desk.events() == ["agent.pause", "command.accepted", "command.done"]


async def test_a_worker_that_was_missed_is_told(
    desk: Desk, commands: Commands, caplog: pytest.LogCaptureFixture
) -> None:
    """Its end does not count, and the audit has it."""
    desk.send()
    async with await take(commands) as command:
        desk.let_the_lease_pass()
        desk.sweep()
        command.result = "late"
    assert last(desk)[0] == "command.failed"
    assert "it is not this worker's any more" in caplog.text
    assert (desk.audit()[-1]["step"], desk.audit()[-1]["text"]) == ("refused", '"late"')


async def test_a_lease_is_kept_while_the_worker_lives(valkey: Valkey, desk: Desk) -> None:
    """Nobody misses it, however long it takes; one that was missed learns of it."""
    timing = CommandTiming(look_seconds=0.02, lease_seconds=0.3)
    async with Commands(valkey.url, agent="desk-7", timing=timing) as commands:
        desk.send()
        command = await take(commands)

        def due() -> float:
            score: Any = desk.client.zscore(keys.due_commands(CHANNEL), "c1")
            return float(score)

        for _ in range(3):
            before = due()
            await eventually(lambda before=before: due() > before, "it is renewed")  # type: ignore[misc]
        assert not command.is_lost
        desk.client.hdel(keys.open_commands(CHANNEL), "c1")
        await eventually(lambda: command.is_lost, "it learns that it is lost")


async def test_what_redis_forgot_is_not_begun_again(desk: Desk, commands: Commands) -> None:
    """A failover to a replica that lacked the acceptance hands the command out again."""
    desk.send("c1")
    kept = desk.dump()
    async with await take(commands):
        pass
    for name, value in kept.items():
        if value is not None:
            desk.client.restore(name, 0, value, replace=True)
    desk.send("c2")
    assert (await take(commands)).id == "c2"
    failed = [data for event, data in desk.log() if event == "command.failed"]
    assert [each["id"] for each in failed] == ["c1"]
    assert "Redis has forgotten" in failed[0]["reason"]


async def test_what_may_be_done_again_is(valkey: Valkey, desk: Desk) -> None:
    """After the worker that had begun it died."""
    desk.send()
    desk.begun(again=True)
    desk.let_the_lease_pass()
    async with Commands(valkey.url, agent="desk-7", timing=QUICK) as commands:
        command = await take(commands)
        assert command.attempt == 2
        await command.done()
    assert last(desk) == ("command.done", None)


async def test_poison_fails_alone(desk: Desk, commands: Commands) -> None:
    """A command that somebody wrote into Redis by hand is answered, and the next one taken."""
    desk.send("c1")
    desk.send("c2")
    found: Any = desk.client.hget(keys.open_commands(CHANNEL), "c1")
    poison = found.replace(b"{}", b'{"x":"NaN"}')
    desk.client.hset(keys.open_commands(CHANNEL), "c1", poison)
    assert (await take(commands)).id == "c2"
    [failed] = [data for event, data in desk.log() if event == "command.failed"]
    assert "expected a finite number" in failed["reason"]


# Redis away


async def test_a_worker_goes_on_after_an_outage(durable_valkey: Valkey) -> None:
    """What was begun before is ended after it, and what comes next is taken."""
    valkey = durable_valkey
    with redis.Redis(unix_socket_path=str(valkey.socket)) as client:
        desk = Desk(client)
        desk.send("c1")
        async with Commands(valkey.url, agent="desk-7", timing=QUICK) as commands:
            command = await take(commands)
            valkey.kill()
            ending = asyncio.create_task(command.done("kept"))
            await asyncio.to_thread(valkey.start)
            async with asyncio.timeout(DEADLINE_SECONDS):
                await ending
            assert last(desk) == ("command.done", "kept")
            desk.send("c2")
            assert (await take(commands)).id == "c2"


async def test_scripts_that_were_flushed_are_loaded_again(desk: Desk, commands: Commands) -> None:
    """By hand, or with another server behind the address."""
    desk.send()
    await take(commands)
    desk.client.script_flush()
    desk.send("c2")
    assert (await take(commands)).id == "c2"


async def test_who_may_not_take_commands_is_told(valkey: Valkey, desk: Desk) -> None:
    """A user of Redis without the rights gets an error, and no silent agent."""
    desk.client.acl_setuser(
        "poor",
        enabled=True,
        nopass=True,
        keys=["*"],
        channels=["*"],
        categories=["+@all"],
        commands=["-evalsha"],
    )
    url = f"unix://poor:x@{valkey.socket}"
    async with Commands(url, agent="desk-7", timing=QUICK) as commands:
        with pytest.raises(CommandsRefused, match="Redis refuses commands"):
            await take(commands)
    async with Publisher(url) as publisher:
        with pytest.raises(CommandsRefused):
            async with asyncio.timeout(DEADLINE_SECONDS):
                await Handlers().obey(publisher.commands(agent="desk-7"))


async def test_a_worker_that_can_not_keep_leases_takes_no_more(valkey: Valkey, desk: Desk) -> None:
    """It would begin what others take for left."""
    timing = CommandTiming(look_seconds=0.02, lease_seconds=0.03)
    async with Commands(valkey.url, agent="desk-7", accept=False, timing=timing) as commands:
        desk.send()
        await take(commands)
        desk.client.acl_setuser(
            "default",
            enabled=True,
            nopass=True,
            keys=["*"],
            channels=["*"],
            categories=["+@all"],
            commands=["-evalsha"],
        )
        with pytest.raises(CommandsRefused):
            await take(commands)
        desk.client.acl_setuser(
            "default", enabled=True, nopass=True, keys=["*"], channels=["*"], categories=["+@all"]
        )


# Handlers


async def test_handlers_obey(valkey: Valkey, desk: Desk) -> None:
    """Each event by its function; one that nobody knows fails, and says what is known."""
    handlers = Handlers()

    @handlers.on("agent.pause", idempotent=True)
    async def pause(command: Command) -> object:
        return {"paused": command.data["reason"]}

    @handlers.on("position.close")
    async def close(command: Command) -> object:
        raise CommandFailed(f"{command.data['id']} is not open")

    obeying = asyncio.create_task(handlers.obey(Commands(valkey.url, agent="desk-7", timing=QUICK)))
    desk.send("c1", "agent.pause", b'{"reason":"lunch"}')
    desk.send("c2", "position.close", b'{"id":"p-1"}')
    desk.send("c3", "agent.fly")
    ends = ("command.done", "command.failed")
    await eventually(lambda: sum(e in ends for e in desk.events()) == 3, "all have ended")
    outcomes = {
        data["id"]: data.get("result", data.get("reason"))
        for event, data in desk.log()
        if event in ends
    }
    assert outcomes == {
        "c1": {"paused": "lunch"},
        "c2": "p-1 is not open",
        "c3": "agent.fly: this agent obeys agent.pause, position.close",
    }
    obeying.cancel()
    await asyncio.wait([obeying])


async def test_an_emergency_stop_does_not_wait(valkey: Valkey, desk: Desk) -> None:
    """It is begun beside a command that takes its time; another command waits for that."""
    handlers, release = Handlers(), asyncio.Event()
    begun: list[str] = []

    @handlers.on("slow")
    async def slow(command: Command) -> None:
        begun.append(command.id)
        await release.wait()

    @handlers.on("emergency.stop")
    async def stop(command: Command) -> None:
        begun.append(command.id)

    obeying = asyncio.create_task(handlers.obey(Commands(valkey.url, agent="desk-7", timing=QUICK)))
    desk.send("c1", "slow")
    await eventually(lambda: begun == ["c1"], "the first is begun")
    desk.send("stop", "emergency.stop")
    await eventually(lambda: "command.done" in desk.events(), "the stop is done")
    desk.send("c2", "slow")
    assert begun == ["c1", "stop"]
    release.set()
    await eventually(lambda: desk.events().count("command.done") == 3, "all are done")
    assert begun == ["c1", "stop", "c2"]
    obeying.cancel()
    await asyncio.wait([obeying])


def test_an_event_has_one_handler() -> None:
    """A second one, or one for a step, is a mistake."""
    handlers = Handlers()
    handlers.on("agent.pause")(lambda command: asyncio.sleep(0))
    for event in ("agent.pause", "command.done"):
        with pytest.raises(ValueError, match="expected an event without a handler"):
            handlers.on(event)
