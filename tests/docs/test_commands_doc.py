"""docs/commands.md says what the code does, and its programs run."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from hub.broker.redis import RedisBroker
from hub.protocol import command_scripts, keys
from hub.protocol.agent_commands import (
    DEFAULT_EXPIRY_MS,
    MAX_COMMAND_BYTES,
    CommandState,
    Denial,
    Name,
)
from hub.protocol.agent_commands import command_request as request
from hub.protocol.command_calls import DENIED_KEPT, MAX_OPEN, REMEMBERED
from hub.protocol.command_scripts import AUDIT_KEPT, MOST_ATTEMPTS
from hub.server.auth import mint_token
from producers.command_link import CommandTiming
from producers.commands import Commands
from producers.errors import CommandsRefused
from producers.sources.paper.config import _READ
from tests.cli.conftest import SECRET, RunningHub
from tests.docs.pages import blocks, page, table
from tests.docs.test_operations import administer, denied, used
from tests.support.brokers import DEADLINE_SECONDS, eventually
from tests.support.command_desk import CHANNEL, Desk
from tests.support.valkey import Valkey

TEXT = page("docs/commands.md")
SENDER, AGENT, _LOOP, SYNC_AGENT = blocks(TEXT, "python")
USERS = blocks(TEXT, "redis")[0].splitlines()
QUICK = CommandTiming(look_seconds=0.02)


@pytest.fixture
def desk(valkey: Valkey) -> Iterator[Desk]:
    with redis.Redis(unix_socket_path=str(valkey.socket)) as client:
        yield Desk(client)


def test_every_known_command_is_in_the_table() -> None:
    """Each by its name."""
    assert [row[0] for row in table(TEXT, "command")] == [name.value for name in Name]


def test_every_step_of_the_audit_is_in_the_table(desk: Desk) -> None:
    """Each that the scripts and hubs write."""
    named = {step.strip("` ") for row in table(TEXT, "step") for step in row[0].split(",")}
    desk.send("c1")
    desk.give_back(desk.taken())
    taken = desk.begun()
    desk.end(taken)
    desk.end(taken, CommandState.FAILED, b'"x"')
    for id in ("c2", "c3"):
        desk.send(id)
    desk.end(desk.begun(), CommandState.FAILED, b'"x"')
    desk.let_it_expire("c3")
    desk.sweep()
    assert {*desk.steps(), "denied"} == named


def test_figures_in_passing_are_the_code() -> None:
    """Numbers and names that the text has from constants are those."""
    for phrase in (
        f"at most {MAX_COMMAND_BYTES} bytes",
        f"expires after {DEFAULT_EXPIRY_MS // 1000} s",
        f"{MAX_OPEN} commands to an agent",
        f"the last {REMEMBERED} in `:state`",
        f"the last {AUDIT_KEPT} steps of each agent, and the last {DENIED_KEPT} denied",
        f"at most {MOST_ATTEMPTS} attempts",
        f"its lease for {CommandTiming().lease_seconds:g} s",
        *(f"`{name}`" for name in _READ),
    ):
        assert phrase in TEXT, phrase


@pytest.mark.parametrize("agent_text", [AGENT, SYNC_AGENT], ids=["asyncio", "threads"])
def test_the_programs_run(valkey: Valkey, tmp_path: Path, agent_text: str) -> None:
    """Both agents of the text obey the sender of the text."""
    hub = RunningHub(valkey)
    hub.start()
    kept = {name: text for name, text in os.environ.items() if not name.startswith("TAPECAST_")}
    token = mint_token(SECRET, "ann", command=["*"], ttl_seconds=600, now=time.time())
    environ = {
        **kept,
        "TAPECAST_REDIS_URL": valkey.url,
        "TAPECAST_URL": hub.url,
        "TAPECAST_TOKEN": token,
    }

    def start(name: str, text: str) -> subprocess.Popen[str]:
        program = tmp_path / f"{name}.py"
        program.write_text(text)
        return subprocess.Popen(
            [sys.executable, "-u", program], env=environ, stdout=subprocess.PIPE, text=True
        )

    agent, sender = start("agent", agent_text), start("sender", SENDER)
    assert sender.stdout
    assert agent.stdout
    try:
        heard = [sender.stdout.readline() for _ in range(2)]
        assert heard == ["command.accepted\n", "command.done\n"]
    finally:
        for process in (agent, sender):
            process.send_signal(signal.SIGKILL)
            process.communicate()
        hub.kill()


# What Redis is asked for


def rights(user: str) -> set[str]:
    """The commands that the ACL of a user allows."""
    [line] = [line for line in USERS if line.startswith(f"ACL SETUSER {user} ")]
    return {word[1:] for word in line.split() if word.startswith("+")}


def url_of(valkey: Valkey, user: str) -> str:
    """The server's URL for a user of the text."""
    return f"unix://{user}:{user.upper()}-PASSWORD@{valkey.socket}"


