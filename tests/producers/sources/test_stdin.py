"""producers/sources/stdin.py: lines of JSON, from a pipe to their channels."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.protocol import keys
from producers.answers import Answer, Outcome
from producers.publisher import Publisher
from producers.readings import MAX_AHEAD
from producers.sources.stdin import MAX_LINE_BYTES, StdinSource
from producers.worker import Worker
from tests.producers.redis_view import command, envelopes, eventually, history, meta
from tests.support.processes import wait_until
from tests.support.valkey import Valkey


def line(channel: str, data: object, **fields: Any) -> str:
    """A line that publishes `data`."""
    return json.dumps({"channel": channel, "event": "e", "data": data, **fields})


class Pipe:
    """What a program writes; None is the end of it."""

    def __init__(self, *pieces: bytes | OSError) -> None:
        self.pieces = list(pieces)
        self.reads = 0

    async def read(self) -> bytes:
        self.reads += 1
        piece = self.pieces.pop(0) if self.pieces else b""
        if isinstance(piece, OSError):
            raise piece
        return piece


async def run(valkey: Valkey, pipe: Pipe, *, strict: bool = False) -> StdinSource:
    """A worker that reads the pipe to its end."""
    source = StdinSource(pipe.read, strict=strict)
    async with asyncio.timeout(20), Publisher(valkey.url) as publisher:
        await Worker(source, publisher).run()
    return source


async def test_lines_reach_their_channels(valkey: Valkey) -> None:
    """Values, tables and logs, each line in its way, and every digit as it was written."""
    lines = [
        '{"channel": "portfolio", "event": "portfolio_update", "data": {"balance": 1.10}}',
        line("positions", {"rows": {"p": {"size": "1"}}}, lease=7),
        line("positions", {"upsert": {"q": {"size": "2"}}}),
        line("notes:x", "a", key="once"),
        line("notes:x", "a", key="once"),
    ]
    source = await run(valkey, Pipe("\n".join(lines).encode()))
    assert not source.failed
    assert envelopes(valkey, "portfolio")[0].data == b'{"balance":1.10}'
    assert set(command(valkey, "HKEYS", keys.state("positions"))) == {b"p", b"q"}
    assert meta(valkey, "positions")["lease"] == "7000"
    assert history(valkey, "notes:x") == [("e", "a")]


async def test_lines_of_other_systems(valkey: Valkey) -> None:
    """A byte order mark at the front, and carriage returns, are no part of a line."""
    text = b"\xef\xbb\xbf" + b"\r\n\r\n".join(line("a", n).encode() for n in range(3))
    source = await run(valkey, Pipe(text))
    assert not source.failed
    assert [data for _, data in history(valkey, "a")] == [0, 1, 2]


async def test_what_has_no_answer_at_the_end() -> None:
    """Who is stopped before all was published has failed; it was a success, and lines were lost."""
    source = StdinSource(Pipe(line("a", 1).encode() + b"\n").read)
    follow = source.follow()
    assert await anext(follow) == []
    [reading] = await anext(follow)
    assert source.failed
    source.told(reading, Answer(Outcome.STORED))
    assert not source.failed
    await follow.aclose()


async def test_bad_lines_are_told_and_the_others_go_on(
    valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    """Each with its number, whoever finds it: this source, the publisher or Redis."""
    async with Publisher(valkey.url) as publisher:
        await publisher.publish("status:x", "e", 1)
    lines = [
        line("a", 1),
        "{",
        '{"channel": "a", "event": "e"}',
        line("a", 1, extra=2),
        line("A", 1),
        line("a", 1, event="e e"),
        line("a", 1, lease=-1),
        line("a", 1, key="k" * 256),
        "[" * 5000,
        line("a", "NaN"),
        line("positions", 7),
        line("a", "x" * MAX_LINE_BYTES),
        line("a", 2),
    ]
    source = await run(valkey, Pipe("\n".join(lines).encode()))
    assert source.failed
    assert [data for _, data in history(valkey, "a")] == [1, 2]
    told = " ".join(caplog.messages)
    for number in range(2, 13):
        assert f"line {number}: " in told, number
    assert "line 13" not in told
    shown = history(valkey, "health:stdin")[-1][1]["components"]
    assert shown["input"]["state"] == "degraded"
    assert "9 lines were not published, the last is line 12: expected" in shown["input"]["detail"]


@pytest.mark.parametrize("bad", ["nonsense", line("a", "Infinity")])
async def test_strict_ends_at_the_first_bad_line(valkey: Valkey, bad: str) -> None:
    """What comes before it is published, nothing after it, whoever refuses it."""
    lines = [line("a", 1), line("a", 2), bad, line("a", 3)]
    pipe = Pipe("\n".join(lines).encode(), b"\n" + line("a", 4).encode())
    source = await run(valkey, pipe, strict=True)
    assert source.failed
    assert pipe.reads == 1
    assert [data for _, data in history(valkey, "a")] == [1, 2]


async def test_strict_without_a_bad_line(valkey: Valkey) -> None:
    """Then it is no different."""
    lines = "\n".join(line("a", n) for n in range(50))
    source = await run(valkey, Pipe(lines.encode()), strict=True)
    assert not source.failed
    assert [data for _, data in history(valkey, "a")] == list(range(50))


async def test_an_input_that_breaks_off(valkey: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    """What was read is published, and the end is a failure."""
    pipe = Pipe(line("a", 1).encode() + b"\n", OSError(9, "Bad file descriptor"))
    source = await run(valkey, pipe)
    assert source.failed
    assert [data for _, data in history(valkey, "a")] == [1]
    assert "standard input can't be read: Bad file descriptor" in caplog.messages


async def test_the_writer_waits_while_redis_is_away(valkey: Valkey) -> None:
    """The pipe is not read beyond a bound; afterwards everything arrives in its order."""
    total = 4 * MAX_AHEAD
    pipe = Pipe(*(line("a", n).encode() + b"\n" for n in range(total)))
    source = StdinSource(pipe.read)
    async with asyncio.timeout(20), Publisher(valkey.url) as publisher:
        await publisher.ping()
        valkey.freeze()
        running = asyncio.create_task(Worker(source, publisher).run())
        await eventually(lambda: pipe.reads >= MAX_AHEAD, "reading ahead")
        for _ in range(100):
            await asyncio.sleep(0)
        assert pipe.reads <= MAX_AHEAD + 2
        valkey.thaw()
        await running
    assert [data for _, data in history(valkey, "a")] == list(range(total))


# As a process


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that a test started, none of which outlives it."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def start(
    processes: list[subprocess.Popen[str]],
    valkey: Valkey,
    *arguments: str,
    stdin: int = subprocess.PIPE,
) -> subprocess.Popen[str]:
    code = "from producers.cli import produce; produce()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "stdin", "--redis", valkey.url, *arguments],
        stdin=stdin,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    processes.append(process)
    return process


def test_a_pipe(valkey: Valkey, processes: list[subprocess.Popen[str]]) -> None:
    """A line is published when it comes; at the end of the pipe the process ends."""
    process = start(processes, valkey)
    assert process.stdin
    process.stdin.write(line("a", 1) + "\n")
    wait_until(lambda: len(envelopes(valkey, "a")) == 1, "the first line")
    _, said = process.communicate(line("a", 2), timeout=20)
    assert process.returncode == 0, said
    assert len(envelopes(valkey, "a")) == 2


def test_a_pipe_with_a_bad_line(valkey: Valkey, processes: list[subprocess.Popen[str]]) -> None:
    """The exit status says that there was one."""
    process = start(processes, valkey, "--quiet")
    _, said = process.communicate(f"nonsense\n{line('a', 1)}\n", timeout=20)
    assert process.returncode == 1
    assert said.startswith("WARNING line 1: JSON is malformed")
    assert len(envelopes(valkey, "a")) == 1


def test_a_pipe_that_does_not_block(valkey: Valkey, processes: list[subprocess.Popen[str]]) -> None:
    """Whoever shares it may have made it so; it was taken for its end."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    process = start(processes, valkey, stdin=reading)
    os.close(reading)
    wait_until(lambda: len(envelopes(valkey, "health:stdin")) == 1, "its health")
    os.write(writing, line("a", 1).encode() + b"\n")
    wait_until(lambda: len(envelopes(valkey, "a")) == 1, "the line")
    os.close(writing)
    assert process.wait(timeout=20) == 0


def test_ctrl_c_does_not_wait_for_a_line(
    valkey: Valkey, processes: list[subprocess.Popen[str]]
) -> None:
    """A process that waits for input ends at once when it is told to."""
    process = start(processes, valkey)
    wait_until(lambda: len(envelopes(valkey, "health:stdin")) == 1, "its health")
    process.terminate()
    assert process.wait(timeout=20) == 0


def test_no_standard_input(valkey: Valkey, tmp_path: Path) -> None:
    """One that is closed is wrong use."""
    code = "from producers.cli import produce; produce()"
    command = f'{sys.executable} -c "{code}" stdin --redis {valkey.url} <&-'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "expected lines on standard input, and it is closed" in done.stderr
