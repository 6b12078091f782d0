"""`tapecast ingest` as a process: killed, frozen, asked to end."""

from __future__ import annotations

import json
import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import redis

from tests.cli.conftest import Command
from tests.support.processes import DEADLINE_SECONDS, wait_until
from tests.support.redis_server import RedisServer
from tests.support.valkey import Valkey

INLET = "tapecast:inlet"


@contextmanager
def ingesting(valkey: Valkey, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A worker that runs for the length of the block, unless it ended before."""
    environ = {"XDG_RUNTIME_DIR": str(valkey.folder), "TAPECAST_REDIS_URL": valkey.url}
    command = Command(environ)
    with command.start("ingest", *arguments, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def add(link: redis.Redis, channel: str, values: list[Any], inlet: str = INLET) -> None:
    """Add entries, pipelined."""
    with link.pipeline(transaction=False) as pipeline:
        for value in values:
            fields = {"channel": channel, "event": "note", "data": json.dumps(value)}
            pipeline.xadd(inlet, fields)  # type: ignore[arg-type]
        pipeline.execute()


def published(link: redis.Redis, channel: str) -> list[Any]:
    """The data of a channel's entries."""
    found: Any = link.xrange(f"tapecast:{{{channel}}}:log")
    return [json.loads(fields[b"e"])["data"] for _, fields in found]


def count(link: redis.Redis, *channels: str) -> int:
    """How many entries channels have."""
    lengths: list[Any] = [link.xlen(f"tapecast:{{{channel}}}:log") for channel in channels]
    return sum(lengths)


def lease_ended(link: redis.Redis) -> None:
    """What time does, without waiting for it."""
    link.delete(f"{INLET}:tapecast:lease")


@pytest.mark.parametrize("server", [Valkey, RedisServer])
def test_killed_again_and_again_all_are_published_once_and_in_order(server: type[Valkey]) -> None:
    """kill -9 at 12 places of 10,000 entries on 3 channels, with a worker that waits each time."""
    channels = ("decisions", "agent", "alerts")
    with server() as valkey, redis.Redis.from_url(valkey.url) as link, ExitStack() as stack:
        worker = stack.enter_context(ingesting(valkey))
        for turn in range(20):
            for channel in channels:
                size = 167 if channel != "alerts" else 166
                add(link, channel, list(range(turn * size, turn * size + size)))
            if turn % 5 < 3:
                seen = count(link, *channels)
                wait_until(lambda seen=seen: count(link, *channels) > seen, "it goes on")  # type: ignore[misc]
                other = stack.enter_context(ingesting(valkey))
                worker.kill()
                worker.wait()
                lease_ended(link)
                worker = other
        wait_until(lambda: count(link, *channels) >= 10_000, "every entry")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=DEADLINE_SECONDS) == 0
        assert link.xpending(INLET, "tapecast")["pending"] == 0
        assert published(link, "decisions") == list(range(3340))
        assert published(link, "agent") == list(range(3340))
        assert published(link, "alerts") == list(range(3320))
        assert link.xlen(f"{INLET}:dead") == 0


def test_a_frozen_worker_that_wakes_doubles_nothing(valkey: Valkey) -> None:
    """SIGSTOP, another goes on, SIGCONT: what the first still held is not published again."""
    with redis.Redis.from_url(valkey.url) as link, ingesting(valkey) as first:
        chance = random.Random(7)
        expected = 0
        for _ in range(5):
            size = chance.randrange(500, 3000)
            add(link, "decisions", list(range(expected, expected + size)))
            seen = expected
            expected += size
            wait_until(lambda seen=seen: count(link, "decisions") > seen, "it goes on")  # type: ignore[misc]
            first.send_signal(signal.SIGSTOP)
            lease_ended(link)
            with ingesting(valkey) as second:
                wait_until(
                    lambda expected=expected: count(link, "decisions") >= expected,  # type: ignore[misc]
                    "the other goes on",
                )
                first.send_signal(signal.SIGCONT)
                assert first.stderr
                assert any("another worker is active" in line for line in first.stderr)
                second.send_signal(signal.SIGTERM)
                assert second.wait(timeout=DEADLINE_SECONDS) == 0
        assert published(link, "decisions") == list(range(expected))


def test_it_says_what_it_did(valkey: Valkey) -> None:
    """Each dead letter with its reason, and at the end how many of each; exit status 0."""
    with redis.Redis.from_url(valkey.url) as link, ingesting(valkey, "--stream", "in") as worker:
        add(link, "decisions", [1, 2], "in")
        bad = link.xadd("in", {"channel": "decisions", "data": "1"})
        add(link, "decisions", [3], "in")
        wait_until(lambda: count(link, "decisions") == 3, "the good ones")
        worker.send_signal(signal.SIGINT)
        _, said = worker.communicate(timeout=DEADLINE_SECONDS)
    assert worker.returncode == 0
    assert isinstance(bad, bytes)
    why = "expected the fields channel, event and data, got no event"
    assert said.splitlines() == [
        f"entry {bad.decode()} is in in:dead: {why}", "3 published, 1 dead letters",
    ]  # fmt: skip


def test_many_dead_letters_do_not_flood_the_screen(valkey: Valkey) -> None:
    """The first hundred are told, the rest counted."""
    with redis.Redis.from_url(valkey.url) as link, ingesting(valkey) as worker:
        add(link, "Wrong", list(range(250)))
        wait_until(lambda: link.xlen(f"{INLET}:dead") == 250, "all buried")
        worker.send_signal(signal.SIGTERM)
        _, said = worker.communicate(timeout=DEADLINE_SECONDS)
    assert len(said.splitlines()) == 102
    assert said.splitlines()[-1] == "0 published, 250 dead letters"