def set_up_users(valkey: Valkey) -> None:
    """Make the users of the text, and count from zero."""
    with administer(valkey) as admin:
        for line in USERS:
            admin.execute_command(*line.split())
        admin.config_resetstat()


async def test_a_hub_that_sends_needs_the_rights_that_are_told(valkey: Valkey, desk: Desk) -> None:
    """Nothing that it does is denied, and there is no right that it does not use."""
    desk.send("open", "agent.start")
    set_up_users(valkey)
    broker = RedisBroker(url_of(valkey, "sending"))
    fields: dict[str, Any] = {"sender": "ann", "origin": "", "data": b"{}"}
    for channel in (CHANNEL, CHANNEL, "commands:other"):
        for event in ("agent.pause", "emergency.stop"):
            id = f"{event.partition('.')[0]}-{channel.partition(':')[2]}"
            made = request(channel=channel, id=id, event=event, **fields)
            [answer] = await broker.send_commands([made])
            assert not isinstance(answer, Exception), answer
    with administer(valkey) as admin:
        # So that there is something to forget, to sweep, and to begin anew.
        admin.delete("tapecast:{commands:other}:log")
    desk.let_it_expire("emergency-desk-7")
    await broker.sweep_commands()
    await broker.note_denied([Denial("commands", "x", "eve", "")])
    await broker.disconnect()
    assert denied(valkey) == []
    assert "command.expired" in desk.events()


async def test_an_agent_needs_the_rights_that_are_told(valkey: Valkey, desk: Desk) -> None:
    """Nothing that it does is denied, and what is another agent's is."""
    for id in ("c1", "c2", "c3"):
        desk.send(id)
    desk.client.delete(f"tapecast:{{{CHANNEL}}}:log")
    desk.let_it_expire("c3")
    set_up_users(valkey)
    url = url_of(valkey, "obeying")
    timing = CommandTiming(look_seconds=0.02, lease_seconds=0.1)
    async with asyncio.timeout(DEADLINE_SECONDS):
        async with Commands(url, agent="desk-7", timing=timing) as commands:
            first, command = await commands.next(), await commands.next()
            assert first is not None
            assert command is not None
            await first.done({"x": 1})
            waiting = asyncio.create_task(commands.next())
            due = keys.due_commands(CHANNEL)
            before = desk.client.zscore(due, command.id)
            await eventually(lambda: desk.client.zscore(due, command.id) != before, "a renewal")
            await command.fail("x")
            waiting.cancel()
            await asyncio.wait([waiting])
    assert denied(valkey) == []
    assert used(valkey) >= {"xread", "evalsha"}
    async with Commands(url, agent="desk-8", timing=QUICK) as others:
        with pytest.raises(CommandsRefused):
            await asyncio.wait_for(others.next(), DEADLINE_SECONDS)


def test_the_users_have_no_right_too_many() -> None:
    """What a user may do is what scripts and links ask for."""

    def called(*scripts: str) -> set[str]:
        return {
            name.lower() for each in scripts for name in re.findall(r"redis\.call\('(\w+)'", each)
        }

    of_scripts = called(command_scripts.SEND, command_scripts.SWEEP)
    links = {"select", "script|load", "evalsha"}
    assert rights("sending") == of_scripts | links | {"sadd", "smembers", "zrange"}
    of_worker = called(
        command_scripts.TAKE, command_scripts.ACCEPT, command_scripts.RENEW, command_scripts.END
    )
    assert rights("obeying") == of_worker | links | {"xread", "client|setname", "client|setinfo"}
