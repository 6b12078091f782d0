"""docs/producers.md says what the code does, and its programs run as they stand there."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import redis

from producers import acknowledged, buffer, intake, logs, spool
from producers.answers import Outcome
from producers.link import Timing
from producers.publisher import Options, Publisher
from tests.docs.pages import ROOT, blocks, page, table
from tests.docs.test_readme import lines_of_code
from tests.producers.redis_view import history
from tests.support.command_desk import Desk
from tests.support.processes import wait_until
from tests.support.valkey import Valkey

TEXT = page("docs/producers.md")
AGENT, LOGGING, FUNCTIONS, OBEYING = blocks(TEXT, "python")


def run(program: str, valkey: Valkey, folder: Path) -> list[str]:
    """What a program of the page prints."""
    kept = {name: value for name, value in os.environ.items() if "TAPECAST_" not in name}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, timeout=30, cwd=folder,
        env={**kept, "PYTHONPATH": str(ROOT), "TAPECAST_REDIS_URL": valkey.url},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_synchronous_agent(valkey: Valkey, tmp_path: Path) -> None:
    """It is ten lines; what it decides in an outage is published by its next run, once."""
    assert lines_of_code(AGENT) <= 10
    assert run(AGENT, valkey, tmp_path) == ["d-0 stored", "d-1 stored", "d-2 stored"]
    valkey.freeze()
    other = AGENT.replace("range(3)", "range(3, 5)")
    assert run(other, valkey, tmp_path) == ["d-3 spooled", "d-4 spooled"]
    valkey.thaw()
    assert run(AGENT, valkey, tmp_path) == ["d-0 stored", "d-1 stored", "d-2 stored"]
    told = [data["id"] for _event, data in history(valkey, "decisions")]
    assert told == ["d-0", "d-1", "d-2", "d-3", "d-4"]


def test_the_log_and_the_functions(valkey: Valkey, tmp_path: Path) -> None:
    """Both programs publish what the text says, and end by themselves."""
    assert run(LOGGING, valkey, tmp_path) == []
    [(event, line)] = history(valkey, "agent:desk-7")
    assert (event, line["detail"]) == ("log", "the market is thin")
    assert run(FUNCTIONS, valkey, tmp_path) == []
    assert [data["id"] for _event, data in history(valkey, "decisions")] == ["at-79500"]
    assert [data["size"] for _event, data in history(valkey, "fills:desk-7")] == ["0.5"]


def test_the_agent_that_obeys(valkey: Valkey, tmp_path: Path) -> None:
    """It does what it is sent."""
    kept = {name: value for name, value in os.environ.items() if "TAPECAST_" not in name}
    environ = {**kept, "PYTHONPATH": str(ROOT), "TAPECAST_REDIS_URL": valkey.url}
    with (
        redis.Redis(unix_socket_path=str(valkey.socket)) as client,
        subprocess.Popen([sys.executable, "-c", OBEYING], cwd=tmp_path, env=environ) as agent,
    ):
        desk = Desk(client)
        desk.send()
        wait_until(lambda: "command.done" in desk.events(), "it is done")
        agent.kill()
    assert desk.log()[-1][1]["result"] == {"obeyed": "agent.pause", "asked_by": "ann"}


def test_every_outcome_is_in_the_table() -> None:
    """In the order of the enum, each with where the publish is."""
    rows = table(TEXT, "outcome")
    assert [row[0] for row in rows] == [outcome.value for outcome in Outcome]
    assert all(row[1] for row in rows)


def test_every_option_is_in_its_table() -> None:
    """The options are those of the constructors, and the timing's defaults those of the class."""
    options = [name for name in inspect.signature(Publisher).parameters if name != "url"]
    assert sorted(Options.__annotations__) == sorted(options)
    assert [row[0] for row in table(TEXT, "option")] == options
    assert {row[0]: row[1] for row in table(TEXT, "timing")} == {
        name: str(getattr(Timing(), name)) for name in Timing.__struct_fields__
    }


def test_figures_in_passing_are_the_code() -> None:
    """Numbers that the text has from constants are those."""
    for phrase in (
        f"{buffer.MAX_BYTES // 2**20} MiB and {buffer.MAX_PUBLISHES:,} publishes",
        f"{intake.REPLICA_TIMEOUT_MS} ms by default",
        f"grows to {spool.MAX_BYTES // 2**20} MiB",
        f"the {acknowledged.KEPT_SECONDS:.0f} s before Redis answered last",
        f"up to {acknowledged.KEPT_BYTES // 2**20} MiB",
        f"finds {logs.MAX_WAITING:,} waiting",
    ):
        assert phrase in TEXT, phrase


def test_calls_that_are_named_exist() -> None:
    """The calls that the text counts up are methods."""
    [calls] = re.findall(r"Both have the same calls: (.*)\.$", TEXT, re.MULTILINE)
    names = [name for name in re.findall(r"`(\w+)`", calls) if name != "typed"]
    assert len(names) == 9
    for name in names:
        assert callable(getattr(Publisher, name)), name
